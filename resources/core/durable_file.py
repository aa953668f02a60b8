"""Small files that are replaced as a whole: a reader never sees half of one, and a crash leaves the old or the new."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_AS_THE_UMASK_SAYS = 0o666


def replace_file(path: Path, content: Mapping[str, Any] | str, *, mode: int | None = None) -> None:
    """Write JSON or text in place of what `path` holds; durable on return.

    Args:
        path: In a folder that exists.
        content: A mapping is written as JSON.
        mode: Who may read it, from the first byte on; what the umask says if None.

    Raises:
        OSError: The disk takes nothing.
    """
    text = content if isinstance(content, str) else json.dumps(content, indent=1)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _AS_THE_UMASK_SAYS if mode is None else mode)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        if mode is not None:
            # the umask may have taken bits away
            os.fchmod(file.fileno(), mode)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
