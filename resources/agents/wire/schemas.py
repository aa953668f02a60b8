"""JSON Schema (2020-12) of what others declare, applied to what others send: it fetches nothing and never raises."""

from __future__ import annotations

from typing import Any

import jsonschema
from jsonschema.protocols import Validator
from referencing import Registry


def validator_of(schema: dict[str, Any]) -> Validator:
    """Return what `schema_fault` judges values by; whether `schema` is a schema is for `not_a_schema` to say."""
    # an empty registry: what a schema refers to elsewhere is not fetched
    return jsonschema.Draft202012Validator(schema, registry=Registry())


def not_a_schema(schema: dict[str, Any]) -> str | None:
    """Return where and why something is no JSON Schema; None if it is one."""
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        return f"{error.json_path}: {error.message}"
    except RecursionError:
        return "$: it is nested too deeply"
    return None


def schema_fault(validator: Validator, value: Any, *, name: str = "$", quoted: bool = False) -> str | None:
    """Return where and how `value` breaks a schema, None if it fits.

    Args:
        validator: Of `validator_of`.
        value: Plain JSON data.
        name: What the value is called where its parts are named.
        quoted: True tells the sender what was wrong with the value; it is left out otherwise, since it may be large,
            or nobody's business in a log.
    """
    try:
        error = jsonschema.exceptions.best_match(validator.iter_errors(value))
    except Exception as fault:  # noqa: BLE001 - a schema is its author's program, and may fail in any way
        # a reference leads nowhere or in circles, a pattern is none: whoever waits must get a verdict all the same, or
        # the message stays where it is for ever
        return f"the schema cannot be applied ({type(fault).__name__}); it must not refer to other documents or itself"
    if error is None:
        return None
    said = error.message if quoted else f"breaks {error.validator!r} of the schema"
    return f"{name}{error.json_path[1:]}: {said}"
