from __future__ import annotations

import pytest

from resources.core import errors


@pytest.mark.parametrize(
    "kind", [errors.UnreachableError, errors.ThrottledError, errors.AuthError, errors.ProtocolError]
)
def test_source_error_when_raised_then_it_names_its_source(kind: type[errors.SourceError]) -> None:
    error = kind("no reply in 3 s", source="boilers")
    assert isinstance(error, errors.PlatformError)
    assert (str(error), error.source) == ("no reply in 3 s", "boilers")


def test_throttled_error_when_the_pause_is_known_then_kept() -> None:
    assert errors.ThrottledError("slow down", source="sap", retry_after_s=7.0).retry_after_s == 7.0
    assert errors.ThrottledError("slow down").retry_after_s is None


@pytest.mark.parametrize("kind", [errors.ConfigError, errors.DataError])
def test_error_when_not_of_a_source_then_no_source_error(kind: type[errors.PlatformError]) -> None:
    assert issubclass(kind, errors.PlatformError)
    assert not issubclass(kind, errors.SourceError)
