"""Parts of datasets as queries of OData: the day, the changes, what is valid today, what the declaration asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from resources.core.errors import ConfigError
from resources.erp.connector import Changed, Day, Part, Whole
from resources.erp.declared import DatasetConfig
from resources.erp.pulling.members import PARENT
from resources.erp.sap.config import PROTOCOLS, SapConfig
from resources.erp.sap.options import SapOptions
from resources.transport.odata.filters import AllOf, Compare, Filter
from resources.transport.odata.v4 import Expand, Query

_OF_PARENT = f"{PARENT}."


@dataclass(frozen=True, slots=True)
class Asked:
    """What is read: a dataset's declaration with what follows from it."""

    dataset: str
    declared: DatasetConfig
    options: SapOptions
    service: str
    """Root path of the service, behind the path of base_url."""
    version: int
    """2 or 4, of OData."""

    @property
    def order(self) -> tuple[str, ...]:
        """Properties that identify an entity of the resource, and order its pages."""
        return tuple(written(path) for path in self.options.order_by or self.declared.key)


def asked_of(system: str, config: SapConfig, dataset: str) -> Asked:
    """Return what is read for a dataset.

    Raises:
        ConfigError: The dataset is none of the configured ones.
    """
    try:
        service = config.service_of(dataset)
    except ConfigError as error:
        raise ConfigError(f"{system}: {error}") from error
    declared = config.datasets[dataset]
    version = 2 if (declared.protocol or PROTOCOLS[0]) == "odata_v2" else 4
    return Asked(dataset, declared, config.options_of(dataset), service, version)


def query_of(asked: Asked, config: SapConfig, part: Part, *, today: date, keys_only: bool = False) -> Query:
    """Return the query of a part of a dataset, without paging.

    Args:
        asked: The dataset.
        config: Of its system.
        part: Which records.
        today: By the system's zone, for what is valid only for a time.
        keys_only: True asks for the key and the day alone.

    Raises:
        ConfigError: The dataset cannot be read by such a part, or a condition cannot be written.
    """
    terms = [*_of_part(asked, config, part), *_of_declaration(asked, today)]
    by_batch = asked.options.expand_by == "batch"
    declared = asked.declared
    return Query(
        filter=(AllOf(terms) if len(terms) > 1 else terms[0]) if terms else None,
        select=_key_properties(asked) if keys_only else _select(asked),
        expand=_expands(asked, config, [declared.explode] if declared.explode else [], keys_only=True)
        if keys_only
        else ()
        if by_batch
        else expands(asked, config),
        orderby=asked.order,
        count=True,
        custom={"sap-client": config.sap_client, "sap-language": config.sap_language},
    )


def expands(asked: Asked, config: SapConfig) -> tuple[Expand, ...]:
    """Return the navigations that a dataset reads along."""
    wanted = [*asked.declared.expand, *([asked.declared.explode] if asked.declared.explode else [])]
    return _expands(asked, config, wanted)


def written(path: str) -> str:
    """Return a path of a declaration as OData writes it: names joined by /, those of the entity around without it."""
    return path.removeprefix(_OF_PARENT).replace(".", "/")


def _of_part(asked: Asked, config: SapConfig, part: Part) -> Iterator[Filter]:
    declared = asked.declared
    if isinstance(part, Day):
        if declared.business_date is None:
            raise ConfigError(f"{asked.dataset} is master data: it is read as a whole, and not {part}")
        yield from _of_day(asked, config, written(declared.business_date), part.day)
    elif isinstance(part, Changed):
        if declared.changed is None:
            raise ConfigError(
                f"{asked.dataset} is not read {part}: datasets.{asked.dataset}.changed names no property with the time "
                "of the last change"
            )
        name = written(declared.changed)
        yield Compare(name, "ge", _stamp(asked, config, part.since))
        # a date is of the whole day: its last one belongs to the changes as well
        operator = "le" if asked.options.changed_as == "date" else "lt"
        yield Compare(name, operator, _stamp(asked, config, part.until))
    else:
        assert isinstance(part, Whole)


def _of_day(asked: Asked, config: SapConfig, name: str, day: date) -> Iterator[Filter]:
    if asked.options.business_date_as == "date":
        yield Compare(name, "eq", day)
        return
    zone = ZoneInfo(config.time_zone)
    yield Compare(name, "ge", datetime.combine(day, time(), zone))
    yield Compare(name, "lt", datetime.combine(day + timedelta(days=1), time(), zone))


def _stamp(asked: Asked, config: SapConfig, at: datetime) -> str | date | datetime:
    """Return an instant as the dataset's change stamp is written."""
    zone = ZoneInfo(config.time_zone)
    if asked.options.changed_as == "date":
        return at.astimezone(zone).date()
    if asked.options.changed_as == "digits":
        local = at.astimezone(UTC if asked.options.changed_zone == "utc" else zone)
        # a stamp has no fraction: the instant after a fraction is the next whole second
        whole = local.replace(microsecond=0) + timedelta(seconds=1 if local.microsecond else 0)
        return whole.strftime("%Y%m%d%H%M%S")
    return at


def _of_declaration(asked: Asked, today: date) -> Iterator[Filter]:
    for condition in asked.declared.where:
        yield Compare(written(condition.property), condition.operator, condition.literal())
    valid = asked.options.valid
    if valid is not None:
        yield Compare(written(valid.start), "le", today)
        yield Compare(written(valid.end), "ge", today)
    if asked.options.filter is not None:
        yield asked.options.filter.as_filter()


def _select(asked: Asked) -> tuple[str, ...]:
    select = tuple(written(path) for path in asked.declared.select)
    # an entity is asked for again by its key
    return tuple(dict.fromkeys([*select, *asked.order])) if select else ()


def _key_properties(asked: Asked) -> tuple[str, ...]:
    declared = asked.declared
    day = [written(declared.business_date)] if declared.business_date is not None else []
    own = [] if declared.explode is not None else [written(path) for path in declared.key]
    around = [written(path) for path in declared.key if path.startswith(_OF_PARENT)]
    return tuple(dict.fromkeys([*asked.order, *own, *around, *day]))


def _expands(asked: Asked, config: SapConfig, wanted: Iterable[str], *, keys_only: bool = False) -> tuple[Expand, ...]:
    """Return navigations as a tree; paths that begin alike share their beginning."""
    tree: dict[str, dict[str, object]] = {}
    for path in wanted:
        below = tree
        for name in written(path).split("/"):
            below = below.setdefault(name, {})  # type: ignore[assignment]  # a tree of trees
    return tuple(_branch(asked, config, name, below, name, keys_only=keys_only) for name, below in tree.items())


def _branch(
    asked: Asked, config: SapConfig, name: str, below: Mapping[str, object], path: str, *, keys_only: bool
) -> Expand:
    options = asked.options
    language = options.language.get(path)
    by_language = Compare(language, "eq", config.sap_language) if language and asked.version == 4 else None
    select: tuple[str, ...] = tuple(written(name) for name in options.expand_select.get(path, ()))
    if keys_only:
        select = tuple(written(path) for path in asked.declared.key if not path.startswith(_OF_PARENT))
    inner = [
        _branch(asked, config, child, deeper, f"{path}/{child}", keys_only=keys_only)  # type: ignore[arg-type]
        for child, deeper in below.items()
    ]
    return Expand(name, select=select, filter=by_language, expand=inner)
