"""Sparkplug's topics. Source: Sparkplug 3.0.0, chapter 4.

`spBv1.0/<group_id>/<message_type>/<edge_node_id>[/<device_id>]`, and `spBv1.0/STATE/<host_id>` for hosts.
"""

from __future__ import annotations

from typing import NamedTuple

NAMESPACE = "spBv1.0"
OF_NODES = frozenset(("NBIRTH", "NDEATH", "NDATA", "NCMD"))
OF_DEVICES = frozenset(("DBIRTH", "DDEATH", "DDATA", "DCMD"))
FROM_NODES = (OF_NODES | OF_DEVICES) - {"NCMD", "DCMD"}


class SparkplugTopic(NamedTuple):
    """What a topic says; `device_id` is empty for a message of the edge node itself."""

    message_type: str
    group_id: str
    edge_node_id: str
    device_id: str = ""


def parse_topic(topic: str) -> SparkplugTopic | None:
    """Return what a topic says, None if it is none of an edge node."""
    levels = topic.split("/")
    if len(levels) not in (4, 5) or levels[0] != NAMESPACE or not all(levels):
        return None
    if levels[2] not in (OF_NODES if len(levels) == 4 else OF_DEVICES):
        return None
    return SparkplugTopic(levels[2], levels[1], *levels[3:])


def state_topic(host_id: str) -> str:
    """Return where a host tells whether it is online."""
    return f"{NAMESPACE}/STATE/{host_id}"


def command_topic(group_id: str, edge_node_id: str, device_id: str = "") -> str:
    """Return where commands to an edge node or one of its devices go."""
    if device_id:
        return f"{NAMESPACE}/{group_id}/DCMD/{edge_node_id}/{device_id}"
    return f"{NAMESPACE}/{group_id}/NCMD/{edge_node_id}"


def filters_of(group_id: str, edge_node_id: str) -> tuple[str, str]:
    """Return the filters of everything that an edge node and its devices publish."""
    return f"{NAMESPACE}/{group_id}/+/{edge_node_id}", f"{NAMESPACE}/{group_id}/+/{edge_node_id}/+"
