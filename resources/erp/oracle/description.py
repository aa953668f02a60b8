"""What a pod says of its resources: `/<resource>/describe`, saved as it is and read for the attributes of a dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from resources.core.errors import ProtocolError
from resources.erp.connector import FoundProperty, SystemDescription
from resources.erp.declared import DatasetConfig, split_path
from resources.erp.oracle.pod import Pod


class Attribute(msgspec.Struct):
    """An attribute of a resource."""

    name: str = ""
    type: str = ""


class Described(msgspec.Struct):
    """A resource, or a child of one."""

    attributes: list[Attribute] = []
    children: dict[str, Described] = {}


class _Answer(msgspec.Struct, rename={"resources": "Resources"}):
    resources: dict[str, Described] = {}


def described(pod: Pod, datasets: Mapping[str, DatasetConfig]) -> SystemDescription:
    """Return the description of every resource that the datasets read.

    Raises:
        SourceError: It could not be read; a ProtocolError also for an answer that is no description.
    """
    files: dict[str, bytes] = {}
    properties: dict[str, tuple[FoundProperty, ...]] = {}
    for name, declared in datasets.items():
        file = f"{declared.resource}.json"
        if file not in files:
            files[file] = pod.get(pod.path(f"{declared.resource}/describe"), lane=name)
        found = _resource(pod, declared.resource, files[file])
        if found is not None:
            properties[name] = tuple(_properties(found, split_path(declared.explode) if declared.explode else ()))
    return SystemDescription(files, properties)


def _resource(pod: Pod, resource: str, body: bytes) -> Described | None:
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except msgspec.DecodeError as error:
        raise ProtocolError(
            f"{pod.system}: {pod.path(resource)}/describe answers something that is no description ({error}); "
            "is http.base_url a Fusion pod?",
            source=pod.system,
        ) from error
    return answer.resources.get(resource)


def _properties(resource: Described, explode: tuple[str, ...]) -> Iterator[FoundProperty]:
    """Yield the properties of a dataset's records: of the child that is exploded, and of what is around it."""
    above: list[Described] = [resource]
    for name in explode:
        child = above[0].children.get(name)
        if child is None:
            break
        above.insert(0, child)
    for up, level in enumerate(above):
        for attribute in level.attributes:
            yield FoundProperty("parent." * up + attribute.name.replace(".", "\\."), attribute.type)
    if not explode:
        yield from _children(resource, "")


def _children(resource: Described, prefix: str) -> Iterator[FoundProperty]:
    for name, child in resource.children.items():
        for attribute in child.attributes:
            yield FoundProperty(f"{prefix}{name}.{attribute.name}", attribute.type)
        yield from _children(child, f"{prefix}{name}.")
