"""Pages whose errors say where they happened: a transport knows the address, not dataset, part and page."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from resources.core.errors import SourceError
from resources.erp.connector import Part
from resources.erp.records import RecordPage


def named(pages: Iterator[RecordPage], system: str, dataset: str, part: Part) -> Generator[RecordPage]:
    """Yield `pages`; an error of theirs is told with system, dataset, part and page before it, unless it names them.

    Raises:
        SourceError: The same error, its message completed.
    """
    number = 1
    try:
        for page in pages:
            yield page
            number += 1
    except SourceError as error:
        said = str(error)
        if dataset not in said or "page" not in said:
            error.args = (f"{system}: {dataset} {part}, page {number}: {said.removeprefix(f'{system}: ')}",)
        raise
    finally:
        close = getattr(pages, "close", None)
        if close is not None:
            close()
