"""Topics of events: the four, the configured ones, and their schemas."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from resources.agents.config import EVENT_TOPICS, TopicConfig
from resources.agents.event_topics import EventTopics
from resources.agents.wire.message import Formatter, Message
from resources.agents.wire.refusals import RefusedError
from resources.core.clock import SystemClock
from resources.core.errors import DataError

REASON = {"type": "object", "required": ["reason"], "properties": {"reason": {"type": "string"}}}


def event(topic: str, payload: Any) -> Message:
    return Formatter("GL-001", SystemClock()).event(topic, payload, timeout_s=60)


def test_topics_when_nothing_is_configured_then_the_four_take_any_payload() -> None:
    topics = EventTopics({})
    assert tuple(topics) == EVENT_TOPICS
    for name in EVENT_TOPICS:
        topics.refuse_sending(event(name, [1, "two", None]))
        topics.refuse_received(event(name, {}))


def test_topics_when_unknown_then_sending_is_refused_naming_those_there_are_and_receiving_is_counted() -> None:
    topics = EventTopics({"furnace_alerts": TopicConfig()})
    topics.refuse_sending(event("furnace_alerts", 1))
    with pytest.raises(DataError, match=r"no topic gossip; there are .*emergency.*furnace_alerts"):
        topics.refuse_sending(event("gossip", 1))
    with pytest.raises(RefusedError) as refused:
        topics.refuse_received(event("gossip", 1))
    assert (refused.value.reason, refused.value.claimed) == ("unknown_topic", "GL-001")


def test_topics_when_the_payload_breaks_the_schema_then_the_place_is_named_and_the_value_is_not() -> None:
    topics = EventTopics({"emergency": TopicConfig(payload_schema=REASON)})
    topics.refuse_sending(event("emergency", {"reason": "overheated"}))
    with pytest.raises(DataError, match=r"emergency: \$\.reason: breaks 'type'") as told:
        topics.refuse_sending(event("emergency", {"reason": 13_579}))
    assert "13579" not in str(told.value)
    with pytest.raises(RefusedError) as refused:
        topics.refuse_received(event("emergency", {}))
    assert refused.value.reason == "unfit_payload"


@pytest.mark.parametrize(
    "schema", [{"$ref": "https://example.org/elsewhere.json"}, {"$ref": "#"}], ids=["elsewhere", "itself"]
)
def test_topics_when_a_schema_refers_elsewhere_or_to_itself_then_nothing_is_fetched_and_the_event_is_refused(
    schema: dict[str, Any],
) -> None:
    topics = EventTopics({"emergency": TopicConfig(payload_schema=schema)})
    with pytest.raises(DataError, match="the schema cannot be applied"):
        topics.refuse_sending(event("emergency", {}))


def test_config_when_a_schema_is_none_then_it_is_refused_with_the_place() -> None:
    with pytest.raises(ValidationError, match=r"not a JSON Schema \(2020-12\): \$\.type"):
        TopicConfig(payload_schema={"type": "splendid"})
