"""What the OPC UA connector owes beyond the common contract: security, types, statuses, acknowledgements."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asyncua import ua

from resources.core.clock import from_micros
from resources.core.errors import AuthError, ConfigError, ProtocolError, UnreachableError
from resources.scada.opc_ua.client import OpcUaClient
from resources.scada.opc_ua.resource import OpcUaResource
from resources.transport.trust.certificates import CertificateAuthority
from tests.contract.scada.recorder import Recorder, running, until
from tests.contract.scada.rigs import FLOW, NAMESPACE, TEMPERATURE, OpcUaRig, Surroundings
from tests.contract.scada.test_every_connector import SECOND_US, START_US


def _ready(rig: OpcUaRig, **changes: Any) -> tuple[OpcUaClient, Recorder]:
    config = rig.config(**changes)
    catalog = rig.catalog(config)
    return rig.build(config, catalog), Recorder(catalog)


async def _refused(rig: OpcUaRig, **changes: Any) -> None:
    client, recorder = _ready(rig, **changes)
    await asyncio.wait_for(client.run(recorder.emit, recorder), 30)


@pytest.mark.parametrize(
    ("policy", "mode"),
    [
        ("Aes128_Sha256_RsaOaep", "SignAndEncrypt"),
        ("Aes256_Sha256_RsaPss", "SignAndEncrypt"),
        ("Basic256Sha256", "Sign"),
    ],
)
async def test_run_when_a_policy_is_chosen_then_it_is_spoken(opc_ua_rig: OpcUaRig, policy: str, mode: str) -> None:
    client, recorder = _ready(opc_ua_rig, security_policy=policy, security_mode=mode)
    async with running(client, recorder) as task:
        await opc_ua_rig.put(3.0, START_US)
        await until(lambda: recorder.has(TEMPERATURE, START_US, 3.0), "a reading", task)
    assert recorder.facts[0]["security"] == f"{policy} {mode}, user reader"


async def test_run_when_the_server_certificate_itself_is_pinned_then_it_is_accepted(opc_ua_rig: OpcUaRig) -> None:
    client, recorder = _ready(opc_ua_rig, server_certificate=opc_ua_rig.server_pair.certificate)
    async with running(client, recorder):
        pass


async def test_run_when_the_server_shows_another_certificate_then_auth_error(
    opc_ua_rig: OpcUaRig, tmp_path: Path
) -> None:
    other = CertificateAuthority.create(tmp_path / "other")
    with pytest.raises(AuthError, match="neither the configured server_certificate nor signed by it"):
        await _refused(opc_ua_rig, server_certificate=other.certificate)
    with pytest.raises(AuthError, match="neither the configured"):
        await _refused(opc_ua_rig, server_certificate=opc_ua_rig.client_pair.certificate)


class ExpiredRig(OpcUaRig):
    server_valid = (datetime.now(UTC) - timedelta(days=9), datetime.now(UTC) - timedelta(days=2))


@pytest_asyncio.fixture
async def expired_rig(surroundings: Surroundings) -> AsyncIterator[ExpiredRig]:
    rig = ExpiredRig(surroundings)
    await rig.start()
    yield rig
    await rig.stop()


async def test_run_when_the_server_certificate_has_expired_then_auth_error_says_when(expired_rig: ExpiredRig) -> None:
    with pytest.raises(AuthError, match=r"certificate of the server .* expired on \d{4}-.*have a new one issued"):
        await _refused(expired_rig)


async def test_run_when_our_certificate_has_expired_then_auth_error_names_the_file(opc_ua_rig: OpcUaRig) -> None:
    now = datetime.now(UTC)
    old = opc_ua_rig.around.authority.issue(
        "old-client", application_uri="urn:gl:test:client", valid=(now - timedelta(days=2), now - timedelta(days=1))
    )
    with pytest.raises(AuthError, match=r"client_certificate .*old-client\.pem expired on"):
        await _refused(opc_ua_rig, client_certificate=old.certificate, client_key=old.key)


async def test_run_when_the_policy_is_not_offered_then_protocol_error_lists_what_is(opc_ua_rig: OpcUaRig) -> None:
    with pytest.raises(
        ProtocolError, match=r"offers no Aes128_Sha256_RsaOaep Sign, only .*Basic256Sha256 SignAndEncrypt"
    ):
        await _refused(opc_ua_rig, security_policy="Aes128_Sha256_RsaOaep", security_mode="Sign")


async def test_run_when_files_are_not_what_they_should_be_then_config_error(
    opc_ua_rig: OpcUaRig, tmp_path: Path
) -> None:
    no_uri = opc_ua_rig.around.authority.issue("no-uri", rsa_key=True)
    with pytest.raises(ConfigError, match="names no application URI"):
        await _refused(opc_ua_rig, client_certificate=no_uri.certificate, client_key=no_uri.key)
    with pytest.raises(ConfigError, match=r"client_key .*missing\.key cannot be read"):
        await _refused(opc_ua_rig, client_key=tmp_path / "missing.key")
    rubbish = tmp_path / "rubbish.key"
    rubbish.write_text("-----BEGIN RUBBISH-----")
    with pytest.raises(ConfigError, match="cannot be used"):
        await _refused(opc_ua_rig, client_key=rubbish)


async def test_run_when_a_string_comes_where_a_number_is_due_then_it_is_rejected(opc_ua_rig: OpcUaRig) -> None:
    tags = [
        {"sensor_id": "text", "unit": "1", "node_id": f"nsu={NAMESPACE};s=text"},
        {"sensor_id": "temperature", "unit": "Cel", "node_id": f"nsu={NAMESPACE};s={TEMPERATURE}"},
    ]
    client, recorder = _ready(opc_ua_rig, tags=tags)
    async with running(client, recorder) as task:
        await until(lambda: bool(recorder.rejects()), "the reject", task)
        await opc_ua_rig.put(3.0, START_US)
        await until(lambda: recorder.has("temperature", START_US, 3.0), "the number beside it", task)
    (reject,) = recorder.rejects()
    assert reject["reasons"] == ["wrong type: a String where a number is due"]
    assert '"running"' in reject["raw"]


async def test_run_when_statuses_and_nan_come_then_they_pass_as_they_are(opc_ua_rig: OpcUaRig) -> None:
    client, recorder = _ready(opc_ua_rig)
    node = opc_ua_rig.nodes[TEMPERATURE]
    async with running(client, recorder) as task:
        await until(lambda: any(row.only_if_newer for row in recorder.rows()), "the first value", task)
        for number, code in enumerate((0x40900000, 0x808C0000, 0)):
            value = ua.DataValue(
                ua.Variant(float("nan"), ua.VariantType.Double),
                StatusCode=ua.StatusCode(ua.UInt32(code)),
                SourceTimestamp=from_micros(START_US + number * SECOND_US),
            )
            # asyncua's server wants to see its own write allowed for a bad status
            await opc_ua_rig.server.write_attribute_value(node.nodeid, value)
        at = START_US + 2 * SECOND_US
        await until(lambda: any(row.time_us == at for row in recorder.rows()), "the last of them", task)
    found = {row.time_us: row for row in recorder.rows() if row.sensor_id == TEMPERATURE}
    assert [found[START_US + n * SECOND_US].status for n in range(3)] == ["uncertain", "bad", "good"]
    value = found[START_US].value
    assert value is not None
    assert value != value  # noqa: PLR0124 - only NaN differs from itself


async def test_run_when_subscribed_then_the_first_values_are_only_if_newer_and_not_counted(
    opc_ua_rig: OpcUaRig,
) -> None:
    await opc_ua_rig.put(8.0, START_US)
    client, recorder = _ready(opc_ua_rig)
    async with running(client, recorder) as task:
        await until(lambda: len(recorder.rows()) == 2, "the first values", task)
        assert all(row.only_if_newer for row in recorder.rows())
        assert recorder.counts["sent"] == 1  # the bad node's reject
        await opc_ua_rig.put(9.0, START_US + SECOND_US)
        await until(lambda: len(recorder.rows()) == 4, "the change", task)
    assert recorder.counts["sent"] == 3


async def test_run_when_a_burst_comes_between_two_publishes_then_every_value_arrives_in_order(
    opc_ua_rig: OpcUaRig,
) -> None:
    client, recorder = _ready(opc_ua_rig, publishing_interval="200ms", queue_size=500)
    async with running(client, recorder) as task:
        await until(lambda: len(recorder.rows()) == 2, "the first values", task)
        for number in range(200):
            await opc_ua_rig.put(float(number), START_US + number * SECOND_US)
        await until(lambda: len(recorder.rows()) == 402, "the burst", task)
    assert [row.value for row in recorder.rows() if row.sensor_id == TEMPERATURE][1:] == [float(n) for n in range(200)]


async def test_run_when_a_node_appears_later_then_it_is_monitored(opc_ua_rig: OpcUaRig) -> None:
    client, recorder = _ready(opc_ua_rig, retry_bad_items_after="100ms")
    async with running(client, recorder) as task:
        await until(lambda: len(recorder.failed) == 1, "the unknown node", task)
        index = await opc_ua_rig.server.get_namespace_index(NAMESPACE)
        await opc_ua_rig.server.nodes.objects.add_variable(ua.NodeId("nowhere", index), "late", 5.0)
        await until(lambda: recorder.recovered == ["rig.bad"], "the recovery", task)
        await until(lambda: any(row.sensor_id == "rig.bad" for row in recorder.rows()), "its value", task)
    assert recorder.failed[0][1].startswith("BadNodeIdUnknown")


async def test_run_when_a_namespace_is_not_there_then_its_items_fail_and_others_go_on(opc_ua_rig: OpcUaRig) -> None:
    tags = opc_ua_rig.tags(
        temperature={"node_id": f"nsu={NAMESPACE};s={TEMPERATURE}"},
        flow={"node_id": "nsu=urn:nowhere;s=x"},
        bad={"node_id": "ns=2;s=y"},
    )
    client, recorder = _ready(opc_ua_rig, tags=tags)
    async with running(client, recorder) as task:
        await opc_ua_rig.put(3.0, START_US)
        await until(lambda: recorder.has(TEMPERATURE, START_US, 3.0), "the good one", task)
    assert dict(recorder.failed)[FLOW].startswith("the server has no namespace urn:nowhere")
    assert "by index" in dict(recorder.failed)["rig.bad"]


async def test_run_when_durable_then_the_server_forgets_the_notification_and_not_before(opc_ua_rig: OpcUaRig) -> None:
    client, recorder = _ready(opc_ua_rig)
    recorder.durable = False
    async with running(client, recorder) as task:
        await opc_ua_rig.put(3.0, START_US)
        await until(lambda: recorder.has(TEMPERATURE, START_US, 3.0), "a reading", task)
        await opc_ua_rig.put(4.0, START_US + SECOND_US)
        await until(lambda: recorder.has(TEMPERATURE, START_US + SECOND_US, 4.0), "another", task)
        kept = _unacknowledged(opc_ua_rig)
        assert kept >= 2
        for acknowledge in recorder.owed:
            acknowledge()
        recorder.durable = True
        at = START_US + 2 * SECOND_US
        await opc_ua_rig.put(5.0, at)
        await until(lambda: _unacknowledged(opc_ua_rig) < kept, "the acknowledgement", task)


def _unacknowledged(rig: OpcUaRig) -> int:
    subscriptions = rig.server.iserver.subscription_service.subscriptions.values()
    return sum(len(s._not_acknowledged_results) for s in subscriptions)


async def test_run_when_running_then_several_publish_requests_wait_at_the_server(opc_ua_rig: OpcUaRig) -> None:
    client, recorder = _ready(opc_ua_rig, publish_requests=4)
    async with running(client, recorder) as task:
        processors = opc_ua_rig.server.bserver.iserver
        assert processors is not None
        await until(lambda: _waiting_publishes(opc_ua_rig) >= 2, "two outstanding publish requests", task)


def _waiting_publishes(rig: OpcUaRig) -> int:
    return max((len(p.processor._publish_requests) for p in rig.server.bserver.clients), default=0)


async def test_run_when_the_server_falls_silent_then_unreachable_error(opc_ua_rig: OpcUaRig) -> None:
    client, recorder = _ready(opc_ua_rig, connect_timeout="1s")
    async with running(client, recorder) as task:
        opc_ua_rig.proxy.deaf = True
        with pytest.raises(UnreachableError, match="source rig"):
            await asyncio.wait_for(asyncio.shield(task), 60)


async def test_read_when_a_node_cannot_be_resolved_then_protocol_error(opc_ua_rig: OpcUaRig) -> None:
    tags = [{"sensor_id": "x", "unit": "1", "node_id": "nsu=urn:nowhere;s=x"}]
    client, _ = _ready(opc_ua_rig, tags=tags)
    with pytest.raises(ProtocolError, match="no namespace urn:nowhere"):
        await client.read()


async def test_resource_when_read_and_subscribed_then_values_come_with_names(opc_ua_rig: OpcUaRig) -> None:
    await opc_ua_rig.put(4.0, START_US)
    resource = OpcUaResource.of("rig", opc_ua_rig.config())
    value = await asyncio.to_thread(resource.read_sensor, FLOW)
    assert (value.sensor_id, value.value, value.unit, value.status) == (FLOW, 9.0, "kg/h", "good")
    values = await asyncio.to_thread(resource.subscribe_sensors, 3.0)
    assert {v.sensor_id for v in values} == {TEMPERATURE, FLOW}
