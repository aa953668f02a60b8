"""JavaScript and Python read the same JSON, refuse the same, and hash the same: what `once` rests on."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rfc8785
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from resources.agents.wire.canonical import canonical
from resources.agents.wire.strict_json import StrictJsonError, loads
from tests.conftest import REPOSITORY
from tests.integration.test_agents_javascript import HOW_TO, PACKAGES

HARNESS = """
import {{ createHash }} from 'node:crypto';
import {{ createInterface }} from 'node:readline';
import canonicalize from 'canonicalize';
{functions}
for await (const line of createInterface({{ input: process.stdin }})) {{
  try {{
    const canonical = canonicalize(strictJson(Buffer.from(line, 'base64')));
    console.log(createHash('sha256').update(canonical).digest('hex'));
  }} catch (error) {{
    console.log('refused');
  }}
}}
"""

TEXTS = st.text(max_size=8) | st.sampled_from(["", "__proto__", "constructor", "\u2028", "\U0001f600", '"\\', "é"])
NUMBERS = st.floats(allow_nan=False) | st.integers(-(2**70), 2**70) | st.sampled_from([1e21, 1e-7, -0.0, 5e-324, 2**53])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """JSON, and what is nearly JSON: some of it has a piece put in, or left out."""
    text = json.dumps({"a": draw(VALUES)}, ensure_ascii=draw(st.booleans()))
    if draw(st.booleans()):
        at = draw(st.integers(0, len(text)))
        pieces = [
            '"',
            "\\",
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "0",
            "-",
            "e9",
            "\\ud800",
            "\\u0061",
            " ",
            "\n",
            "\x00",
            '"a":1,',
        ]
        text = text[:at] + draw(st.sampled_from(pieces)) + text[at + draw(st.integers(0, 2)) :]
    return text.encode("utf-8", "surrogatepass")


@pytest.fixture(scope="module")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[bytes], str]]:
    """What the agent of the how-to makes of a document: the hash of its canonical form, or `refused`."""
    node = shutil.which("node")
    if node is None or not PACKAGES.is_dir():
        pytest.fail("Node.js or its packages are not there: apt-get install nodejs npm, make node")
    folder: Path = tmp_path_factory.mktemp("javascript")
    (folder / "node_modules").symlink_to(PACKAGES)
    found = re.search(
        r"(class Refused .*?)\nconst base64url.*?(function strictJson.*?\n}\n)", HOW_TO.read_text(), re.DOTALL
    )
    assert found is not None
    (folder / "harness.mjs").write_text(HARNESS.format(functions=found[1] + found[2]))
    with subprocess.Popen(
        [node, str(folder / "harness.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asked, answers = process.stdin, process.stdout

        def ask(document: bytes) -> str:
            asked.write(base64.b64encode(document) + b"\n")
            asked.flush()
            return answers.readline().decode().strip()

        yield ask
        asked.close()


def python(document: bytes) -> str:
    try:
        return hashlib.sha256(canonical(loads(document))).hexdigest()
    except (StrictJsonError, rfc8785.CanonicalizationError):
        return "refused"


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents())
@example(b'{"a": 1, "a": 1}')
@example(b'{"a": 1, "\\u0061": 1}')
@example(b'{"a": {"b": [{"c": 1, "c": 2}]}}')
@example(b'{"a": "b\\": 1, \\"a\\": 2"}')
@example(b'{"a" : "a", "b"\n: ":", "c": "{[\\"" }')
@example(b"[" * 64 + b"]" * 64)
@example(b"[" * 65 + b"]" * 65)
@example(b'{"a": "' + b"[" * 100 + b'"}')
@example(b"[" * 100_000)
@example(b'\xef\xbb\xbf{"a": 1}')
@example(b'{"a": "\xff"}')
@example(b'{"a": "\\ud83d\\ude00"}')
@example(b'{"a": "\\ude00\\ud83d"}')
@example(b'{"a": 1e999}')
@example(b'{"a": 1e308, "b": 9007199254740993, "c": 123456789012345678901}')
@example(b'{"__proto__": {"a": 1}, "constructor": 2, "toJSON": 3}')
@example(b'{"a": NaN}')
@example(b'{"a": 1} x')
def test_document_when_read_by_both_then_the_same_hash_or_refused_by_both(
    javascript: Callable[[bytes], str], document: bytes
) -> None:
    assert javascript(document) == python(document)
