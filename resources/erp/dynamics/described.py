"""`gl erp describe` of Finance & Operations: `$metadata`, what it says of the datasets, and which sets there are."""

from __future__ import annotations

from resources.core.errors import DataError, ProtocolError
from resources.erp.connector import FoundProperty, SystemDescription
from resources.erp.declared import DatasetConfig
from resources.erp.dynamics.config import DynamicsConfig
from resources.erp.dynamics.metadata import EntityType, Model, read_model
from resources.transport.http.answers import Media
from resources.transport.http.client import HttpClient


def describe(http: HttpClient, config: DynamicsConfig) -> SystemDescription:
    """Return the metadata of each service that a dataset is read from, and the properties of the datasets' sets.

    Raises:
        SourceError: It could not be read.
    """
    roots = {(declared.service or "/data").rstrip("/") for declared in config.datasets.values()} or {"/data"}
    files: dict[str, bytes] = {}
    models: dict[str, Model] = {}
    for root in sorted(roots):
        body = http.get(f"{root}/$metadata", lane="describe", media=Media.XML).body
        try:
            models[root] = read_model(body)
        except DataError as error:
            raise ProtocolError(f"{http.source}: GET {root}/$metadata: {error}", source=http.source) from error
        files[f"{root.strip('/').replace('/', '-') or 'root'}-metadata.xml"] = body
    found: dict[str, tuple[FoundProperty, ...]] = {}
    notes: list[str] = []
    for name, declared in config.datasets.items():
        model = models[(declared.service or "/data").rstrip("/")]
        entity = model.of_set(declared.resource)
        if entity is not None:
            found[name] = tuple(_properties(model, entity, declared))
        notes += _notes(name, declared, config.options_of(name).candidates, model, entity)
    return SystemDescription(files, found, tuple(notes))


def _properties(model: Model, entity: EntityType, declared: DatasetConfig) -> list[FoundProperty]:
    """Return an entity's properties, and those of what is expanded, as a declaration writes their paths."""
    own = "parent." if declared.explode is not None else ""
    found = [FoundProperty(own + name, kind) for name, kind in entity.properties.items()]
    for name in declared.expand:
        target = model.of_navigation(entity, name)
        if target is None:
            continue
        prefix = "" if name == declared.explode else f"{own}{name}."
        found += [FoundProperty(prefix + below, kind) for below, kind in target.properties.items()]
    return found


def _notes(
    name: str, declared: DatasetConfig, candidates: tuple[str, ...], model: Model, entity: EntityType | None
) -> list[str]:
    if entity is None:
        there = [candidate for candidate in candidates if candidate in model.sets]
        alike = [known for known in model.sets if known.lower() == declared.resource.lower()]
        better = f"; there is {', '.join(there or alike)}: set datasets.{name}.resource" if there or alike else ""
        return [f"{name}: there is no entity set {declared.resource} (names are case sensitive){better}"]
    notes = [
        f"{name}: {declared.resource} has no navigation property {path}"
        for path in declared.expand
        if path not in entity.navigation
    ]
    stamps = [path for path in entity.properties if path.startswith(("ModifiedDateTime", "SystemModifiedDateTime"))]
    if stamps and declared.changed is None:
        notes.append(
            f"{name}: {declared.resource} tells when a record changed: changed: {stamps[0]} lets poll_every work"
        )
    return notes
