from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from resources.core.clock import to_micros
from resources.scada.opc_ua.wire.codec import Columns, Published, read_publish_response, times_us

SOURCE = datetime(2026, 11, 22, 10, 15, 0, 250_001, tzinfo=UTC)
SERVER = datetime(2026, 11, 22, 10, 15, 1, tzinfo=UTC)
KINDS = [
    (ua.VariantType.Boolean, True), (ua.VariantType.SByte, -5), (ua.VariantType.Byte, 200),
    (ua.VariantType.Int16, -300), (ua.VariantType.UInt16, 60_000), (ua.VariantType.Int32, -70_000),
    (ua.VariantType.UInt32, 4_000_000_000), (ua.VariantType.Int64, -(2**40)), (ua.VariantType.UInt64, 2**40),
    (ua.VariantType.Float, 0.5), (ua.VariantType.Double, 1.25),
]  # fmt: skip


def _response(*notifications: Any, sequence: int = 9) -> bytes:
    response = ua.PublishResponse()
    response.Parameters.SubscriptionId = 5
    response.Parameters.AvailableSequenceNumbers = [7, 8, 9]
    response.Parameters.NotificationMessage.SequenceNumber = sequence
    response.Parameters.NotificationMessage.PublishTime = SERVER
    response.Parameters.NotificationMessage.NotificationData = list(notifications)
    return struct_to_binary(response)


def _change(*values: Any, first_handle: int = 0) -> Any:
    items = [ua.MonitoredItemNotification(ClientHandle=first_handle + n, Value=v) for n, v in enumerate(values)]
    return ua.DataChangeNotification(MonitoredItems=items)


def _value(value: Any, kind: Any = ua.VariantType.Double, **parts: Any) -> Any:
    return ua.DataValue(ua.Variant(value, kind), **parts)


def _read(*values: Any) -> Columns:
    return read_publish_response(_response(_change(*values))).columns


def test_read_when_numbers_of_all_types_come_then_values_are_right() -> None:
    columns = _read(*(_value(value, kind, SourceTimestamp=SOURCE) for kind, value in KINDS))
    assert columns.values == [value for _, value in KINDS]
    assert columns.handles == list(range(len(KINDS)))
    assert columns.missing == []
    assert columns.odd == {}
    assert times_us(columns, 1).tolist() == [to_micros(SOURCE)] * len(KINDS)


@pytest.mark.parametrize(
    ("parts", "time"),
    [
        ({"SourceTimestamp": SOURCE, "ServerTimestamp": SERVER}, to_micros(SOURCE)),
        ({"ServerTimestamp": SERVER}, to_micros(SERVER)),
        ({}, 42),
        (
            {"SourceTimestamp": SOURCE, "SourcePicoseconds": 10, "ServerTimestamp": SERVER, "ServerPicoseconds": 3},
            to_micros(SOURCE),
        ),
    ],
    ids=["source", "server", "neither: receive time", "picoseconds are passed over"],
)
def test_times_when_timestamps_are_there_or_not_then_the_best_one_counts(parts: dict[str, Any], time: int) -> None:
    columns = _read(_value(1.0, **parts), _value(2.0, **parts))
    assert columns.values == [1.0, 2.0]
    assert times_us(columns, 42).tolist() == [time, time]


def test_read_when_a_status_comes_then_the_code_is_kept() -> None:
    columns = _read(_value(1.0, StatusCode=ua.StatusCode(ua.UInt32(0x40900000))))
    assert columns.statuses == [0x40900000]


def test_read_when_values_are_text_arrays_or_absent_then_they_go_the_long_way_in_place() -> None:
    columns = _read(
        _value(1.0, SourceTimestamp=SOURCE),
        _value("on", ua.VariantType.String, SourceTimestamp=SOURCE),
        ua.DataValue(SourceTimestamp=SOURCE),
        _value([1.0, 2.0], ua.VariantType.Double, ServerTimestamp=SERVER),
        _value(2.0, SourceTimestamp=SOURCE),
    )
    assert columns.handles == [0, 1, 2, 3, 4]
    assert columns.odd == {1: "on", 3: [1.0, 2.0]}
    assert columns.missing == [2]
    assert [columns.values[0], columns.values[4]] == [1.0, 2.0]
    assert times_us(columns, 1).tolist() == [to_micros(SOURCE)] * 3 + [to_micros(SERVER), to_micros(SOURCE)]


def test_read_when_the_example_of_the_docstring_comes_then_it_means_what_it_says() -> None:
    columns = read_publish_response(_response(_change(_value(1.5, SourceTimestamp=SOURCE), first_handle=7))).columns
    assert (columns.handles, columns.values) == ([7], [1.5])


def test_read_when_it_is_a_keep_alive_then_columns_are_empty() -> None:
    assert read_publish_response(_response(sequence=3)) == Published(
        5, 3, Columns(), None, is_keep_alive=True, available=(7, 8, 9)
    )


def test_read_when_several_notifications_come_then_all_are_read() -> None:
    status = ua.StatusChangeNotification(Status=ua.StatusCode(ua.UInt32(0x800A0000)))
    published = read_publish_response(_response(_change(_value(1.0)), status, _change(_value(2.0), first_handle=1)))
    assert published.columns.values == [1.0, 2.0]
    assert published.status_change == 0x800A0000


@pytest.mark.parametrize("cut", [3, 20, 60, 90])
def test_read_when_the_bytes_end_early_then_value_error(cut: int) -> None:
    with pytest.raises(ValueError, match="not a PublishResponse"):
        read_publish_response(_response(_change(_value(1.0)))[:cut])
