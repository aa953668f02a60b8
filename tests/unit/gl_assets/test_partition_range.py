import dagster as dg
import pytest

from gl_assets.partition_range import MOST_PARTITIONS, told_in_words, work_through
from resources.core.errors import DataError, UnreachableError


def test_work_through_when_all_goes_well_then_the_newest_comes_first():
    seen: list[str] = []
    outcome = work_through(["a", "c", "b"], seen.append)
    assert seen == outcome.done == ["c", "b", "a"]
    outcome.raise_if_failed()


def test_work_through_when_one_fails_then_the_others_are_done_and_it_is_named():
    def one(key: str) -> None:
        if key == "b":
            raise DataError("it is bad")
        if key == "a":
            raise ZeroDivisionError

    outcome = work_through(["a", "b", "c"], one)
    assert outcome.done == ["c"]
    with pytest.raises(
        dg.Failure, match=r"2 of 3 partitions failed, the others are stored: b: it is bad; also a"
    ) as error:
        outcome.raise_if_failed()
    assert error.value.allow_retries is False


def test_work_through_when_the_server_is_away_then_the_rest_is_not_tried():
    def one(key: str) -> None:
        raise UnreachableError("gone")

    outcome = work_through([str(n) for n in range(9)], one)
    assert outcome.failed["8"] == "gone"
    assert all("not tried" in outcome.failed[str(n)] for n in range(8))
    with pytest.raises(dg.Failure, match="and 3 more"):
        outcome.raise_if_failed()


def test_work_through_when_there_are_too_many_then_it_is_refused():
    with pytest.raises(dg.Failure, match="smaller ranges"):
        work_through([str(n) for n in range(MOST_PARTITIONS + 1)], lambda key: None)


def test_told_in_words_when_the_platform_fails_then_the_failure_bears_its_sentence():
    with pytest.raises(dg.Failure, match="no such server"), told_in_words():
        raise UnreachableError("no such server")
