"""`gl erp describe` of SAP: `$metadata` of each service, and what it says of the datasets."""

from __future__ import annotations

from collections.abc import Iterator

from resources.core.errors import DataError, ProtocolError
from resources.erp.connector import FoundProperty, SystemDescription
from resources.erp.pulling.members import PARENT
from resources.erp.sap.asked import Asked, written
from resources.erp.sap.metadata import EntityType, Model, read_model
from resources.erp.sap.options import NetAmount
from resources.erp.sap.records import DERIVED
from resources.transport.http.answers import Media
from resources.transport.http.client import HttpClient

_PLACES = ("0", "-1")
"""Places in a list of children that a declaration may read: the first and the last."""


def describe(http: HttpClient, base: str, datasets: list[Asked]) -> SystemDescription:
    """Return the metadata of each service that a dataset is read from, and the properties of the datasets' sets.

    Args:
        http: The system.
        base: Path that every service's root begins with.
        datasets: What is read.

    Raises:
        SourceError: It could not be read.
    """
    files: dict[str, bytes] = {}
    models: dict[str, Model] = {}
    for service in sorted({asked.service for asked in datasets}):
        url = f"{base}{service}/$metadata"
        body = http.get(url, lane="describe", media=Media.XML).body
        try:
            models[service] = read_model(body)
        except DataError as error:
            raise ProtocolError(f"{http.source}: GET {url}: the answer is {error}", source=http.source) from error
        files[f"{service.removeprefix('/sap/opu/').strip('/').replace('/', '-')}-metadata.xml"] = body
    found: dict[str, tuple[FoundProperty, ...]] = {}
    notes: list[str] = []
    for asked in datasets:
        model = models[asked.service]
        entity = model.of_set(asked.declared.resource)
        if entity is None:
            there = ", ".join(sorted(model.sets)[:20])
            notes.append(
                f"{asked.dataset}: {asked.service} has no entity set {asked.declared.resource}; it has {there}"
            )
            continue
        found[asked.dataset] = tuple(_properties(model, entity, asked))
        notes += [*_notes(asked, entity), *_filters(asked, model.unfilterable[asked.declared.resource])]
    return SystemDescription(files, found, tuple(notes))


def _properties(model: Model, entity: EntityType, asked: Asked) -> Iterator[FoundProperty]:
    """Yield the properties as a declaration writes their paths: those of children by their place."""
    declared = asked.declared
    exploded = written(declared.explode) if declared.explode is not None else None
    own = f"{PARENT}." if exploded is not None else ""
    for name, kind in entity.properties.items():
        yield FoundProperty(own + name, kind)
        if own and name in declared.select:
            # what is asked for of the entities around is written without `parent`
            yield FoundProperty(name, kind)
    for way in (*declared.expand, *((exploded,) if exploded else ())):
        yield from _behind(model, entity, written(way).split("/"), own, exploded)
    yield from _derived(asked, _all_of(model, entity, exploded))


def _behind(
    model: Model, entity: EntityType, names: list[str], prefix: str, exploded: str | None
) -> Iterator[FoundProperty]:
    walked, prefixes = "", [prefix]
    for name in names:
        target, way = model.behind(entity, name), entity.navigations.get(name)
        if target is None or way is None:
            return
        walked = f"{walked}/{name}" if walked else name
        within = [f"{name}.{place}." for place in _PLACES] if way.many else [f"{name}."]
        prefixes = [""] if walked == exploded else [before + step for before in prefixes for step in within]
        entity = target
    for name, kind in entity.properties.items():
        for before in prefixes:
            yield FoundProperty(before + name, kind)


def _all_of(model: Model, entity: EntityType, exploded: str | None) -> EntityType:
    """Return the type of what becomes a record."""
    for name in (exploded or "").split("/"):
        entity = (model.behind(entity, name) if name else None) or entity
    return entity


def _derived(asked: Asked, record: EntityType) -> Iterator[FoundProperty]:
    """Yield what the connector adds, where the metadata has what it is made of."""
    options = asked.options
    if options.flags and all(path in record.properties for path in options.flags.values()):
        yield FoundProperty(f"{DERIVED}.status", "derived from flags")
    if options.net_amount is not None and all(path in record.properties for path in _parts(options.net_amount)):
        yield FoundProperty(f"{DERIVED}.net_amount", "derived from quantity and price")


def _parts(amount: NetAmount) -> list[str]:
    parts = (amount.quantity, amount.price, amount.per, amount.numerator, amount.denominator)
    return [part for part in parts if part is not None]


def _filters(asked: Asked, unfilterable: frozenset[str]) -> Iterator[str]:
    """Yield what the service will refuse of what the dataset filters by."""
    declared, valid = asked.declared, asked.options.valid
    paths = [declared.business_date, declared.changed, *(condition.property for condition in declared.where)]
    paths += [valid.start, valid.end] if valid is not None else []
    for name in sorted({written(path) for path in paths if path is not None} & unfilterable):
        yield f"{asked.dataset}: {declared.resource} takes {name} in no filter"


def _notes(asked: Asked, entity: EntityType) -> Iterator[str]:
    declared = asked.declared
    for way in (*declared.expand, *((declared.explode,) if declared.explode else ())):
        first = written(way).partition("/")[0]
        if first not in entity.navigations:
            yield f"{asked.dataset}: {declared.resource} has no navigation property {first}"
    stamps = [name for name in entity.properties if "LastChange" in name and "Time" in name]
    if stamps and declared.changed is None:
        yield (
            f"{asked.dataset}: {declared.resource} tells when a record changed: changed: {stamps[0]} lets poll_every "
            "work"
        )
