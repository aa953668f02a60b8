"""What of a person must stay in Workday: names, pay, contact, identity. It is not asked for, and not kept if it comes.

A dataset that fills `workforce` is read by a list of what may be kept: whatever else arrives is dropped before it is
landed. The words below only keep such a list from naming what it must not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from resources.erp.declared import DatasetConfig, split_path

TABLE = "workforce"
"""The standard table about people."""

_PERSONAL = frozenset(
    {
        "birth", "birthday", "dob", "age", "gender", "sex", "ethnicity", "ethnic", "race", "religion", "marital",
        "nationality", "citizenship", "disability", "health", "address", "email", "mail", "phone", "telephone",
        "mobile", "fax", "photo", "salary", "pay", "payroll", "payment", "compensation", "wage", "bonus", "merit",
        "allowance", "stock", "ssn", "passport", "visa", "iban", "bank", "tax", "descriptor", "username",
    }
)  # fmt: skip
_OF_PERSONS = frozenset(
    {
        "legal", "preferred", "full", "first", "last", "middle", "given", "family", "maiden", "worker", "employee",
        "person",
    }
)  # fmt: skip
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

NEVER_IN_RESPONSES = ("Include_Personal_Information", "Include_Compensation", "Include_Photo")
"""Parts of a response about workers that are always declined: where nothing is said, Workday sends personal data."""


def is_personal(path: str) -> bool:
    """Return whether a path names personal data, judged by its words."""
    return any(_is_personal(name) for name in split_path(path))


def _is_personal(name: str) -> bool:
    words = [word.lower() for word in _PARTS.findall(name)]
    if _PERSONAL.intersection(words) or words in (["name"], ["user", "id"], ["national", "id"]):
        return True
    return any(one in _OF_PERSONS and other == "name" for one, other in pairwise(words))


def refused_paths(declared: DatasetConfig) -> Iterator[str]:
    """Yield the paths of a dataset about people that name personal data."""
    asked = dict.fromkeys([*declared.select, *declared.properties])
    yield from (path for path in asked if is_personal(path))


def kept_paths(declared: DatasetConfig) -> tuple[str, ...]:
    """Return the paths that may be kept of a record about a person: those selected, or else those mapped."""
    return tuple(dict.fromkeys([*(declared.select or ()), *declared.properties]))
