"""Quoting: whatever the text, it comes back as one literal from a reader of the language that is not ours."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mocksap.odata import tokenize

from resources.transport.text.quoting import Dialect, EnumMember, Value, quote_name, quote_value

TEXTS = st.text() | st.text(st.sampled_from(list("'\";\\%*()<>&\r\n\t\0 aO=or1-/")), max_size=30)
ATTACKS = [
    "' or 1 eq 1 or '",
    "'; DROP TABLE x--",
    "x' and 'a'='a",
    "\\' or 1=1",
    '" or "" = "',
    "]]><x/>",
    "&lt;",
    "''",
]
MOMENT = datetime(2026, 1, 31, 1, 2, 3, tzinfo=timezone(timedelta(hours=1)))
GUID = UUID("12345678-1234-5678-1234-567812345678")


def attacked(test: Any) -> Any:
    for text in ATTACKS:
        test = example(text)(test)
    return settings(deadline=None)(given(TEXTS)(test))


def quoted(dialect: Dialect, text: str) -> str | None:
    try:
        return quote_value(dialect, text)
    except ValueError:
        return None


def odata_tokens(expression: str) -> list[tuple[str, str]]:
    return [(str(kind), str(text)) for kind, text in tokenize(expression)]


@attacked
def test_odata_when_text_is_quoted_a_foreign_reader_finds_one_literal(text: str) -> None:
    for dialect in ("odata_v4", "odata_v2"):
        written = quoted(dialect, text)  # type: ignore[arg-type]
        if written is None:
            assert any("\ud800" <= character <= "\udfff" for character in text)
            continue
        tokens = odata_tokens(f"Name eq {written} and B eq 1")
        assert len(tokens) == 7
        assert tokens[2][1].strip("'") == written.strip("'")
        assert written[1:-1].replace("''", "'") == text


@attacked
def test_sql_when_text_is_quoted_a_database_reads_the_same_text(text: str) -> None:
    written = quoted("sql", text)
    if written is not None:
        with sqlite3.connect(":memory:") as database:
            assert database.execute(f"SELECT {written}, 1").fetchall() == [(text, 1)]


@attacked
def test_xml_when_text_is_quoted_a_parser_reads_the_same_text(text: str) -> None:
    written = quoted("xml", text)
    if written is not None:
        root = ET.fromstring(f'<a b="{written}"><c>{written}</c></a>')
        assert root.attrib == {"b": text}
        assert [child.tag for child in root.iter()] == ["a", "c"]
        assert (root.findtext("c") or "") == text


def literals(expression: str, quotes: str) -> Iterator[tuple[bool, str]]:
    """Yield (is a literal, text) of an expression, without knowing any escape: the strictest reading of it."""
    for found in re.finditer("|".join(f"{quote}([^{quote}]*){quote}" for quote in quotes) + "|(.)", expression, re.S):
        is_other = found.group(found.lastindex or 0) == found.group(0)
        yield not is_other, found.group(found.lastindex or 0)


@attacked
def test_a_language_when_its_escapes_are_not_known_gets_no_text_that_would_need_one(text: str) -> None:
    for dialect, quotes in (("oracle_q1", "'\""), ("oracle_q2", "'\""), ("wql", "'")):
        written = quoted(dialect, text)  # type: ignore[arg-type]
        if written is None:
            continue
        parts = list(literals(f"A = {written} and B = 1", quotes))
        assert [part for is_literal, part in parts if is_literal] == [text]
        assert "".join(part for is_literal, part in parts if not is_literal) == "A =  and B = 1"
        assert "\\" not in written
        assert "\n" not in written
        assert dialect != "oracle_q1" or ";" not in written


@pytest.mark.parametrize(
    ("dialect", "value", "literal"),
    [
        ("odata_v4", None, "null"),
        ("odata_v4", True, "true"),
        ("odata_v4", 7, "7"),
        ("odata_v4", Decimal("1.50"), "1.50"),
        ("odata_v4", Decimal("1E+3"), "1000"),
        ("odata_v4", 0.1, "0.1"),
        ("odata_v4", "O'Neil", "'O''Neil'"),
        ("odata_v4", date(2026, 1, 31), "2026-01-31"),
        ("odata_v4", time(10, 15), "10:15:00"),
        ("odata_v4", MOMENT, "2026-01-31T00:02:03Z"),
        ("odata_v4", GUID, str(GUID)),
        ("odata_v4", EnumMember("Microsoft.Dynamics.DataEntities.NoYes", "Yes"), "Microsoft.Dynamics.DataEntities.NoYes'Yes'"),
        ("odata_v2", date(2026, 1, 31), "datetime'2026-01-31T00:00:00'"),
        ("odata_v2", datetime(2026, 1, 31, 5), "datetime'2026-01-31T05:00:00'"),  # noqa: DTZ001 - Edm.DateTime has no zone
        ("odata_v2", MOMENT, "datetimeoffset'2026-01-31T00:02:03Z'"),
        ("odata_v2", time(10, 5), "time'PT10H05M00S'"),
        ("odata_v2", GUID, f"guid'{GUID}'"),
        ("odata_v2", Decimal("1.5"), "1.5M"),
        ("odata_v2", 1.5, "1.5d"),
        ("oracle_q1", date(2026, 1, 31), "'2026-01-31'"),
        ("oracle_q2", "O'Neil", '"O\'Neil"'),
        ("oracle_q2", MOMENT, "'2026-01-31T00:02:03Z'"),
        ("wql", "plain", "'plain'"),
        ("wql", False, "false"),
        ("sql", None, "NULL"),
        ("sql", True, "TRUE"),
        ("sql", False, "FALSE"),
        ("sql", date(2026, 1, 31), "DATE '2026-01-31'"),
        ("sql", MOMENT, "TIMESTAMP '2026-01-31 00:02:03+00:00'"),
        ("sql", time(1, 2), "'01:02:00'"),
        ("xml", None, ""),
        ("xml", Decimal("1.10"), "1.10"),
        ("xml", "<&>", "&lt;&amp;&gt;"),
    ],
)  # fmt: skip
def test_a_value_when_written_is_a_literal_of_the_language(dialect: Dialect, value: Value, literal: str) -> None:
    assert quote_value(dialect, value) == literal


@pytest.mark.parametrize(
    ("dialect", "value"),
    [
        ("odata_v4", datetime(2026, 1, 1)),  # noqa: DTZ001
        ("odata_v4", Decimal("NaN")),
        ("odata_v4", float("inf")),
        ("odata_v4", "\ud800"),
        ("odata_v4", EnumMember("a' or 1 eq 1", "Yes")),
        ("odata_v2", EnumMember("NoYes", "Yes")),
        ("oracle_q1", "a;b=1"),
        ("oracle_q2", "both ' and \""),
        ("oracle_q2", "line\nbreak"),
        ("wql", "O'Neil"),
        ("wql", "back\\slash"),
        ("sql", "nul\0"),
        ("sql", datetime(2026, 1, 1)),  # noqa: DTZ001
        ("xml", "\x1b"),
    ],
)
def test_a_value_when_it_has_no_safe_literal_is_refused(dialect: Dialect, value: Value) -> None:
    with pytest.raises(ValueError, match=r"filter|number|sent|enumeration|hold|stand|escape|separates"):
        quote_value(dialect, value)


@settings(deadline=None)
@given(TEXTS)
def test_a_name_when_taken_holds_nothing_but_letters_digits_and_separators(text: str) -> None:
    for dialect in ("odata_v4", "odata_v2", "oracle_q1", "oracle_q2", "wql", "sql", "xml"):
        try:
            name = quote_name(dialect, text)  # type: ignore[arg-type]
        except ValueError:
            continue
        assert name == text
        assert re.fullmatch(r"[A-Za-z0-9_./:\-]+", name, re.ASCII)


@pytest.mark.parametrize(
    ("dialect", "name", "taken"),
    [
        ("odata_v4", "to_Item/Material", True),
        ("odata_v4", "a.b", False),
        ("odata_v4", "a b", False),
        ("odata_v4", "a\n", False),
        ("oracle_q2", "Header.Name", True),
        ("sql", "apps.gl_lines", True),
        ("sql", "1a", False),
        ("xml", "wd:Get_Journals_Request", True),
        ("xml", "a:b:c", False),
    ],
)
def test_a_name_when_of_the_language_is_taken(dialect: Dialect, name: str, taken: bool) -> None:
    if taken:
        assert quote_name(dialect, name) == name
    else:
        with pytest.raises(ValueError, match="is no name"):
            quote_name(dialect, name)


def test_an_instant_when_written_is_utc() -> None:
    assert quote_value("odata_v4", datetime(2026, 1, 31, tzinfo=UTC)) == "2026-01-31T00:00:00Z"
