"""A WSDL cut down to the operations that are called: Workday's have megabytes, and hardly any of it is needed."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from lxml import etree

from resources.transport.text.soap_fault import parse_xml

_WSDL = "{http://schemas.xmlsoap.org/wsdl/}"
_XSD = "{http://www.w3.org/2001/XMLSchema}"
_NAMING = ("type", "base", "ref", "itemType", "memberTypes", "substitutionGroup")
"""Attributes of a schema that name other parts of it."""


def pruned(wsdl: bytes, operations: Collection[str]) -> bytes:
    """Return a WSDL with these operations alone, and with the messages and types that they reach.

    Faults are left out: they are read as they come. Names are compared without their namespaces, so that what is kept
    may be more than is needed, never less.

    Raises:
        DataError: Not XML, or with a document type.
    """
    root = parse_xml(wsdl)
    for operation in list(root.iter(f"{_WSDL}operation")):
        if operation.get("name") not in operations:
            operation.getparent().remove(operation)
        for fault in operation.findall(f"{_WSDL}fault"):
            operation.remove(fault)
    called = {_local(part.get("message")) for part in root.iter() if part.get("message")}
    elements: set[str] = set()
    for message in root.findall(f"{_WSDL}message"):
        if message.get("name") in called:
            parts = message.iter(f"{_WSDL}part")
            elements |= {_local(part.get("element") or part.get("type")) for part in parts}
        else:
            root.remove(message)
    _keep_reachable(root, elements)
    text: bytes = etree.tostring(root)
    return text


def _keep_reachable(root: etree._Element, wanted: set[str]) -> None:
    """Remove the definitions of all schemas that none of the names in `wanted` leads to."""
    defined: dict[str, list[etree._Element]] = {}
    for schema in root.iter(f"{_XSD}schema"):
        for definition in schema:
            defined.setdefault(definition.get("name", ""), []).append(definition)
    reached: set[str] = {""}  # imports and the like have no name
    open_names = list(wanted)
    while open_names:
        name = open_names.pop()
        if name in reached:
            continue
        reached.add(name)
        for definition in defined.get(name, ()):
            open_names += _names(definition)
    for name, definitions in defined.items():
        if name not in reached:
            for definition in definitions:
                definition.getparent().remove(definition)


def _names(definition: etree._Element) -> Iterator[str]:
    for node in definition.iter(etree.Element):
        for attribute in _NAMING:
            yield from (_local(named) for named in node.get(attribute, "").split())


def _local(name: str | None) -> str:
    return (name or "").rpartition(":")[2]
