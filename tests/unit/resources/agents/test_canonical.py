"""The fast canonical form is the library's, for every document."""

from __future__ import annotations

from typing import Any

import pytest
import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resources.agents.wire.canonical import canonical

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.floats(1e-8, 1e-3)
    | st.floats(1e13, 1e23)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=25,
)


@settings(max_examples=400)
@given(documents)
@example({"ﬀ": 1, "😀": 2, "a": {"b": [1.5, 0.0001, 123456789012345.6, -0.5]}})
@example("".join(map(chr, range(0x80))) + "\u2028\u2029")
@example([1e15 + 0.5, 1e-4, 9.999e-5, 1e21, 5e-324, -0.0, 1.0])
def test_canonical_when_given_any_document_then_it_is_what_the_library_writes(document: Any) -> None:
    assert canonical(document) == rfc8785.dumps(document)


@pytest.mark.parametrize(
    "document", ["\ud800", {"a": "\udfff"}, {"\ud800": 1}, 2**53, {"a": -(2**60)}, float("nan"), float("inf"), {1: 2}]
)
def test_canonical_when_there_is_none_then_it_says_so(document: Any) -> None:
    with pytest.raises(rfc8785.CanonicalizationError):
        canonical(document)
