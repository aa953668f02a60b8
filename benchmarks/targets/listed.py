"""The user's targets: what each figure of `gl bench targets` is called, what it has to be, and in which unit.

The wording is the specification's; how a figure is taken stands in the module that measures its part, and for readers
in docs/reference/targets.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

PARTS = ("readings", "erp", "agents", "transforms", "faults", "system")
"""What can be measured, in this order."""

ABOUT = 0.05
"""A figure that has to be about so much may be off by this share."""


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the specification."""

    part: str
    wording: str
    bound: Literal["most", "least", "about", "none"]
    """none: the specification has no limit for it, or (with `limit`) one that the system as a whole cannot keep."""
    limit: float | None
    unit: str
    as_it_is: bool = False
    """Told, and not held against the run: the reason stands in docs/reference/targets.md."""

    def met(self, measured: float) -> bool | None:
        """Return whether a figure keeps it; None where there is no limit."""
        if self.limit is None:
            return None
        if self.bound == "most":
            return measured <= self.limit
        if self.bound == "least":
            return measured >= self.limit
        return abs(measured - self.limit) <= ABOUT * self.limit

    def words(self) -> str:
        """Return the limit as text."""
        if self.limit is None:
            return "none given"
        word = {"most": "at most ", "least": "at least ", "about": "about "}[self.bound]
        return f"{word}{self.limit:,g} {self.unit}".rstrip()


TARGETS: Mapping[str, Target] = {
    "connect_modbus_ms": Target("readings", "Connection to a Modbus device", "most", 100, "ms"),
    "connect_opc_ua_ms": Target("readings", "Connection to an OPC UA server", "most", 100, "ms"),
    "connect_mqtt_ms": Target("readings", "Connection to an MQTT broker", "most", 100, "ms"),
    "read_modbus_ms": Target("readings", "One value read, Modbus", "most", 5, "ms"),
    "read_opc_ua_ms": Target("readings", "One value read, OPC UA", "most", 5, "ms"),
    "devices_100_connect_s": Target("readings", "100 devices connected", "most", 5, "s"),
    "buffer_10000_s": Target("readings", "10,000 readings buffered, synced to the disk", "most", 1, "s"),
    "readings_per_s": Target("readings", "Readings of 100 devices into the buffer", "least", 10_000, "per s"),
    "readings_lost": Target("readings", "Readings lost of those", "most", 0, ""),
    "health_100_s": Target("readings", "Health of 100 devices", "most", 2, "s"),
    "erp_token_s": Target("erp", "Token", "most", 1, "s"),
    "erp_records_1000_s": Target("erp", "1,000 records into the table", "most", 2, "s"),
    "erp_schedules_500_s": Target("erp", "500 production schedules into the table", "most", 2, "s"),
    "erp_three_datasets_s": Target("erp", "Three datasets into their tables", "most", 5, "s"),
    "erp_100_requests_s": Target("erp", "100 requests at 100 a minute", "about", 60, "s"),
    "erp_records_per_s": Target("erp", "Records into the table", "least", 800, "per s"),
    "erp_connection_reuse": Target("erp", "Requests over a connection used before", "least", 0.9, ""),
    "agent_message_p50_ms": Target("agents", "Message to an agent, answered and stored, median", "most", 10, "ms"),
    "agent_message_p99_ms": Target("agents", "Message to an agent, answered and stored, p99", "most", 10, "ms"),
    "agents_99_s": Target("agents", "Command to 99 agents, all answers stored, p99", "most", 1, "s"),
    "aggregation_s": Target("agents", "Aggregation of 99 answers, the slowest of six ways", "most", 1, "s"),
    "agents_99_health_s": Target("agents", "Health of 99 agents, each asked", "most", 5, "s"),
    "registry_update_ms": Target("agents", "Registry update, committed, p99", "most", 5, "ms"),
    "capability_query_ms": Target("agents", "Capability query among 10,000 agents, p99", "most", 5, "ms"),
    "messages_per_s": Target("agents", "Signed messages", "least", 1_000, "per s"),
    "transform_readings_1000_s": Target("transforms", "1,000 readings transformed and stored", "most", 1, "s"),
    "transform_records_1000_s": Target("transforms", "1,000 records transformed and stored", "most", 1, "s"),
    "conversions_10000_s": Target("transforms", "10,000 unit conversions", "most", 1, "s"),
    "validation_10000_s": Target("transforms", "Validation of 10,000 readings", "most", 5, "s"),
    "scoring_10000_s": Target("transforms", "Scoring of 10,000 readings", "most", 5, "s"),
    "memory_readings_1000_mb": Target("transforms", "Memory for 1,000 readings", "most", 10, "MB"),
    "memory_records_1000_mb": Target("transforms", "Memory for 1,000 records", "most", 10, "MB"),
    "faults_readings_found": Target("faults", "Planted faults found in readings", "least", 0.99, ""),
    "faults_records_found": Target("faults", "Planted faults found in records", "least", 0.99, ""),
    "faults_false_alarms": Target("faults", "Faultless readings and records that were blamed", "none", None, ""),
    "system_memory_mb": Target("system", "Memory of the whole system", "most", 200, "MB", as_it_is=True),
    "system_memory_peak_mb": Target("system", "Memory of the whole system, at most", "none", None, "MB"),
    "system_memory_dagster_mb": Target("system", "Memory of Dagster's processes in it", "none", None, "MB"),
    "system_memory_collector_mb": Target("system", "Memory of the collector in it", "none", None, "MB"),
    "system_cpu_cores": Target("system", "CPU of the whole system", "none", None, "cores"),
    "system_cpu_dagster_cores": Target("system", "CPU of Dagster's processes in it", "none", None, "cores"),
}
"""Figure -> what it has to be."""


def judged(figures: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return name, target, unit, measured and met of every figure that was taken, in the order of the list."""
    return [
        {
            "name": name,
            "part": target.part,
            "what": target.wording,
            "target": target.limit,
            "bound": target.bound,
            "unit": target.unit,
            "measured": figures[name],
            "met": target.met(figures[name]),
        }
        for name, target in TARGETS.items()
        if name in figures
    ]


def missed(figures: Mapping[str, float]) -> list[str]:
    """Return the names of the figures that miss their target and are held to it."""
    return [
        name
        for name, target in TARGETS.items()
        if name in figures and target.met(figures[name]) is False and not target.as_it_is
    ]
