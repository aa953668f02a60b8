"""Which kinds of ERP systems there are: the folders beside this file that hold a `connector.py`.

A kind's module is loaded when it is asked for, since each brings its protocol along.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path

from resources.core.errors import ConfigError
from resources.erp.connector import Connector


@cache
def kinds() -> tuple[str, ...]:
    """Return the names of all kinds, in order; nothing is loaded."""
    folder = Path(__file__).parent
    return tuple(
        sorted(
            module.name
            for module in pkgutil.iter_modules([str(folder)])
            if module.ispkg and (folder / module.name / "connector.py").is_file()
        )
    )


@cache
def connector(kind: str) -> Connector:
    """Return the connector of a kind.

    Raises:
        ConfigError: There is no such kind.
    """
    if kind not in kinds():
        raise ConfigError(f"unknown kind of ERP system {kind[:60]!r}: there are {', '.join(kinds())}")
    found = importlib.import_module(f"resources.erp.{kind}.connector").CONNECTOR
    assert isinstance(found, Connector)
    assert found.kind == kind, f"resources.erp.{kind}.connector declares the kind {found.kind!r}"
    return found
