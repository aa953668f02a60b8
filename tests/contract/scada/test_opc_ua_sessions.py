"""What the OPC UA connector does after a cut: session, subscriptions and notifications taken up again."""

import asyncio

import pytest
from asyncua import ua

from resources.core.errors import UnreachableError
from resources.scada.opc_ua.sessions import session
from resources.transport.trust.certificates import IssuedCertificate
from tests.contract.scada.complete_opc_ua_rig import SECOND_US, START_US, lost, put_and_see, ready, values_of
from tests.contract.scada.complete_opc_ua_server import CompleteServer
from tests.contract.scada.proxy import CuttableProxy
from tests.contract.scada.recorder import running, until


@pytest.mark.parametrize("secure", [False, True], ids=["without security", "Basic256Sha256"])
async def test_run_when_a_cut_is_shorter_than_the_lifetime_then_the_session_goes_on_and_nothing_is_lost(
    complete_server: CompleteServer, complete_proxy: CuttableProxy, client_pair: IssuedCertificate, secure: bool
) -> None:
    await complete_server.add("a")
    security = {
        "insecure_no_security": False,
        "client_certificate": client_pair.certificate,
        "client_key": client_pair.key,
        "server_certificate": client_pair.authority,
    }
    client, recorder = ready(complete_proxy.port, "a", **(security if secure else {}))
    async with running(client, recorder) as task:
        await put_and_see(complete_server, recorder, 1, task)
        # what the server sends now is lost on its way: it has it for Republish only
        complete_proxy.deaf = True
        sent = complete_server.notifications
        await complete_server.put("a", 2.0, START_US + 2 * SECOND_US)
        await until(lambda: complete_server.notifications > sent, "a notification that was sent", task)
        complete_proxy.cut()
        await lost(task)
        complete_proxy.deaf = False
        # and this is queued in the subscription while nobody is there
        for number in (3, 4):
            await complete_server.put("a", float(number), START_US + number * SECOND_US)
    sessions, subscriptions = complete_server.sessions, complete_server.subscriptions
    async with running(client, recorder) as task:
        await until(lambda: len(values_of(recorder, "a")) == 4, "everything that was sent", task)
        await put_and_see(complete_server, recorder, 5, task)
        assert (
            (complete_server.sessions, complete_server.subscriptions) == (sessions, subscriptions) == (1, subscriptions)
        )
    assert values_of(recorder, "a") == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert [facts["session"] for facts in recorder.facts] == ["new", "resumed"]
    assert [facts["unbroken"] for facts in recorder.facts] == ["False", "True"]
    assert complete_server.seen.republished
    assert recorder.gaps == []
    assert recorder.counts["sent"] == 5


async def test_run_when_a_notification_arrived_but_was_not_acknowledged_then_it_comes_once(
    complete_server: CompleteServer, complete_proxy: CuttableProxy
) -> None:
    await complete_server.add("a")
    client, recorder = ready(complete_proxy.port, "a")
    recorder.durable = False
    async with running(client, recorder) as task:
        for number in (1, 2, 3):
            await put_and_see(complete_server, recorder, number, task)
        complete_proxy.cut()
        await lost(task)
    assert complete_server.unacknowledged >= 3
    recorder.durable = True
    for acknowledge in recorder.owed:
        acknowledge()
    async with running(client, recorder) as task:
        await put_and_see(complete_server, recorder, 4, task)
        await put_and_see(complete_server, recorder, 5, task)
        await until(
            lambda: complete_server.unacknowledged <= 1, "the acknowledgement of what came before the cut", task
        )
    assert values_of(recorder, "a") == [1.0, 2.0, 3.0, 4.0, 5.0]


async def test_run_when_the_session_is_gone_then_a_new_one_takes_the_subscriptions_over(
    complete_server: CompleteServer, complete_proxy: CuttableProxy
) -> None:
    await complete_server.add("a")
    client, recorder = ready(complete_proxy.port, "a")
    async with running(client, recorder) as task:
        await put_and_see(complete_server, recorder, 1, task)
        complete_proxy.deaf = True
        sent = complete_server.notifications
        await complete_server.put("a", 2.0, START_US + 2 * SECOND_US)
        await until(lambda: complete_server.notifications > sent, "a notification that was sent", task)
        complete_proxy.cut()
        await lost(task)
    complete_proxy.deaf = False
    subscriptions = complete_server.subscriptions
    await complete_server.end_sessions(delete_subscriptions=False)
    await complete_server.put("a", 3.0, START_US + 3 * SECOND_US)
    async with running(client, recorder) as task:
        await until(lambda: len(values_of(recorder, "a")) == 3, "everything that was sent", task)
        await put_and_see(complete_server, recorder, 4, task)
        assert complete_server.seen.transferred == subscriptions
        assert complete_server.sessions == 1
    assert values_of(recorder, "a") == [1.0, 2.0, 3.0, 4.0]
    assert recorder.facts[-1]["session"] == "transferred"
    assert recorder.facts[-1]["unbroken"] == "True"
    assert recorder.gaps == []


async def test_run_when_the_subscriptions_are_gone_then_they_are_made_anew_and_the_cut_is_a_gap(
    complete_server: CompleteServer, complete_proxy: CuttableProxy
) -> None:
    await complete_server.add("a")
    client, recorder = ready(complete_proxy.port, "a")
    async with running(client, recorder) as task:
        await put_and_see(complete_server, recorder, 1, task)
        complete_proxy.cut()
        await lost(task)
    await complete_server.delete_subscriptions()
    await complete_server.put("a", 2.0, START_US + 2 * SECOND_US)
    async with running(client, recorder) as task:
        await put_and_see(complete_server, recorder, 3, task)
    assert recorder.facts[-1]["unbroken"] == "False"
    assert values_of(recorder, "a") == [1.0, 3.0]  # 2 is a first value


async def test_run_when_the_server_has_restarted_then_nothing_of_its_former_life_is_used(
    complete_server: CompleteServer, complete_proxy: CuttableProxy
) -> None:
    await complete_server.add("a")
    client, recorder = ready(complete_proxy.port, "a")
    async with running(client, recorder) as task:
        await put_and_see(complete_server, recorder, 1, task)
        await complete_server.reboot()
        await lost(task)
    async with running(client, recorder) as task:
        await put_and_see(complete_server, recorder, 2, task)
    assert recorder.facts[-1]["session"] == "new"
    assert complete_server.seen.transferred == []
    assert complete_server.sessions <= 1


async def test_run_when_the_server_comes_back_with_other_namespace_indices_then_tags_are_found_by_uri(
    complete_server: CompleteServer, complete_proxy: CuttableProxy
) -> None:
    await complete_server.add("a", "b")
    client, recorder = ready(complete_proxy.port, "a", "b")
    async with running(client, recorder) as task:
        await put_and_see(complete_server, recorder, 1, task)
        before = complete_server.index
        await complete_server.reboot("urn:newcomer")
        await lost(task)
    async with running(client, recorder) as task:
        await put_and_see(complete_server, recorder, 2, task)
    assert complete_server.index == before + 1
    assert recorder.failed == []


async def test_run_when_queues_overflow_during_a_cut_then_the_cut_is_a_gap(
    complete_server: CompleteServer, complete_proxy: CuttableProxy
) -> None:
    await complete_server.add("a")
    client, recorder = ready(complete_proxy.port, "a", queue_size=3)
    async with running(client, recorder) as task:
        await put_and_see(complete_server, recorder, 1, task)
        complete_proxy.cut()
        await lost(task)
    await until(lambda: complete_proxy.connections == 0, "the end of the connection")
    kept = complete_server.unacknowledged
    for number in range(2, 12):
        await complete_server.put("a", float(number), START_US + number * SECOND_US)
    assert complete_server.unacknowledged <= kept + 5
    async with running(client, recorder) as task:
        await until(lambda: 11.0 in values_of(recorder, "a"), "the last value", task)
    assert recorder.counts["overflows"] >= 1
    assert "queues overflowed during a cut" in recorder.gaps[0][2]


async def test_run_when_notifications_are_lost_for_good_then_the_stretch_is_a_gap(
    complete_server: CompleteServer, complete_proxy: CuttableProxy
) -> None:
    await complete_server.add("a")
    client, recorder = ready(complete_proxy.port, "a")
    async with running(client, recorder) as task:
        await put_and_see(complete_server, recorder, 1, task)

        await complete_server.count_on(3)  # as a server does whose retransmission queue is short
        await put_and_see(complete_server, recorder, 2, task)
        await until(lambda: bool(recorder.gaps), "the gap", task)
        await put_and_see(complete_server, recorder, 3, task)
    assert "3 notifications were lost" in recorder.gaps[0][2]
    assert len(recorder.gaps) == 1


async def test_run_when_the_server_is_not_back_yet_then_its_session_is_still_tried_later(
    complete_server: CompleteServer, complete_proxy: CuttableProxy
) -> None:
    await complete_server.add("a")
    client, recorder = ready(complete_proxy.port, "a")
    async with running(client, recorder) as task:
        await put_and_see(complete_server, recorder, 1, task)
        await complete_proxy.stop()
        await lost(task)
    for _ in range(2):
        with pytest.raises(UnreachableError, match="refused"):
            await client.run(recorder.emit, recorder)
    await complete_server.put("a", 2.0, START_US + 2 * SECOND_US)
    await complete_proxy.start()
    async with running(client, recorder) as task:
        await put_and_see(complete_server, recorder, 3, task)
    assert values_of(recorder, "a") == [1.0, 2.0, 3.0]
    assert recorder.facts[-1]["unbroken"] == "True"


async def test_run_when_stopped_then_the_server_keeps_neither_session_nor_subscription(
    complete_server: CompleteServer,
) -> None:
    await complete_server.add("a")
    client, recorder = ready(complete_server.port, "a")
    async with running(client, recorder):
        assert complete_server.sessions == 1
    await until(lambda: complete_server.sessions == 0, "the end of the session")
    assert complete_server.subscriptions == []


async def test_run_when_the_server_has_no_transfer_then_a_new_session_begins_anew(
    complete_server: CompleteServer, complete_proxy: CuttableProxy
) -> None:
    await complete_server.add("a")
    await complete_server.limit(transfers=0)
    client, recorder = ready(complete_proxy.port, "a")
    async with running(client, recorder) as task:
        await put_and_see(complete_server, recorder, 1, task)
        complete_proxy.cut()
        await lost(task)
    await complete_server.end_sessions(delete_subscriptions=False)
    async with running(client, recorder) as task:
        await put_and_see(complete_server, recorder, 2, task)
    assert (recorder.facts[-1]["session"], recorder.facts[-1]["unbroken"]) == ("new", "False")


async def test_run_when_another_endpoint_is_to_be_used_then_nothing_of_the_first_is_asked_of_it(
    complete_server: CompleteServer, complete_proxy: CuttableProxy
) -> None:
    await complete_server.add("a")
    client, recorder = ready(complete_proxy.port, "a", other_endpoints=[f"127.0.0.1:{complete_server.port}"])
    async with running(client, recorder) as task:
        await put_and_see(complete_server, recorder, 1, task)
        complete_proxy.cut()
        await lost(task)
    client.use(1)
    async with running(client, recorder) as task:
        await put_and_see(complete_server, recorder, 2, task)
    assert recorder.facts[-1]["session"] == "new"
    assert recorder.facts[-1]["endpoint"] == f"opc.tcp://127.0.0.1:{complete_server.port}/gl"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (ua.StatusCodes.BadTimeout, "had not heard from us within its lifetime"),
        (ua.StatusCodes.GoodSubscriptionTransferred, "another session has taken the subscription over"),
    ],
    ids=["timed out", "taken over"],
)
async def test_run_when_the_subscription_has_ended_then_the_session_is_closed_and_the_next_begins_anew(
    complete_server: CompleteServer, code: int, said: str
) -> None:
    await complete_server.add("a")
    client, recorder = ready(complete_server.port, "a")
    async with running(client, recorder) as task:
        await put_and_see(complete_server, recorder, 1, task)
        await complete_server.tell_status(code)
        await complete_server.put("a", 2.0, START_US + 2 * SECOND_US)
        with pytest.raises(UnreachableError, match=said):
            await asyncio.wait_for(asyncio.shield(task), 60)
    async with running(client, recorder) as task:
        await put_and_see(complete_server, recorder, 3, task)
        assert complete_server.sessions == 1
    assert recorder.facts[-1]["session"] == "new"


async def test_run_when_the_server_tells_another_bad_status_then_reading_goes_on(
    complete_server: CompleteServer,
) -> None:
    await complete_server.add("a")
    client, recorder = ready(complete_server.port, "a")
    async with running(client, recorder) as task:
        await complete_server.tell_status(ua.StatusCodes.BadNodeIdUnknown)
        await put_and_see(complete_server, recorder, 1, task)
        await put_and_see(complete_server, recorder, 2, task)


async def test_run_when_sequence_numbers_jump_far_or_repeat_then_reading_goes_on(
    complete_server: CompleteServer,
) -> None:
    await complete_server.add("a")
    client, recorder = ready(complete_server.port, "a")
    async with running(client, recorder) as task:
        await put_and_see(complete_server, recorder, 1, task)
        await complete_server.count_on(50_000)
        await put_and_see(complete_server, recorder, 2, task)
        assert "50000 notifications were lost" in recorder.gaps[0][2]
        assert complete_server.seen.republished == []
        await complete_server.count_on(-1)  # as if it were sent a second time
        sent = complete_server.notifications
        await complete_server.put("a", 3.0, START_US + 3 * SECOND_US)
        await until(lambda: complete_server.notifications > sent, "the notification", task)
        await put_and_see(complete_server, recorder, 4, task)
    assert values_of(recorder, "a") == [1.0, 2.0, 4.0]


async def test_run_when_the_channel_is_renewed_then_reading_goes_on(
    complete_server: CompleteServer, client_pair: IssuedCertificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_RENEW_AT", 50 / 3_600_000)
    await complete_server.add("a")
    client, recorder = ready(
        complete_server.port,
        "a",
        insecure_no_security=False,
        client_certificate=client_pair.certificate,
        client_key=client_pair.key,
        server_certificate=client_pair.authority,
    )
    async with running(client, recorder) as task:
        for number in range(1, 6):
            tokens = complete_server.channel_tokens()
            await until(lambda tokens=tokens: complete_server.channel_tokens() > tokens, "a renewal", task)
            await put_and_see(complete_server, recorder, number, task)


async def test_run_when_namespaces_are_renumbered_while_connected_then_everything_is_subscribed_anew(
    complete_server: CompleteServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_LOOK_EVERY_S", 0.1)
    await complete_server.add("a")
    client, recorder = ready(complete_server.port, "a")
    async with running(client, recorder) as task:
        await put_and_see(complete_server, recorder, 1, task)
        await complete_server.renumber("urn:another newcomer")
        with pytest.raises(UnreachableError, match="has renumbered its namespaces"):
            await asyncio.wait_for(asyncio.shield(task), 60)
    async with running(client, recorder) as task:
        await put_and_see(complete_server, recorder, 2, task)
    assert recorder.facts[-1]["session"] == "new"


async def test_check_health_when_connected_or_not_then_the_service_level_or_unreachable_error(
    complete_server: CompleteServer,
) -> None:
    await complete_server.add("a")
    client, recorder = ready(complete_server.port, "a")
    with pytest.raises(UnreachableError, match="no session to ask by"):
        await client.check_health()
    async with running(client, recorder):
        assert (await client.check_health()).service_level == 255
