"""The environment of a running demo, so that `gl doctor`, `gl gates` and the rest mean the demo without being told.

The demo's configuration names environment variables for its generated secrets, as every configuration does. While the
demo runs they are kept in a file of mode 0600 beside the secrets themselves.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path

FILE = "environment.json"
"""Name of the file in the demo's folder."""


def remember(home: Path, environment: Mapping[str, str]) -> None:
    """Keep the environment of the demo that is started in `home`."""
    path = home / "demo" / FILE
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(dict(environment), file)


def forget(home: Path) -> None:
    """Keep no environment: what is started in `home` is not the demo."""
    (home / "demo" / FILE).unlink(missing_ok=True)


def of_running_demo(home: Path) -> dict[str, str] | None:
    """Return the environment of the demo that runs in `home`, None if none does."""
    path = home / "demo" / FILE
    if not path.exists() or not _is_held(home / "up.lock"):
        return None
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _is_held(lock: Path) -> bool:
    """Return whether a process holds the home's lock (`gl_assets.cli.state.only_one`)."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
