"""What no message may do: choose its algorithm or key, pass altered, or be read by another than its receiver."""

from __future__ import annotations

import base64
import functools
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwk import OKPKey

from resources.agents.config import AgentsConfig
from resources.agents.orchestration.guard import encryption_faults
from resources.agents.security.encryption import PayloadCipher
from resources.agents.security.judge import Judge, Verdict
from resources.agents.security.keys import PrivateKey, PublicKeys, encryption_keys_path, generate_keys, load_private_key
from resources.agents.security.sealing import Sealer, SendingRules, SigningKey
from resources.agents.security.tokens import open_token, sign
from resources.agents.wire.message import CommandOffer, Formatter, Message, rfc3339
from resources.agents.wire.permissions import PermissionRule, Permissions, undeclared_role
from resources.agents.wire.refusals import Refusals, RefusedError
from resources.core.clock import ManualClock
from resources.core.errors import ConfigError, DataError
from resources.transport.broker import BrokerConfig

NOW = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
EVERYONE = ("GL-001", "GL-002", "GL-003")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("keys")
    generate_keys(made, EVERYONE, encryption=True)
    generate_keys(made, ["GL-004"])
    return made


@functools.cache
def public(folder: Path) -> PublicKeys:
    return PublicKeys(folder / "public-keys.jwks")


@functools.cache
def orchestrator_key(folder: Path) -> PrivateKey:
    return load_private_key(folder / "GL-001.jwk")


def command(args: Any = None, targets: tuple[str, ...] = ("GL-002",), name: str = "x") -> Message:
    return Formatter("GL-001", ManualClock(NOW)).command(name, args or {}, targets=list(targets), timeout_s=600)


def b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def unb64(data: bytes) -> bytes:
    return base64.urlsafe_b64decode(data + b"=" * (-len(data) % 4))


def signed_with(folder: Path, header: Any, body: bytes) -> bytes:
    """A token whose signature holds, over any header: what the owner of a key could send."""
    d = orchestrator_key(folder).key.as_dict(private=True)["d"]
    secret = Ed25519PrivateKey.from_private_bytes(unb64(str(d).encode()))
    signing_input = b64(json.dumps(header).encode()) + b"." + body
    return signing_input + b"." + b64(secret.sign(signing_input))


HEADER_VALUES = st.one_of(st.text(max_size=12), st.integers(), st.none(), st.booleans(), st.lists(st.text(max_size=5)))


@given(
    alg=st.one_of(
        st.sampled_from(
            ["none", "None", "NONE", "nOnE", "HS256", "HS512", "RS256", "ES256", "PS256", "Ed25519", "eddsa"]
        ),
        st.text(max_size=8).filter(lambda text: text != "EdDSA"),
        st.none(),
        st.integers(),
        st.lists(st.just("EdDSA"), max_size=1),
    ),
    signature=st.sampled_from(["own", "empty", "kept"]),
)
def test_algorithm_when_it_is_any_other_then_refused_whatever_the_signature(
    folder: Path, alg: Any, signature: str
) -> None:
    good = sign(command(), orchestrator_key(folder), "s", now=NOW).encode()
    body = good.split(b".")[1]
    token = signed_with(folder, {"alg": alg, "kid": "GL-001:1"}, body)
    if signature != "own":
        token = token.rpartition(b".")[0] + b"." + (b"" if signature == "empty" else good.rpartition(b".")[2])
    with pytest.raises(RefusedError) as refused:
        open_token(token, public(folder), "s")
    assert refused.value.reason in {"wrong_algorithm", "not_a_token"}


@given(
    member=st.sampled_from(["jwk", "jku", "x5u", "x5c", "crit", "b64"]),
    value=HEADER_VALUES | st.just({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
)
def test_key_when_the_message_brings_or_names_its_own_then_refused(folder: Path, member: str, value: Any) -> None:
    body = sign(command(), orchestrator_key(folder), "s", now=NOW).encode().split(b".")[1]
    with pytest.raises(RefusedError) as refused:
        open_token(signed_with(folder, {"alg": "EdDSA", "kid": "GL-001:1", member: value}, body), public(folder), "s")
    assert refused.value.reason == "forbidden_header"


@given(kid=st.one_of(HEADER_VALUES, st.sampled_from(["GL-002:1", "GL-001:01", "GL-001:2", "../GL-001:1", "GL-001"])))
def test_kid_when_it_is_not_the_key_that_signed_then_refused(folder: Path, kid: Any) -> None:
    # GL-001:2 is the orchestrator's own key for encryption: it is no key that verifies
    body = sign(command(), orchestrator_key(folder), "s", now=NOW).encode().split(b".")[1]
    with pytest.raises(RefusedError) as refused:
        open_token(signed_with(folder, {"alg": "EdDSA", "kid": kid}, body), public(folder), "s")
    assert refused.value.reason in {"unknown_key", "bad_signature", "wrong_issuer"}


@settings(max_examples=300)
@given(data=st.data())
def test_token_when_one_byte_is_altered_then_refused_or_the_very_same_message(folder: Path, data: Any) -> None:
    good = sign(command({"n": 1}), orchestrator_key(folder), "s", now=NOW).encode()
    place = data.draw(st.integers(0, len(good) - 1))
    altered = good[:place] + bytes([data.draw(st.integers(0, 255))]) + good[place + 1 :]
    try:
        received = open_token(altered, public(folder), "s")
    except RefusedError:
        return
    # unused bits at the end of the signature's base64: another spelling of the same bytes
    assert unb64(altered.split(b".")[2]) == unb64(good.split(b".")[2])
    assert received == open_token(good, public(folder), "s")


@given(token=st.binary(max_size=200) | st.lists(st.binary(max_size=40).map(b64), max_size=5).map(b".".join))
def test_token_when_it_is_any_bytes_then_nothing_but_a_refusal(folder: Path, token: bytes) -> None:
    with pytest.raises(RefusedError):
        open_token(token, public(folder), "s")


CLAIMS = st.recursive(
    HEADER_VALUES, lambda inner: st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=8
)


@given(name=st.sampled_from(["iss", "aud", "jti", "role", "msg", "iat", "exp"]), value=CLAIMS)
def test_claim_when_it_is_anything_else_then_refused(folder: Path, name: str, value: Any) -> None:
    good = sign(command(), orchestrator_key(folder), "s", now=NOW).encode()
    claims = json.loads(unb64(good.split(b".")[1]))
    if name in {"iat", "exp"} and isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        value = -1 - value
    body = b64(json.dumps({**claims, name: value}).encode())
    with pytest.raises(RefusedError):
        open_token(signed_with(folder, {"alg": "EdDSA", "kid": "GL-001:1"}, body), public(folder), "s")


@given(
    ahead=st.floats(-1000, 1000, allow_nan=False),
    timeout=st.floats(0.001, 2000, allow_nan=False).map(lambda x: round(x, 3)),
)
def test_clock_when_off_then_new_within_skew_expired_behind_refused_ahead(
    folder: Path, ahead: float, timeout: float
) -> None:
    message = Formatter("GL-001", ManualClock(NOW)).command("x", {}, targets=["GL-002"], timeout_s=timeout)
    token = sign(message, orchestrator_key(folder), "s", now=NOW).encode()
    clock = ManualClock(NOW + timedelta(seconds=ahead))
    judge = Judge(public(folder), "s", clock)
    received = judge.who(token, "gl/s/agents/GL-002/command")
    if clock.now() < NOW - timedelta(seconds=30):
        with pytest.raises(RefusedError, match="ahead of this clock"):
            judge.verdict(received, None)
        return
    lives = min(300, -(-message.deadline.timestamp() // 1) - NOW.timestamp())
    late = clock.now() > NOW + timedelta(seconds=lives + 30)
    assert judge.verdict(received, None) is (Verdict.EXPIRED if late else Verdict.NEW)
    # once comes before time: what was seen is a repeat on any clock
    assert judge.verdict(received, received.content_hash) is Verdict.REPEATED
    assert judge.verdicts()["repeated"] == 1


@functools.cache
def cipher(folder: Path, agent_id: str) -> PayloadCipher:
    return PayloadCipher.of(agent_id, encryption_keys_path(folder, agent_id), public(folder))


def encrypted_token(folder: Path, message: Message, receiver: str = "GL-002") -> bytes:
    enc = cipher(folder, "GL-001").encrypt(message, receiver)
    return sign(message, orchestrator_key(folder), "s", now=NOW, enc=enc).encode()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40)
@given(args=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), JSON, max_size=4))
def test_payload_when_encrypted_then_only_its_receiver_reads_it_and_the_hash_is_that_of_the_plain_one(
    folder: Path, args: dict[str, Any]
) -> None:
    message = command(args)
    first, second = (encrypted_token(folder, message) for _ in range(2))
    assert b"payload" not in unb64(first.split(b".")[1])
    received = open_token(first, public(folder), "s", cipher(folder, "GL-002"))
    assert (received.encrypted, received.message) == (True, message)
    assert received.content_hash == message.content_hash()
    again = open_token(second, public(folder), "s", cipher(folder, "GL-002"))
    assert first != second
    assert again.content_hash == received.content_hash
    for other in (cipher(folder, "GL-003"), PayloadCipher(public(folder)), None):
        with pytest.raises(RefusedError) as refused:
            open_token(first, public(folder), "s", other)
        assert refused.value.reason == "undecryptable"


def forged_enc(folder: Path, **changes: Any) -> str:
    key = public(folder).encryption_key_of("GL-002")
    assert key is not None
    message = command()
    header = {"alg": "ECDH-ES", "enc": "A256GCM", "kid": key.kid, "iss": "GL-001", "jti": message.message_id} | changes
    header = {name: value for name, value in header.items() if value is not None}
    wide = jwe.JWERegistry(
        algorithms=["ECDH-ES", "A256GCM", "A128GCM", "ECDH-ES+A128KW", "DEF"], strict_check_header=False
    )
    return jwe.encrypt_compact(
        header, b'{"name":"x","args":{}}', OKPKey.import_key(key.key.as_dict(private=False)), registry=wide
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"zip": "DEF"},
        {"iss": "GL-003"},
        {"iss": None},
        {"jti": "01a20100-0000-7000-8000-000000000000"},
        {"enc": "A128GCM"},
        {"alg": "ECDH-ES+A128KW"},
        {"kid": "GL-003:2"},
        {"jku": "https://keys.example"},
    ],
    ids=str,
)
def test_enc_when_made_otherwise_or_for_another_message_then_refused(folder: Path, changes: dict[str, Any]) -> None:
    reader = cipher(folder, "GL-002")
    fixed = {"jti": "01a20100-0000-7000-8000-000000000001"}
    assert reader.decrypt(forged_enc(folder, **fixed), issuer="GL-001", message_id=fixed["jti"]) == {
        "name": "x",
        "args": {},
    }
    with pytest.raises(RefusedError) as refused:
        reader.decrypt(forged_enc(folder, **(fixed | changes)), issuer="GL-001", message_id=fixed["jti"])
    assert refused.value.reason == "undecryptable"


@settings(max_examples=150)
@given(data=st.data())
def test_enc_when_altered_or_any_text_then_refused(folder: Path, data: Any) -> None:
    reader, message = cipher(folder, "GL-002"), command()
    enc = cipher(folder, "GL-001").encrypt(message, "GL-002")
    assert enc is not None
    place = data.draw(st.integers(0, len(enc) - 1))
    altered = data.draw(
        st.one_of(
            st.characters().map(lambda letter: enc[:place] + letter + enc[place + 1 :]), st.text(max_size=60), JSON
        )
    )
    try:
        plain = reader.decrypt(altered, issuer="GL-001", message_id=message.message_id)
    except RefusedError as refused:
        assert refused.reason == "undecryptable"  # noqa: PT017 - both ends are right, and are told apart
    else:
        assert plain == message.payload


def test_enc_when_its_ephemeral_key_is_of_an_unknown_curve_then_refused(folder: Path) -> None:
    message = command()
    enc = cipher(folder, "GL-001").encrypt(message, "GL-002")
    assert enc is not None
    head, _, rest = enc.partition(".")
    header = json.loads(unb64(head.encode()))
    header["epk"]["crv"] = "]25519"
    altered = f"{b64(json.dumps(header).encode()).decode()}.{rest}"
    with pytest.raises(RefusedError) as refused:
        cipher(folder, "GL-002").decrypt(altered, issuer="GL-001", message_id=message.message_id)
    assert refused.value.reason == "undecryptable"


def test_msg_when_it_has_payload_and_enc_then_refused(folder: Path) -> None:
    message = command()
    good = encrypted_token(folder, message)
    claims = json.loads(unb64(good.split(b".")[1]))
    claims["msg"]["payload"] = {"name": "other", "args": {}}
    token = signed_with(folder, {"alg": "EdDSA", "kid": "GL-001:1"}, b64(json.dumps(claims).encode()))
    with pytest.raises(RefusedError, match="both payload and enc"):
        open_token(token, public(folder), "s", cipher(folder, "GL-002"))


def sealer(folder: Path, encrypt: Any) -> Sealer:
    return Sealer(
        SigningKey(folder / "GL-001.jwk"), "s", ManualClock(NOW), cipher=cipher(folder, "GL-001"), encrypt=encrypt
    )


@pytest.mark.parametrize(
    ("encrypt", "groups"),
    [
        ("never", [("GL-002", "GL-003", "GL-004")]),
        ("where_possible", [("GL-002",), ("GL-003",), ("GL-004",)]),
        ("always", [("GL-002",), ("GL-003",)]),
    ],
)
def test_tokens_when_made_for_a_broadcast_then_one_each_where_encrypted_and_one_for_the_rest(
    folder: Path, encrypt: Any, groups: list[tuple[str, ...]]
) -> None:
    message = command({"n": 1}, ("GL-002", "GL-003", "GL-004"))
    found = list(sealer(folder, encrypt).tokens(message, message.target_agents))
    assert [agents for agents, _ in found] == groups
    for agents, token in found:
        reader = None if agents[0] == "GL-004" else cipher(folder, agents[0])
        received = open_token(token, public(folder), "s", reader)
        assert received.message.target_agents == list(agents)
        assert received.content_hash == message.content_hash()
        assert received.encrypted is (encrypt != "never" and agents != ("GL-004",))


def test_event_when_payloads_are_encrypted_then_it_stays_plain_for_all(folder: Path) -> None:
    event = command().model_copy(update={"message_type": "event", "topic": "emergency", "target_agents": []})
    assert not open_token(sealer(folder, "always").token(event), public(folder), "s").encrypted


def test_token_when_opened_again_then_the_same_message_whose_parts_are_its_own(folder: Path) -> None:
    message = command({"nested": {"list": [1, "\u00e9", 1.5]}})
    token, keys = sign(message, orchestrator_key(folder), "s", now=NOW).encode(), public(folder)
    first = open_token(token, keys, "s")
    first.message.payload["args"]["nested"]["list"].append("changed")
    again = open_token(token, keys, "s")
    assert again.message.payload == message.payload
    assert again.content_hash == first.content_hash == message.content_hash()


@pytest.mark.parametrize("odd", [2**60, 12345678901234567, "\ud83d\ude00", "\\u0041"])
def test_token_when_opened_again_then_what_parsers_read_differently_is_read_as_the_wire_says(
    folder: Path, odd: Any
) -> None:
    body = json.loads(unb64(sign(command(), orchestrator_key(folder), "s", now=NOW).encode().split(b".")[1]))
    body["msg"]["payload"]["args"] = {"odd": odd}
    token = signed_with(folder, {"alg": "EdDSA", "kid": "GL-001:1"}, b64(json.dumps(body).encode()))
    keys = public(folder)
    first, again = (open_token(token, keys, "s") for _ in range(2))
    assert again == first
    assert type(again.message.payload["args"]["odd"]) is type(first.message.payload["args"]["odd"])


@pytest.mark.usefixtures("seen_at_once")
def test_token_when_its_key_is_removed_after_it_was_opened_then_refused(tmp_path: Path) -> None:
    jwks = generate_keys(tmp_path, ["GL-001"])
    token = sign(command(), load_private_key(tmp_path / "GL-001.jwk"), "s", now=NOW).encode()
    keys = PublicKeys(jwks)
    assert open_token(token, keys, "s").kid == "GL-001:1"
    jwks.write_text(json.dumps({"keys": []}))
    with pytest.raises(RefusedError, match="no public key"):
        open_token(token, keys, "s")


@pytest.mark.usefixtures("seen_at_once")
def test_signing_key_when_its_file_is_replaced_then_the_new_one_signs_and_a_broken_one_changes_nothing(
    tmp_path: Path,
) -> None:
    generate_keys(tmp_path, ["GL-001"])
    key = SigningKey(tmp_path / "GL-001.jwk")
    assert (key.current().kid, key.role) == ("GL-001:1", "orchestrator")
    generate_keys(tmp_path, ["GL-001"], rotate=True)
    assert key.current().kid == "GL-001:2"
    (tmp_path / "GL-001.jwk").write_text("{")
    assert key.current().kid == "GL-001:2"
    (tmp_path / "GL-001.jwk").unlink()
    assert key.current().kid == "GL-001:2"


def test_encryption_keys_when_replaced_then_the_new_and_the_former_are_read_and_a_broken_file_changes_nothing(
    tmp_path: Path,
) -> None:
    jwks = generate_keys(tmp_path, ["GL-002"], encryption=True)
    reader, message = PayloadCipher.of("GL-002", encryption_keys_path(tmp_path, "GL-002"), PublicKeys(jwks)), command()

    def read(enc: str | None) -> Any:
        return reader.decrypt(enc, issuer="GL-001", message_id=message.message_id)

    former = PayloadCipher(PublicKeys(jwks)).encrypt(message, "GL-002")
    generate_keys(tmp_path, ["GL-002"], encryption=True, rotate=True)
    newer = PayloadCipher(PublicKeys(jwks)).encrypt(message, "GL-002")
    assert read(former) == read(newer) == read(former) == message.payload
    generate_keys(tmp_path, ["GL-002"], encryption=True, rotate=True)
    encryption_keys_path(tmp_path, "GL-002").write_text("{")
    for _ in range(2):
        with pytest.raises(RefusedError, match="not for a key of this agent"):
            read(PayloadCipher(PublicKeys(jwks)).encrypt(message, "GL-002"))
    assert read(newer) == message.payload


RULES = Permissions(
    commands={"emergency_stop": PermissionRule(roles=("alarm",))},
    events={"emergency": PermissionRule(roles=("orchestrator", "alarm"), agents=("GL-007",))},
)


@pytest.mark.parametrize(
    ("kind", "name", "sender", "role", "allowed"),
    [
        ("command", "emergency_stop", "GL-001", "orchestrator", False),
        ("query", "emergency_stop", "GL-001", "orchestrator", False),
        ("command", "emergency_stop", "A", "alarm", True),
        ("command", "status", "GL-001", "orchestrator", True),
        ("event", "emergency", "GL-001", "orchestrator", True),
        ("event", "emergency", "GL-007", "agent", True),
        ("event", "emergency", "GL-008", "agent", False),
        ("event", "system_status", "GL-008", "agent", True),
        ("response", "emergency_stop", "GL-008", "agent", True),
    ],
)
def test_permission_when_asked_then_by_role_and_agent(
    kind: Any, name: str, sender: str, role: str, allowed: bool
) -> None:
    update = {"message_type": kind, "source_agent": sender, "topic": name if kind == "event" else None}
    message = command(name=name).model_copy(update=update)
    assert RULES.allow(message, role) is allowed
    if allowed:
        RULES.refuse_received(message, role)
        RULES.refuse_sending(message, role)
        return
    with pytest.raises(RefusedError) as refused:
        RULES.refuse_received(message, role)
    assert refused.value.reason == "not_permitted"
    with pytest.raises(DataError, match=r"may not send it; agents\.permissions allows role"):
        RULES.refuse_sending(message, role)


def test_rule_when_it_names_nobody_then_an_error() -> None:
    with pytest.raises(ValueError, match="name at least one role or agent"):
        PermissionRule()


def test_payload_when_it_has_no_command_name_then_no_rule_of_commands_applies() -> None:
    assert RULES.allow(command().model_copy(update={"payload": [1]}), "alarm")


def test_role_when_the_agent_did_not_declare_it_then_said_before_sending() -> None:
    offers = [CommandOffer(name="stop", roles=["alarm"]), CommandOffer(name="status")]
    assert undeclared_role(offers, "status", "orchestrator") is None
    assert undeclared_role(offers, "unknown", "orchestrator") is None
    assert "from alarm only" in str(undeclared_role(offers, "stop", "orchestrator"))


@pytest.mark.parametrize(
    ("encrypt", "targets", "args", "fault"),
    [
        ("always", ("GL-002", "GL-004"), {}, "1 targets have no key to encrypt to, among them GL-004"),
        ("where_possible", ("GL-002", "GL-004"), {"x": "y" * 150_000}, "bytes encrypted, 262144 are allowed"),
        ("always", ("GL-002",), {}, None),
        ("where_possible", ("GL-004",), {"x": "y" * 150_000}, None),
        ("never", ("GL-002",), {"x": "y" * 150_000}, None),
    ],
)
def test_message_when_it_could_not_be_sent_encrypted_then_refused_before_it_is_accepted(
    folder: Path, encrypt: Any, targets: tuple[str, ...], args: dict[str, Any], fault: str | None
) -> None:
    rules = SendingRules("orchestrator", Permissions(), public(folder), encrypt)
    message = command(args, targets)
    if fault is None:
        rules.refuse(message)
        assert list(sealer(folder, encrypt).tokens(message, targets))
        return
    with pytest.raises(DataError, match=fault):
        rules.refuse(message)


def test_encryption_when_the_payload_is_not_json_then_said(folder: Path) -> None:
    with pytest.raises(DataError, match="written as JSON"):
        cipher(folder, "GL-001").encrypt(command().model_copy(update={"payload": object()}), "GL-002")


def test_cipher_when_the_file_is_missing_then_said(folder: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        PayloadCipher.of("GL-004", encryption_keys_path(folder, "GL-004"), public(folder))
    assert not PayloadCipher.of("GL-004", None, public(folder)).can_decrypt


def test_refusals_when_they_flood_then_counted_by_few_kinds_and_none_is_lost() -> None:
    clock = ManualClock(NOW)
    refusals = Refusals("GL-001", clock)
    for number in range(500):
        refusals.add(RefusedError("unknown_key", "no", claimed=f"\0{number}\ud800"), "gl/s/agents/x/response")
    taken = refusals.take()
    assert len(taken) == 201
    assert sum(count.number for count in taken) == 500
    assert max(taken, key=lambda count: count.number).kind.claimed == ""
    assert taken[0].kind.claimed == "\ufffd0?"
    assert refusals.take() == []
    refusals.give_back(taken)
    clock.advance(60)
    refusals.add(RefusedError("unknown_key", "no", claimed="late"), "t")
    again = refusals.take()
    assert sum(count.number for count in again) == 501
    assert {rfc3339(count.kind.minute)[:16] for count in again} == {"2026-11-22T10:15", "2026-11-22T10:16"}
    assert refusals.counts() == {"unknown_key": 501}


@pytest.mark.parametrize(
    ("encrypt", "bring", "faults"),
    [
        ("never", True, []),
        ("always", True, ["2 agents have no key to encrypt to, among them GL-003"]),
        ("never", False, ["agents encrypt their answers to GL-001:2, whose private key is not here"]),
    ],
)
def test_encryption_when_somebody_could_not_read_then_said(
    tmp_path: Path, encrypt: Any, bring: bool, faults: list[str]
) -> None:
    jwks = generate_keys(tmp_path, ["GL-001", "GL-002"], encryption=True)
    generate_keys(tmp_path, ["GL-003", "GL-004"])
    if not bring:
        encryption_keys_path(tmp_path, "GL-001").unlink()
    config = AgentsConfig(
        broker=BrokerConfig(host="broker.example"),
        private_key=tmp_path / "GL-001.jwk",
        public_keys=jwks,
        encrypt_payloads=encrypt,
    )
    found = encryption_faults(config, ["GL-001", "GL-002", "GL-003", "GL-004"])
    assert [fault[: len(expected)] for fault, expected in zip(found, faults, strict=True)] == faults
