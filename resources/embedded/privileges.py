"""Running a server as an unprivileged user: PostgreSQL refuses root, and a broker needs no rights either.

As a normal user nothing is done. As root the program runs as `nobody` where that user can reach its folders,
else as the first user of a user namespace of its own.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from resources.core.errors import ConfigError

NOBODY = 65534


def is_root() -> bool:
    """Return whether this process is root."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def drop_prefix(*reached: Path) -> list[str]:
    """Return the command words that run a program unprivileged; it must reach all of `reached`.

    Raises:
        ConfigError: This is root, the folders are hidden from other users, and neither tool for it exists.
    """
    if not is_root():
        return []
    if all(_reachable(path) for path in reached) and shutil.which("setpriv"):
        return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]
    if shutil.which("unshare"):
        return ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"]
    raise ConfigError(
        f"the embedded servers refuse to run as root, and another user cannot reach {reached[0]}: "
        "run as a normal user, or set GL_HOME to a folder that everyone may enter, such as /var/lib/gl"
    )


def give_to_server(folder: Path, *, prefix: list[str]) -> None:
    """Make `folder` and everything in it belong to the user that `prefix` runs as, closed to all others."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    if prefix[:1] == ["setpriv"]:
        for path in _tree(folder):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def _tree(folder: Path) -> Iterable[Path]:
    yield folder
    yield from folder.rglob("*")


def _reachable(path: Path) -> bool:
    """Whether others may enter every existing folder above `path` (the path itself is given away)."""
    parents = [parent for parent in path.absolute().parents if parent.exists()]
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in parents)
