"""What a broker answers to subscriptions: refusals as errors and failed items, less than was asked as a warning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import structlog

from resources.core.errors import AuthError
from resources.scada.connector import StatusSink
from resources.scada.mqtt.config import MqttTag
from resources.scada.mqtt.link import reasons
from resources.scada.mqtt.link.packets import Subscription
from resources.scada.mqtt.link.topics import matches

log = structlog.get_logger(__name__)

Grants = Sequence[tuple[Subscription, int]]
"""Each subscription with the broker's code: the QoS granted, or from 128 on the reason of its refusal."""


def refuse_all_refused(grants: Grants, *, source: str, peer: str) -> None:
    """Do nothing if at least one subscription is granted.

    Raises:
        SourceError: None is; AuthError where the broker says so, or says nothing better.
    """
    if not grants or any(code < 0x80 for _, code in grants):
        return
    wanted, code = grants[0]
    if code == reasons.UNSPECIFIED:  # what a 3.1.1 broker says for lack of a better word
        raise AuthError(
            f"source {source}: {peer} refuses the subscription to {wanted.topic_filter}: have the broker's "
            "administrator allow it",
            source=source,
        )
    raise reasons.error_of(code, source=source, tried=f"subscribing to {wanted.topic_filter} at {peer}")


def note_refusals(grants: Grants, tags: Iterable[MqttTag], status: StatusSink, *, source: str) -> None:
    """Warn of each subscription that got less than it asked for, and fail the tags of each that was refused."""
    for wanted, code in grants:
        if code < wanted.qos:
            log.warning(
                "subscription_downgraded",
                source=source,
                topic_filter=wanted.topic_filter,
                asked=wanted.qos,
                granted=code,
            )
        if code < 0x80:
            continue
        refused = f"the broker refuses the subscription to {wanted.topic_filter} (reason 0x{code:02x})"
        for tag in tags:
            if tag.topic and matches(wanted.topic_filter, tag.topic):
                status.item_failed(tag.sensor_id, refused)
