"""Small files that are replaced as a whole: a reader never sees half of one, and a crash leaves the old or the new."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_AS_THE_UMASK_SAYS = 0o666


def replace_file(path: Path, content: Mapping[str, Any] | str | bytes, *, mode: int | None = None) -> None:
    """Write JSON, text or bytes in place of what `path` holds; durable on return.

    Args:
        path: In a folder that exists.
        content: A mapping is written as JSON.
        mode: Who may read it, from the first byte on; what the umask says if None.

    Raises:
        OSError: The disk takes nothing.
    """
    if isinstance(content, Mapping):
        content = json.dumps(content, indent=1)
    data = content.encode() if isinstance(content, str) else content
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _AS_THE_UMASK_SAYS if mode is None else mode)
    with os.fdopen(handle, "wb") as file:
        if mode is not None:
            # the umask may have taken bits away
            os.fchmod(file.fileno(), mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make new and removed names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
