"""A YAML file with the line of every key, so that a fault of the model behind it names file, line and key.

Parts of it may come from other files (tag lists): `Listed` says which file and line an item of a list stands in.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from resources.core.errors import ConfigError

SECRET = re.compile(r"^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$")
"""A text that names an environment variable and nothing else: it stays as it is, for whoever reads the secret."""

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")

_TAG = re.compile(r"^tag (\S+): ")

Key = tuple[str | int, ...]
"""Where a value stands: keys and positions from the root down."""

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Listed:
    """Items of one list of a document that were read from another file."""

    path: Key
    """The list, such as ("sources", "boiler_house", "tags")."""
    first: int
    """Position of the first of them in the list."""
    file: str
    """The file's name in messages."""
    lines: Sequence[int]
    """Line of each of them."""
    names: Mapping[str, int]
    """Name of an item, as messages of the model have it -> its line."""

    def place(self, where: Key) -> str | None:
        """Return file, line and column of `where`, None if it stands elsewhere."""
        depth = len(self.path)
        at = self._position(where)
        if at is None or not 0 <= at - self.first < len(self.lines):
            return None
        column = ".".join(str(part) for part in where[where.index(at, depth) + 1 :])
        return f"{self.file}:{self.lines[at - self.first]}: column {column or '-'}"

    def _position(self, where: Key) -> int | None:
        # a discriminated union puts its own part into the path, between the source's name and its keys
        known = 0
        for part in where:
            if known == len(self.path):
                return part if isinstance(part, int) else None
            if part == self.path[known]:
                known += 1
        return None


@dataclass(slots=True)
class Document:
    """The data of one file, and where each part of it stands."""

    name: str
    """The file's name in messages."""
    data: Any
    lines: dict[Key, int]
    folder: Path | None = None
    """Folder of the file: what paths to further files are relative to; None for a text without file."""
    listed: list[Listed] = field(default_factory=list)

    @staticmethod
    def load(path: Path) -> Document:
        """Return the document in `path`.

        Raises:
            ConfigError: The file is missing, is not YAML, has a key twice, or names an unset variable.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"{path}: cannot be read ({error.strerror}); GL_CONFIG names the configuration file"
            ) from error
        document = Document.parse(text, name=path.name)
        document.folder = path.absolute().parent
        return document

    @staticmethod
    def parse(text: str, *, name: str) -> Document:
        """Return the document of `text`; `name` stands for the file in messages.

        Raises:
            ConfigError: As `load`.
        """
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            data = yaml.load(text, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f":{mark.line + 1}" if mark else ""
            raise ConfigError(f"{name}{line}: not YAML: {getattr(error, 'problem', error)}") from error
        lines: dict[Key, int] = {}
        faults: list[str] = []
        if node is not None:
            _index(node, (), lines, faults, name)
        data, unset = _interpolate(data if data is not None else {}, ())
        document = Document(name, data, lines)
        faults += [document.fault(where, f"environment variable {variable} is not set") for where, variable in unset]
        if faults:
            raise ConfigError("\n".join(faults))
        return document

    def validated(self, model: type[Model]) -> Model:
        """Return the data as a `model`.

        Raises:
            ConfigError: It breaks the model; one line per fault, naming file, line and key.
        """
        try:
            return model.model_validate(self.data)
        except ValidationError as error:
            raise ConfigError("\n".join(self._explain(error))) from error

    def fault(self, where: Key, message: str) -> str:
        """Return the line that says what is wrong with the value at `where`."""
        named = _TAG.match(message)
        for listed in self.listed:
            if named is not None and named.group(1) in listed.names:
                return f"{listed.file}:{listed.names[named.group(1)]}: {message}"
            place = listed.place(where)
            if place is not None:
                return f"{place}: {message}"
        return f"{self.name}:{self._line(where)}: {_dotted(where) or 'file'}: {message}"

    def _explain(self, error: ValidationError) -> list[str]:
        found: list[tuple[Key, str]] = []
        for fault in error.errors(include_input=False, include_url=False):
            where = tuple(part for part in fault["loc"] if not isinstance(part, str) or part != "[key]")
            message = (
                "unknown key" if fault["type"] == "extra_forbidden" else fault["msg"].removeprefix("Value error, ")
            )
            # a list whose items are all wrong is called too short as well: the items say why
            inside = any(other[: len(where)] == where and other != where for other, _ in found)
            if fault["type"] != "too_short" or not inside:
                found.append((where, message))
        return [self.fault(where, message) for where, message in found]

    def _line(self, where: Key) -> int:
        # a discriminated union puts its tag into the path, so parts that the file does not have are passed over
        known: Key = ()
        for part in where:
            if (*known, part) in self.lines:
                known = (*known, part)
        return self.lines.get(known, 1)


def _dotted(where: Key) -> str:
    return ".".join(str(part) for part in where)


def _index(node: yaml.Node, path: Key, lines: dict[Key, int], faults: list[str], name: str) -> None:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            where = (*path, str(key.value))
            if where in lines:
                twice = f"the key occurs twice (first on line {lines[where]})"
                faults.append(f"{name}:{key.start_mark.line + 1}: {_dotted(where)}: {twice}")
            lines[where] = key.start_mark.line + 1
            _index(value, where, lines, faults, name)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            _index(value, (*path, number), lines, faults, name)


def _interpolate(data: Any, path: Key) -> tuple[Any, list[tuple[Key, str]]]:
    """Replace `${NAME}` inside longer strings and `${NAME:-default}`; a bare `${NAME}` stays for secrets."""
    unset: list[tuple[Key, str]] = []
    if isinstance(data, dict):
        done: dict[Any, Any] = {}
        for key, value in data.items():
            done[key], missing = _interpolate(value, (*path, str(key)))
            unset += missing
        return done, unset
    if isinstance(data, list):
        items = []
        for number, value in enumerate(data):
            item, missing = _interpolate(value, (*path, number))
            items.append(item)
            unset += missing
        return items, unset
    if isinstance(data, str) and "${" in data and not SECRET.match(data):

        def replace(match: re.Match[str]) -> str:
            value = os.environ.get(match.group(1), match.group(2))
            if value is None:
                unset.append((path, match.group(1)))
                return ""
            return value

        return _VARIABLE.sub(replace, data), unset
    return data, unset
