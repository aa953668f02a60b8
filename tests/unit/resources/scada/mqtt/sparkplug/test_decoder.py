"""The host application, message by message, with a clock that is moved: what is read, what waits, what is asked."""

import itertools
from pathlib import Path

import pytest

from resources.core.errors import ConfigError
from resources.demo_plant.servers.sparkplug_bytes import INT16, encode_metric, encode_payload
from tests.unit.resources.scada.mqtt.sparkplug.bench import (
    FLOW,
    LEVEL,
    T0,
    Bench,
    Row,
    death,
    metric,
    node_birth,
    payload,
)


def test_births_when_they_come_then_their_values_count_only_if_newer() -> None:
    bench = Bench()
    assert bench.births() == [Row(FLOW, 1.0, T0, "good", True), Row(LEVEL, -3.0, T0, "good", True)]


def test_data_when_in_order_then_they_are_read_and_nobody_is_asked() -> None:
    bench = Bench()
    bench.births()
    for number in range(600):
        assert bench.flow(number + 0.5, T0 + number) == [Row(FLOW, number + 0.5, T0 + number, "good")]
    assert bench.wait(100) == []
    assert bench.rebirths() == 0


def test_zero_and_null_when_sent_by_alias_then_they_are_told_apart() -> None:
    bench = Bench()
    bench.births()
    assert bench.flow(0.0) == [Row(FLOW, 0.0, T0, "good")]
    assert bench.flow(None) == [Row(FLOW, None, T0, "bad")]


# -- sequence --------------------------------------------------------------------------------------------------------


def test_data_when_one_is_late_then_it_is_waited_for_and_nobody_is_asked() -> None:
    bench = Bench()
    bench.births()
    assert bench.flow(3.0, T0 + 3, seq=3) == []
    assert bench.flow(2.0, T0 + 2, seq=2) == [Row(FLOW, 2.0, T0 + 2, "good"), Row(FLOW, 3.0, T0 + 3, "good")]
    bench.seq = 4
    assert bench.flow(4.0, T0 + 4) == [Row(FLOW, 4.0, T0 + 4, "good")]
    bench.wait(60)
    assert bench.rebirths() == 0


def test_data_when_one_is_lost_then_a_rebirth_is_asked_for_and_the_rest_is_read_after_it() -> None:
    bench = Bench()
    bench.births()
    assert bench.flow(3.0, T0 + 3, seq=3) == []
    assert bench.wait(1.9) == []
    assert bench.rebirths() == 0
    assert bench.wait(0.2) == []
    assert bench.rebirths() == 1
    assert bench.flow(4.0, T0 + 4) == []
    rows = bench.births(time_ms=T0 + 5)
    assert [row for row in rows if not row.first] == [Row(FLOW, 3.0, T0 + 3, "good"), Row(FLOW, 4.0, T0 + 4, "good")]
    assert bench.flow(6.0, T0 + 6) == [Row(FLOW, 6.0, T0 + 6, "good")]
    assert not bench.rejects


def test_data_by_name_when_one_is_lost_then_they_are_read_at_once() -> None:
    bench = Bench()
    bench.births()
    named = payload("NBIRTH", [metric("Flow", 9.0, None)], T0, 77)
    assert bench.take("NDATA", named) == [Row(FLOW, 9.0, T0, "good")]


def test_data_when_half_the_numbers_wait_then_the_wait_is_over_before_they_begin_anew() -> None:
    bench = Bench()
    bench.births()
    for number in range(3, 131):
        assert bench.flow(float(number), T0 + number, seq=number) == []
    bench.wait(0.1)
    assert bench.rebirths() == 1


def test_data_when_the_very_same_message_comes_twice_then_it_is_read_once() -> None:
    bench = Bench()
    bench.births()
    data = payload("NDATA", [metric("Flow", 5.0, 1)], T0, 2)
    assert bench.take("NDATA", data, qos=1) == [Row(FLOW, 5.0, T0, "good")]
    assert bench.take("NDATA", data, qos=1) == []
    bench.seq = 3
    assert bench.flow(6.0) == [Row(FLOW, 6.0, T0, "good")]
    assert bench.wait(60) == []
    assert bench.rebirths() == 0


def test_birth_when_the_very_same_comes_twice_then_the_numbers_go_on() -> None:
    bench = Bench()
    birth = payload("NBIRTH", [*node_birth(0), metric("Flow", 1.0, 1)], T0, 0)
    assert len(bench.take("NBIRTH", birth, qos=1)) == 1
    bench.seq = 1
    assert bench.flow(2.0) == [Row(FLOW, 2.0, T0, "good")]
    assert bench.take("NBIRTH", birth, qos=1) == []
    assert bench.flow(3.0) == [Row(FLOW, 3.0, T0, "good")]


def test_rebirth_requests_when_they_do_not_help_then_they_become_rarer() -> None:
    bench = Bench()
    times = []
    for second in range(2000):
        before = bench.rebirths()
        bench.wait(1)
        times += [second] * (bench.rebirths() - before)
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert pauses[:5] == [10, 20, 40, 80, 160]
    assert max(pauses) <= 301


# -- aliases in doubt ------------------------------------------------------------------------------------------------


def test_alias_when_a_lost_birth_gave_it_to_another_metric_then_it_is_rejected_not_mixed_up() -> None:
    bench = Bench(tags=[
        {"sensor_id": FLOW, "unit": "1", "sparkplug": "G/E//Flow"},
        {"sensor_id": LEVEL, "unit": "1", "sparkplug": "G/E//Level"},
    ])  # fmt: skip
    bench.say("NBIRTH", *node_birth(0), metric("Flow", 1.0, 1), metric("Level", 2.0, 2))
    assert bench.flow(55.0, alias=1, seq=9) == []
    bench.wait(2.1)
    rows = bench.say("NBIRTH", *node_birth(1), metric("Flow", 1.0, 2), metric("Level", 2.0, 1), seq=0)
    assert all(row.first for row in rows)
    (reject,) = bench.rejects
    assert reject["reasons"] == [
        "the alias 1 was Flow (10) and is now Level (10): which of them was sent cannot be told"
    ]
    assert '"value":55.0' in reject["raw"]


def test_alias_when_no_birth_comes_then_the_last_known_one_counts_as_uncertain() -> None:
    bench = Bench()
    bench.births()
    assert bench.flow(3.0, T0 + 3, seq=3) == []
    bench.wait(2.1)
    assert bench.wait(15.1) == [Row(FLOW, 3.0, T0 + 3, "uncertain")]
    assert bench.flow(4.0, T0 + 4) == [Row(FLOW, 4.0, T0 + 4, "uncertain")]
    assert bench.births(time_ms=T0 + 5)
    assert bench.flow(6.0, T0 + 6) == [Row(FLOW, 6.0, T0 + 6, "good")]


def test_alias_when_no_birth_was_ever_seen_then_it_is_rejected_with_its_value() -> None:
    bench = Bench()
    assert bench.flow(3.0, seq=3) == []
    bench.wait(15.1)
    (reject,) = bench.rejects
    assert reject["reasons"][0].startswith(
        "unknown alias 1: no birth certificate has it, and the edge node has sent none"
    )
    assert bench.rebirths() >= 1


def test_alias_when_the_first_birth_comes_after_the_data_then_they_are_read() -> None:
    bench = Bench()
    assert bench.flow(3.0, T0 - 9, seq=3) == []
    assert Row(FLOW, 3.0, T0 - 9, "good") in bench.births()
    assert not bench.rejects


def test_alias_when_unknown_in_order_then_a_rebirth_is_asked_for_and_it_is_read_after_it() -> None:
    bench = Bench()
    bench.births()
    assert bench.flow(8.0, T0 + 1, alias=5) == []
    assert bench.rebirths() == 1
    assert bench.flow(9.0, T0 + 2, alias=1) == [Row(FLOW, 9.0, T0 + 2, "good")]
    bench.seq = 0
    rows = bench.say("NBIRTH", *node_birth(0), metric("Flow", 1.0, 5), time_ms=T0 + 3)
    assert Row(FLOW, 8.0, T0 + 1, "good") in rows


def test_device_data_when_its_birth_is_still_to_come_then_they_wait_for_it() -> None:
    bench = Bench()
    bench.say("NBIRTH", *node_birth(0), metric("Flow", 1.0, 1))
    assert bench.level(4, T0 + 1) == []
    rows = bench.say("DBIRTH", metric("Level", 5, 2, INT16), device="D", time_ms=T0 + 2)
    assert rows == [Row(LEVEL, 5.0, T0 + 2, "good", True), Row(LEVEL, 4.0, T0 + 1, "good")]


def test_metric_when_it_has_neither_name_nor_alias_then_it_is_rejected() -> None:
    bench = Bench()
    bench.births()
    bench.take("NDATA", encode_payload([bytes.fromhex("69000000000000f83f")], timestamp=T0, seq=2))
    assert bench.rejects[0]["reasons"] == ["a metric with neither name nor alias"]


def test_alias_when_it_is_zero_then_it_is_an_alias_like_any_other() -> None:
    bench = Bench()
    bench.births(flow_alias=0)
    assert bench.flow(7.0, alias=0) == [Row(FLOW, 7.0, T0, "good")]


def test_data_when_the_births_do_not_come_then_names_stay_certain_and_aliases_do_not() -> None:
    bench = Bench()
    bench.births()
    bench.flow(3.0, seq=9)
    bench.wait(2.1)
    bench.wait(15.1)
    both = payload("NDATA", [metric("Flow", 6.0, 1), metric("Flow", 7.0, None)], T0 + 1, 10)
    assert bench.take("NDATA", both) == [
        Row(FLOW, 7.0, T0 + 1, "good"),
        Row(FLOW, 6.0, T0 + 1, "uncertain"),
    ]


def test_data_when_too_much_waits_for_a_birth_then_the_oldest_are_read_as_uncertain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("resources.scada.mqtt.sparkplug.waiting.MOST_HELD", 3)
    bench = Bench()
    bench.births()
    bench.flow(0.0, T0, seq=9)
    bench.wait(2.1)
    rows = [row for number in range(1, 5) for row in bench.flow(float(number), T0 + number)]
    assert rows == [Row(FLOW, 0.0, T0, "uncertain"), Row(FLOW, 1.0, T0 + 1, "uncertain")]


def test_devices_when_no_tag_is_of_them_then_they_only_count_in_the_sequence() -> None:
    bench = Bench()
    bench.births()
    for number in range(50):
        bench.say("DBIRTH", metric("X", 1, 7), device=f"other{number}")
        bench.say("DDATA", metric("X", 1, 9), device=f"other{number}")
    bench.say("DDEATH", device="other1")
    assert bench.flow(4.0) == [Row(FLOW, 4.0, T0, "good")]
    (node,) = bench.decoder._roster.nodes
    assert set(node.devices) == {"", "D"}
    assert bench.rebirths() == 0
    assert bench.flow(5.0, seq=150) == []
    bench.say("DDATA", metric("X", 1, 9), device="other1")
    bench.wait(2.1)
    bench.births()
    assert not bench.rejects


# -- deaths ----------------------------------------------------------------------------------------------------------


def test_death_when_it_is_of_this_session_then_all_are_bad_and_reported_until_the_next_birth() -> None:
    bench = Bench()
    bench.births(bd_seq=4)
    bench.clock.advance(60)
    rows = bench.take("NDEATH", death(4), qos=1)
    assert rows == [Row(FLOW, None, T0 + 60_000, "bad"), Row(LEVEL, None, T0 + 60_000, "bad")]
    assert "G/E is offline (NDEATH)" in bench.failed[FLOW]
    assert bench.take("NDEATH", death(4), qos=1) == []
    assert bench.rebirths() == 0
    bench.births(bd_seq=5)
    assert not bench.failed


def test_death_when_it_is_of_an_earlier_session_then_it_is_ignored() -> None:
    bench = Bench()
    bench.births(bd_seq=5)
    assert bench.take("NDEATH", death(4), qos=1) == []
    assert not bench.failed
    assert bench.flow(2.0) == [Row(FLOW, 2.0, T0, "good")]


def test_death_when_our_clock_is_behind_the_edge_nodes_then_bad_still_comes_last() -> None:
    bench = Bench()
    bench.births(time_ms=T0 + 30_000)
    rows = bench.take("NDEATH", death(0))
    assert {row.time_ms for row in rows} == {T0 + 30_000}
    assert all(row.status == "bad" for row in rows)


def test_death_when_our_clock_was_set_back_then_it_is_not_put_into_what_is_the_future_now() -> None:
    bench = Bench()
    bench.births()
    bench.clock.step_wall(-3600)
    rows = bench.take("NDEATH", death(0))
    assert {(row.time_ms, row.status) for row in rows} == {(T0 - 3_600_000, "bad")}


def test_message_without_a_time_when_our_clock_was_set_back_then_it_has_the_time_of_its_receipt() -> None:
    bench = Bench()
    bench.births()

    def timeless(value: float) -> list[Row]:
        bench.seq += 1
        data = encode_payload([encode_metric(metric("Flow", value, 1), whole=False)], seq=bench.seq - 1)
        return bench.take("NDATA", data)

    assert timeless(2.0) == [Row(FLOW, 2.0, T0, "good")]
    bench.clock.step_wall(-3600)
    assert timeless(3.0) == [Row(FLOW, 3.0, T0 - 3_600_000, "good")]


def test_device_death_when_told_then_only_the_device_is_bad_from_its_time_on() -> None:
    bench = Bench()
    bench.births()
    assert bench.say("DDEATH", device="D", time_ms=T0 + 500) == [Row(LEVEL, None, T0 + 500, "bad")]
    assert set(bench.failed) == {LEVEL}
    assert bench.flow(2.0) == [Row(FLOW, 2.0, T0, "good")]
    bench.say("DBIRTH", metric("Level", 1, 2, INT16), device="D")
    assert not bench.failed


# -- reports ---------------------------------------------------------------------------------------------------------


def test_birth_when_a_metric_is_gone_then_it_is_reported_once_and_the_rest_goes_on() -> None:
    bench = Bench()
    for bd_seq in (0, 1):
        bench.seq = 0
        bench.say("NBIRTH", *node_birth(bd_seq), metric("Flow rate", 1.0, 1))
    assert bench.reports == [
        (
            FLOW,
            "the birth certificate of G/E has no metric Flow: it was renamed or removed; change the tag's metric "
            "(gl tags discover lists them)",
        )
    ]
    bench.births(bd_seq=2)
    assert bench.reports[-1] == (FLOW, "recovered")


def test_edge_node_when_it_never_answers_then_its_tags_are_reported() -> None:
    bench = Bench()
    bench.wait(26)
    assert "no birth certificate has come from G/E" in bench.failed[FLOW]
    assert set(bench.failed) == {FLOW, LEVEL}
    bench.births()
    assert not bench.failed


def test_device_when_only_the_edge_node_is_born_then_its_tags_are_reported() -> None:
    bench = Bench()
    bench.say("NBIRTH", *node_birth(0), metric("Flow", 1.0, 1))
    bench.wait(15.1)
    assert set(bench.failed) == {LEVEL}
    assert "no birth certificate of the device D" in bench.failed[LEVEL]


def test_reports_when_made_before_the_subscription_is_granted_then_they_come_with_it() -> None:
    bench = Bench()
    bench.decoder.lost()
    bench.decoder.opening()
    bench.births(bd_seq=0)
    bench.take("NDEATH", death(0))
    assert not bench.failed
    bench.decoder.connected(bench, bench)
    assert set(bench.failed) == {FLOW, LEVEL}


# -- connections and processes ---------------------------------------------------------------------------------------


def test_connection_when_it_comes_back_and_the_numbers_go_on_then_nobody_is_asked() -> None:
    bench = Bench()
    bench.births()
    bench.decoder.lost()
    bench.connect()
    assert bench.flow(2.0) == [Row(FLOW, 2.0, T0, "good")]
    bench.wait(100)
    assert bench.rebirths() == 0


def test_connection_when_it_comes_back_to_silence_then_the_edge_node_is_asked() -> None:
    bench = Bench()
    bench.births()
    bench.decoder.lost()
    bench.connect()
    bench.wait(2.1)
    assert bench.rebirths() == 1


def test_process_when_it_ended_cleanly_and_the_numbers_go_on_then_aliases_are_known_at_once(tmp_path: Path) -> None:
    first = Bench(state=tmp_path)
    first.births()
    first.decoder.lost()
    second = Bench(state=tmp_path, seq=2)
    assert second.flow(2.0) == [Row(FLOW, 2.0, T0, "good")]
    assert second.level(7) == [Row(LEVEL, 7.0, T0, "good")]
    assert second.rebirths() == 0


def test_process_when_it_was_killed_then_aliases_are_known_but_wait_for_the_birth(tmp_path: Path) -> None:
    first = Bench(state=tmp_path)
    first.births()
    second = Bench(state=tmp_path, seq=2)
    assert second.flow(2.0, T0 + 1) == []
    assert second.rebirths() == 1
    rows = second.births(time_ms=T0 + 2)
    assert Row(FLOW, 2.0, T0 + 1, "good") in rows


def test_process_when_it_was_killed_and_the_edge_node_says_nothing_then_aliases_are_uncertain(tmp_path: Path) -> None:
    Bench(state=tmp_path).births()
    second = Bench(state=tmp_path, seq=2)
    assert second.flow(2.0) == []
    assert second.wait(15.1) == [Row(FLOW, 2.0, T0, "uncertain")]


def test_process_when_killed_with_messages_held_back_then_those_of_qos_1_are_read_by_the_next(tmp_path: Path) -> None:
    first = Bench(state=tmp_path)
    first.births()
    assert first.flow(3.0, T0 + 3, seq=3, qos=1) == []
    assert first.flow(4.0, T0 + 4, qos=0) == []
    second = Bench(state=tmp_path)
    assert [row for row in second.births(time_ms=T0 + 9) if not row.first] == [Row(FLOW, 3.0, T0 + 3, "good")]
    second.wait(61)
    assert not any(row.time_ms == T0 + 3 for row in Bench(state=tmp_path).births())


def test_process_when_killed_with_births_held_back_then_they_are_no_news_to_the_next(tmp_path: Path) -> None:
    first = Bench(state=tmp_path)
    first.births()
    first.say("DBIRTH", metric("Level", 5, 3, INT16), device="D", seq=9, qos=1)
    both = payload("NDATA", [metric("Flow", 6.0, 1), metric("Flow", 7.0, None)], T0 + 1, 10)
    assert first.take("NDATA", both, qos=1) == [Row(FLOW, 7.0, T0 + 1, "good")]
    second = Bench(state=tmp_path)
    assert second.wait(0.1) == [Row(FLOW, 7.0, T0 + 1, "good")]
    assert Row(FLOW, 6.0, T0 + 1, "good") in second.births(time_ms=T0 + 9)
    assert not any(row.sensor_id == LEVEL and row.value == 5 for row in second.wait(61))


def test_process_when_it_starts_then_a_death_of_an_earlier_session_is_still_known_for_one(tmp_path: Path) -> None:
    Bench(state=tmp_path).births(bd_seq=8)
    second = Bench(state=tmp_path)
    assert second.take("NDEATH", death(7)) == []
    assert {row.status for row in second.take("NDEATH", death(8))} == {"bad"}


def test_state_when_the_file_is_spoilt_then_it_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "sparkplug.sqlite").write_bytes(b"this is no database" * 100)
    bench = Bench(state=tmp_path)
    bench.births()
    assert (tmp_path / "sparkplug.spoilt").exists()
    assert Bench(state=tmp_path, seq=2).flow(2.0) == []


def test_state_when_the_folder_cannot_be_made_then_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        Bench(state=tmp_path / "file" / "state")
