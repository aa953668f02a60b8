"""Schemas that others declare: judged, applied, and never able to stop whoever applies them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from resources.agents.sdk.offers import Offers
from resources.agents.sdk.subscriptions import Subscriptions
from resources.agents.wire.message import Formatter
from resources.agents.wire.refusals import RefusedError
from resources.agents.wire.schemas import not_a_schema, schema_fault, validator_of
from resources.core.clock import SystemClock
from tests.unit.resources.agents.test_agent_sdk import received

UNUSABLE = {
    "another document": {"$ref": "https://127.0.0.1:1/schema.json"},
    "nowhere": {"$ref": "#/$defs/none"},
    "itself": {"$ref": "#"},
}
"""Schemas by what is wrong with them that only shows when they are applied."""

each_unusable = pytest.mark.parametrize("schema", UNUSABLE.values(), ids=UNUSABLE.keys())


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        ({"type": "object"}, None),
        ({"type": "no"}, r"\$\.type"),
        ({"properties": 3}, r"\$\.properties"),
        ({"pattern": "("}, r"\$\.pattern"),
        (nested(3_000), "nested too deeply"),
    ],
    ids=["a schema", "unknown type", "properties", "a pattern that is none", "too deep"],
)
def test_schema_when_it_is_declared_then_told_whether_it_is_one(schema: dict[str, Any], fault: str | None) -> None:
    found = not_a_schema(schema)
    assert found is None if fault is None else re.search(fault, str(found))


@pytest.mark.parametrize(
    ("quoted", "sentence"),
    [(True, "args.n: 'secret' is not of type 'integer'"), (False, "args.n: breaks 'type' of the schema")],
    ids=["for the sender", "for a log"],
)
def test_fault_when_a_value_does_not_fit_then_it_names_the_place_and_quotes_if_asked(
    quoted: bool, sentence: str
) -> None:
    validator = validator_of({"properties": {"n": {"type": "integer"}}})
    assert schema_fault(validator, {"n": "secret"}, name="args", quoted=quoted) == sentence
    assert schema_fault(validator, {"n": 1}, name="args", quoted=quoted) is None


@each_unusable
@pytest.mark.parametrize("more", [{}, {"pattern": "("}, {"type": 5}], ids=["alone", "with a pattern", "with a type"])
def test_fault_when_a_schema_cannot_be_applied_then_that_is_the_fault(
    schema: dict[str, Any], more: dict[str, Any]
) -> None:
    assert "the schema cannot be applied" in str(schema_fault(validator_of(schema | more), "text"))


@each_unusable
def test_command_when_the_schema_of_its_arguments_cannot_be_applied_then_an_answer_says_so(
    schema: dict[str, Any],
) -> None:
    offers = Offers("GL-002")
    offers.declare("do", schema, ("orchestrator",))(lambda _args, _call: None)
    command = Formatter("GL-001", SystemClock()).command("do", {}, targets=["GL-002"], timeout_s=9)
    outcome = offers.run(received(command))
    assert outcome.status == "error"
    assert "the schema cannot be applied" in str(outcome.error)


@each_unusable
def test_event_when_the_schema_of_its_handler_cannot_be_applied_then_it_is_refused_and_nobody_hears_it(
    schema: dict[str, Any],
) -> None:
    subscriptions, heard = Subscriptions("GL-002"), list[Any]()
    subscriptions.declare("emergency", schema)(lambda payload, _event: heard.append(payload))
    event = received(Formatter("GL-001", SystemClock()).event("emergency", 1, timeout_s=9))
    with pytest.raises(RefusedError, match="does not fit its schema"):
        subscriptions.refuse_unfit(event)
    subscriptions.run(event)
    assert heard == []
