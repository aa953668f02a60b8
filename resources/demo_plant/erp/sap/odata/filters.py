"""`$filter` as the fake SAP reads it: the grammar of OData V4 and of V2, checked against the types, then evaluated.

Comparisons, `and`, `or`, `not`, brackets and text functions in both; `in` and lambdas (`any`, `all`) in V4 alone. What
a version does not have, an unknown property and a literal of another type are refused, as a real service does.
Source: OASIS OData 4.01, part 2, 5.1.1; OData 2.0, URI conventions, 4.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resources.demo_plant.erp.sap.odata.expressions import (
    COMPARISONS,
    TEXT_FUNCTIONS,
    TEXT_TESTS,
    Comparison,
    Every,
    Expression,
    Function,
    Lambda,
    Not,
    OneOf,
    Operand,
    Path,
    Some,
    TextTest,
)
from resources.demo_plant.erp.sap.odata.literals import LITERAL_KINDS, Literal, Token, read_literal, tokens
from resources.demo_plant.erp.sap.odata.refusal import BadQueryError
from resources.demo_plant.erp.sap.odata.schema import EntityType, Service


def parse_filter(text: str, service: Service, entity: EntityType) -> Expression:
    """Return what a filter says.

    Raises:
        BadQueryError: Not a filter of the service's version, an unknown property, a literal of another type.
    """
    return _Parser(text, service, entity).parsed()


class _Parser:
    """Recursive descent: or, and, not, primary."""

    def __init__(self, text: str, service: Service, entity: EntityType) -> None:
        self._tokens: Sequence[Token] = tokens(text, service.version)
        self._at = 0
        self._service = service
        self._types = {"": entity}

    def parsed(self) -> Expression:
        expression = self._any()
        if self._at < len(self._tokens):
            raise self._unexpected()
        return expression

    def _any(self) -> Expression:
        parts = [self._every()]
        while self._took("name", "or"):
            parts.append(self._every())
        return parts[0] if len(parts) == 1 else Some(tuple(parts))

    def _every(self) -> Expression:
        parts = [self._negated()]
        while self._took("name", "and"):
            parts.append(self._negated())
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _negated(self) -> Expression:
        if self._took("name", "not"):
            return Not(self._negated())
        if self._took("mark", "("):
            expression = self._any()
            self._need("mark", ")")
            return expression
        return self._primary()

    def _primary(self) -> Expression:
        name = self._need("name")
        if self._took("mark", "("):
            if name in TEXT_TESTS[self._service.version]:
                return self._text_test(name)
            if name.rpartition("/")[2] in ("any", "all") and self._service.version == 4:
                return self._lambda(name)
            return self._compared(self._function(name))
        return self._compared(self._path(name))

    def _compared(self, operand: Operand) -> Expression:
        word = self._need("name")
        if word == "in" and self._service.version == 4:
            self._need("mark", "(")
            literals = [self._literal(operand)]
            while self._took("mark", ","):
                literals.append(self._literal(operand))
            self._need("mark", ")")
            return OneOf(operand, tuple(literals))
        if word not in COMPARISONS:
            raise BadQueryError(f"'{word}' is no operator")
        return Comparison(operand, word, self._literal(operand))

    def _text_test(self, name: str) -> Expression:
        one = self._argument()
        self._need("mark", ",")
        other = self._argument()
        self._need("mark", ")")
        return TextTest(name, self._service.version, (one, other))

    def _argument(self) -> Operand | str:
        token = self._next()
        if token.kind == "literal":
            literal = read_literal(token.text, self._service.version)
            if not isinstance(literal.value, str) or literal.kind != "String":
                raise BadQueryError(f"Literal {token.text} is no text")
            return literal.value
        return self._function(token.text) if self._took("mark", "(") else self._path(token.text)

    def _function(self, name: str) -> Function:
        if name not in TEXT_FUNCTIONS:
            raise BadQueryError(f"Function '{name}' is not supported", 501)
        inner = self._need("name")
        of = self._function(inner) if self._took("mark", "(") else self._path(inner)
        self._need("mark", ")")
        return Function(name, of)

    def _lambda(self, name: str) -> Expression:
        path, _, quantifier = name.rpartition("/")
        variable_of, _, navigation = path.rpartition("/")
        owner = self._types.get(variable_of)
        if owner is None or navigation not in owner.navigations:
            raise BadQueryError(f"'{path}' is no navigation of '{self._types[''].name}'")
        way = owner.navigations[navigation]
        variable = self._need("name")
        self._need("mark", ":")
        self._types[variable] = self._service.type_of(way.target)
        part = self._any()
        self._need("mark", ")")
        del self._types[variable]
        return Lambda(quantifier, way.member, variable_of, variable, part)

    def _path(self, written: str) -> Path:
        variable, _, name = written.rpartition("/")
        entity = self._types.get(variable)
        if entity is None or name not in entity.properties:
            raise BadQueryError(f"Property '{written}' does not exist in type '{self._types[''].name}'")
        if name in entity.unfilterable:
            raise BadQueryError(f"Property '{name}' cannot be used in $filter", 501)
        return Path(name, entity.properties[name], variable)

    def _literal(self, operand: Operand) -> Any:
        token = self._next()
        literal = (
            read_literal(token.text, self._service.version) if token.kind == "literal" else Literal("None", token.text)
        )
        if literal.kind not in ("Null", *LITERAL_KINDS[operand.kind]):
            raise BadQueryError(f"Literal {token.text} does not fit a value of type Edm.{operand.kind}")
        return literal.value

    def _took(self, kind: str, text: str) -> bool:
        if self._at < len(self._tokens) and (self._tokens[self._at].kind, self._tokens[self._at].text) == (kind, text):
            self._at += 1
            return True
        return False

    def _need(self, kind: str, text: str | None = None) -> str:
        token = self._next()
        if token.kind != kind or (text is not None and token.text != text):
            self._at -= 1
            raise self._unexpected()
        return token.text

    def _next(self) -> Token:
        if self._at == len(self._tokens):
            raise BadQueryError("$filter ends in the middle of an expression")
        self._at += 1
        return self._tokens[self._at - 1]

    def _unexpected(self) -> BadQueryError:
        token = self._tokens[self._at]
        return BadQueryError(f"Invalid expression at position {token.position} of $filter: '{token.text[:40]}'")
