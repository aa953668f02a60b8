"""The root of `integrations.yaml`: what the platform reads, as one validated model.

`load_integrations()` reads the file that GL_CONFIG names, or `integrations.example.yaml` where it is unset.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    SerializeAsAny,
    field_validator,
    model_validator,
)

from resources.agents.alarm_messages import refuse_unsendable
from resources.agents.alarms import AlarmsConfig, refuse_unwatchable
from resources.agents.config import AgentsConfig
from resources.core.calibration.book import CalibrationBook
from resources.core.calibration.calibrations import CalibrationConfig, refuse_impossible
from resources.core.calibration.file import add_calibration_file
from resources.core.configuration.anomalies import AnomaliesConfig
from resources.core.configuration.connection_health import ConnectionHealthConfig
from resources.core.configuration.energy import EnergyConfig
from resources.core.configuration.gates import GateSettings
from resources.core.configuration.quality_rules import RulesConfig
from resources.core.configuration.settings import Duration, Name, SensorId, StrictModel, TagConfig
from resources.core.configuration.unit_settings import UnitsConfig
from resources.core.configuration.yaml_document import Document
from resources.core.errors import ConfigError
from resources.core.origins import SUFFIXES
from resources.core.physics.units import conversion
from resources.core.process.home import config_path, gl_home
from resources.core.tags import Sensor, SensorCatalog
from resources.core.windows import WindowGrid
from resources.erp.config import SystemConfig
from resources.erp.kinds import connector, kinds
from resources.scada.bacnet.config import BacnetConfig
from resources.scada.modbus.config import ModbusConfig
from resources.scada.mqtt.config import MqttConfig
from resources.scada.opc_ua.config import OpcUaConfig
from resources.scada.tag_lists import add_tag_lists
from resources.transport.trust.allowed_hosts import HostList, hosts_in

MOST_PARTITIONS = 50_000
"""Most windows a configuration may make in two years: more, and the Dagster UI no longer answers."""

SourceConfig = Annotated[OpcUaConfig | ModbusConfig | MqttConfig | BacnetConfig, Field(discriminator="kind")]
"""One SCADA source."""


def _window(value: timedelta) -> timedelta:
    try:
        return WindowGrid(value).length
    except ConfigError as error:
        raise ValueError(str(error)) from error


class CollectorConfig(StrictModel):
    """The acquisition process."""

    name: Name = "collector"
    """Name of the collector: part of every key in the ledger; never change it while its buffer holds windows."""
    host: str = "127.0.0.1"
    """Address of /healthz and /metrics; another one than loopback needs --expose-without-login."""
    port: int = Field(8787, ge=0, le=65535)
    """Port of /healthz and /metrics; 0 takes a free one."""
    disconnected_limit: Duration = timedelta(minutes=1)
    """/healthz is red once a source has not been connected for this long."""
    silent_limit: Duration = timedelta(minutes=10)
    """/healthz is red once a connected source has sent nothing for this long."""

    @field_validator("name")
    @classmethod
    def _name_is_not_of_other_rows(cls, value: str) -> str:
        if value.endswith(SUFFIXES):
            raise ValueError(
                f"a collector's name may not end in {' or '.join(SUFFIXES)}: history and corrections are stored so"
            )
        return value


class BufferConfig(StrictModel):
    """The durable window buffer."""

    retention: Duration = timedelta(hours=24)
    """How long a stored window stays in the buffer."""
    max_bytes: int | None = Field(None, ge=1_048_576)
    """Disk cap; half of the free disk, at least 1 GiB, if absent."""
    flush_interval: Duration = timedelta(seconds=1)
    """Longest time a polled value waits for its fsync."""


_KeptFor = Annotated[Duration, Field(ge=timedelta(days=1))]


class RetentionConfig(StrictModel):
    """How long rows stay in the database, by the time they are of; for ever where absent.

    The limits are those of the database: sites that share one share them. TimescaleDB drops whole chunks (6 hours of
    readings, 7 days of texts, 30 days of hours), so a row may stay that much longer, and never shorter.
    """

    readings: _KeptFor | None = None
    """Readings with numbers (scada.sensor_readings)."""
    texts: _KeptFor | None = None
    """Readings with texts (scada.text_readings)."""
    hours: _KeptFor | None = None
    """Hourly readings (scada.hourly_readings): small, and worth more years than what they were made from."""
    rejected: _KeptFor | None = None
    """Rejected readings (scada.rejected_readings)."""

    @model_validator(mode="after")
    def _hours_outlive_readings(self) -> Self:
        if self.readings is not None and self.hours is not None and self.hours < self.readings:
            raise ValueError(
                "retention.hours is shorter than retention.readings: hours would be missing beside readings"
            )
        return self


class QualityConfig(StrictModel):
    """Limits of the gates."""

    max_rejected_share: float = Field(0.2, ge=0, le=1)
    """Above this share of rejected rows a window is not stored: its transaction fails."""
    warn_rejected_share: float = Field(0.01, ge=0, le=1)
    """Above this share the check warns."""
    rules: RulesConfig = RulesConfig()
    """What follows from each rule that a reading can break."""
    gates: GateSettings = Field(default_factory=dict)
    """Table, or `all` -> gate -> its effect and limit, where they differ from the gate's own."""


class BoilerConfig(StrictModel):
    """One boiler's energy balance, by the sensors that measure it."""

    fuel_flow: SensorId
    """Fuel flow."""
    fuel_heating_value_kj_per_kg: float = Field(gt=0)
    """Lower heating value of the fuel, kJ/kg."""
    steam_flow: SensorId
    """Live steam flow."""
    steam_pressure: SensorId
    """Live steam pressure; absolute, unless its unit says gauge."""
    steam_temperature: SensorId
    """Live steam temperature."""
    feedwater_temperature: SensorId
    """Feedwater temperature; its pressure is taken as the steam's."""


def _system(value: object) -> object:
    """Return a system's block as the model of its kind: a folder of resources/erp each, loaded when it is named."""
    if isinstance(value, SystemConfig):
        return value
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if kind not in kinds():
        named = f"kind {str(kind)[:60]!r} is none" if kind is not None else "kind is missing"
        raise ValueError(f"{named}: write one of {', '.join(kinds())}")
    return connector(str(kind)).config_class.model_validate(value)


class ErpConfig(StrictModel):
    """The ERP systems."""

    systems: dict[Name, Annotated[SerializeAsAny[SystemConfig], BeforeValidator(_system)]] = Field(default_factory=dict)
    """Name of the system -> its configuration; asset keys are `erp/<name>/<dataset>`."""
    start: datetime | None = None
    """First business day partitioned; `start` of the file if absent."""
    schedule: str = "15 2 * * *"
    """Cron of the daily sync."""
    sweep_schedule: str = "45 3 * * *"
    """Cron of looking for deletions, of the datasets that have `sweep`."""

    @model_validator(mode="after")
    def _names_stay_apart(self) -> Self:
        known: dict[str, str] = {}
        for name in self.systems:
            other = known.setdefault(name.replace("-", "_"), name)
            if other != name:
                raise ValueError(f"systems {other} and {name} differ by - and _ only, which keys of resources cannot")
        return self


class LogsConfig(StrictModel):
    """Where logs go beside stderr."""

    dir: Path | None = None
    """Folder of the rotating integration.log, performance.log and security.log; none if absent."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level written."""


class WritesConfig(StrictModel):
    """Writing to the plant; what may be written is said per tag (`writable`)."""

    from_dagster: bool = False
    """True lets the job write_setpoint write, too; `gl write` may in either case."""


def _hosts(entries: tuple[str, ...]) -> tuple[str, ...]:
    HostList(entries)
    return entries


class Integrations(StrictModel):
    """Everything the platform reads and the limits it keeps."""

    site: Name
    """Site: part of topics and rows."""
    start: AwareDatetime
    """First instant of source time that is accepted; readings before are rejected."""
    window: Annotated[Duration, AfterValidator(_window)] = timedelta(minutes=15)
    """Length of a window: 1m to 1h, divides the hour."""
    grace: Duration = timedelta(seconds=5)
    """A window's first revision closes this long after its end."""
    collector: CollectorConfig = CollectorConfig()
    """The acquisition process."""
    connection_health: ConnectionHealthConfig = ConnectionHealthConfig()
    """A warning before a source fails."""
    buffer: BufferConfig = BufferConfig()
    """The durable window buffer."""
    retention: RetentionConfig = RetentionConfig()
    """How long rows stay in the database; for ever if absent."""
    sources: dict[Name, SourceConfig] = Field(default_factory=dict)
    """Name of the source -> its configuration."""
    units: UnitsConfig = UnitsConfig()
    """The unit that each quantity is stored in, and the air above the plant."""
    calibrations: tuple[CalibrationConfig, ...] = ()
    """Certificates of sensors, each with its period of validity; a path to a file with such a list is taken, too."""
    boilers: dict[Name, BoilerConfig] = Field(default_factory=dict)
    """Equipment -> the sensors of its energy balance, for process_heat/boiler_efficiency."""
    energy: EnergyConfig = EnergyConfig()
    """Who uses energy and what it costs, for process_heat/energy_intensity and process_heat/energy_cost."""
    erp: ErpConfig = ErpConfig()
    """The ERP systems."""
    agents: AgentsConfig | None = None
    """Agent coordination; off if absent."""
    alarms: AlarmsConfig | None = None
    """Alarms that the collector raises on live readings and tells the agents at once; none if absent."""
    quality: QualityConfig = QualityConfig()
    """Limits of the gates."""
    anomalies: AnomaliesConfig = AnomaliesConfig()
    """Detectors of anomalies, one set for each equipment."""
    logs: LogsConfig = LogsConfig()
    """Where logs go."""
    writes: WritesConfig = WritesConfig()
    """Writing to the plant."""
    allowed_hosts: Annotated[tuple[str, ...], AfterValidator(_hosts)] | None = None
    """Names, addresses and networks (CIDR) that sources, ERP systems and the agents' broker must be in; all if None."""

    @field_validator("start")
    @classmethod
    def _start_is_utc(cls, value: datetime) -> datetime:
        return value.astimezone(UTC)

    @model_validator(mode="after")
    def _tags_have_canonical_units(self) -> Self:
        if self.units.canonical:
            for name, source in self.sources.items():
                tags = tuple(self.units.with_canonical_unit(tag) for tag in source.tags)
                self.sources[name] = source.model_copy(update={"tags": tags})
        return self

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        try:
            catalog = self.catalog()
        except ConfigError as error:
            raise ValueError(str(error)) from error
        for boiler, parts in self.boilers.items():
            for field, sensor_id in parts.model_dump().items():
                if isinstance(sensor_id, str) and catalog.get(sensor_id) is None:
                    raise ValueError(f"boilers.{boiler}.{field}: sensor {sensor_id} is not a tag of any source")
        for name, consumer in self.energy.consumers.items():
            if consumer.boiler is not None and consumer.boiler not in self.boilers:
                raise ValueError(f"energy.consumers.{name}.boiler: {consumer.boiler} is not one of `boilers`")
        for tag in self.tags().values():
            try:
                conversion(tag.unit, tag.canonical_unit or tag.unit)
            except ConfigError as error:
                raise ValueError(f"tag {tag.sensor_id}: {error}") from error
        return self

    @model_validator(mode="after")
    def _calibrations_are_possible(self) -> Self:
        try:
            refuse_impossible(self.calibrations, self.tags())
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return self

    @model_validator(mode="after")
    def _rows_fill_windows(self) -> Self:
        if self.window % self.anomalies.step:
            raise ValueError(f"anomalies.step {self.anomalies.step} does not divide window {self.window}")
        return self

    @model_validator(mode="after")
    def _alarms_are_possible(self) -> Self:
        if self.alarms is None:
            return self
        if self.agents is None:
            raise ValueError("alarms: needs the block agents, for the broker and the public keys")
        try:
            refuse_unwatchable(self.alarms.rules, self.catalog())
            refuse_unsendable(self.alarms, self.agents, self.catalog())
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return self

    @model_validator(mode="after")
    def _hosts_are_allowed(self) -> Self:
        if self.allowed_hosts is None:
            return self
        allowed = HostList(self.allowed_hosts)
        for where, host in hosts_in(
            {"sources": self.sources, "erp": self.erp, "agents": self.agents, "alarms": self.alarms}
        ):
            if host not in allowed:
                raise ValueError(f"{where}: host {host} is not in allowed_hosts: add it there if it is right")
        for name, source in self.sources.items():
            if isinstance(source, BacnetConfig) and source.endpoint is None:
                raise ValueError(
                    f"sources.{name}: a device that is looked for by Who-Is could be any host, and allowed_hosts is "
                    "set: give its endpoint"
                )
        return self

    @property
    def grid(self) -> WindowGrid:
        """The windows of this configuration."""
        return WindowGrid(self.window)

    @cached_property
    def calibration_book(self) -> CalibrationBook:
        """The calibrations, by sensor and time."""
        tag_units = {sensor_id: tag.unit for sensor_id, tag in self.tags().items()}
        return CalibrationBook(self.calibrations, self.units.atmosphere_kpa, tag_units)

    def tags(self) -> dict[str, TagConfig]:
        """Return sensor_id -> tag over all sources, in the order of the file."""
        return {tag.sensor_id: tag for source in self.sources.values() for tag in source.tags}

    def catalog(self) -> SensorCatalog:
        """Return all sensors, numbered in the order of the file.

        Raises:
            ConfigError: A sensor_id occurs twice.
        """
        return SensorCatalog(
            Sensor(tag.sensor_id, tag.unit, name, tag.is_text)
            for name, source in self.sources.items()
            for tag in source.tags
        )


def refuse_too_many_partitions(config: Integrations, now: datetime) -> None:
    """Refuse a `window` and `start` that make more partitions in two years up to `now` than the UI can show.

    Raises:
        ConfigError: More than MOST_PARTITIONS; the message names the shortest window that fits.
    """
    span = min(now - config.start, timedelta(days=730))
    if span / config.window <= MOST_PARTITIONS:
        return
    fitting = next(
        m for m in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60) if span / timedelta(minutes=m) <= MOST_PARTITIONS
    )
    count = int(span / config.window)
    raise ConfigError(
        f"window {config.window} from start {config.start:%Y-%m-%d} makes {count:,} partitions, more than the "
        f"{MOST_PARTITIONS:,} the Dagster UI can show: set window to {fitting}m or longer, or a later start"
    )


def example_path() -> Path:
    """Return the path of `integrations.example.yaml`."""
    return Path(__file__).resolve().parent.parent / "integrations.example.yaml"


def load_integrations(path: Path | None = None) -> Integrations:
    """Return the configuration in `path`, else in the file GL_CONFIG names, else the example, with its tag lists.

    Raises:
        ConfigError: A file is missing or wrong; the message names file, line and key.
    """
    document = Document.load(path or config_path() or example_path())
    add_tag_lists(document, tag_models(), home=gl_home())
    add_calibration_file(document)
    return document.validated(Integrations)


def tag_models() -> dict[str, type[TagConfig]]:
    """Return kind of a source -> the model of its tags."""
    configs = get_args(get_args(SourceConfig)[0])
    return {
        get_args(config.model_fields["kind"].annotation)[0]: get_args(config.model_fields["tags"].annotation)[0]
        for config in configs
    }
