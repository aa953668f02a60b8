"""Where local state lives: `GL_HOME`, default `.gl/` in the working directory."""

from __future__ import annotations

import os
from pathlib import Path


def gl_home() -> Path:
    """Return the folder of all local state, absolute; it need not exist yet."""
    return Path(os.environ.get("GL_HOME", ".gl")).absolute()


def config_path() -> Path | None:
    """Return the configuration file that `GL_CONFIG` names, None if it is unset."""
    named = os.environ.get("GL_CONFIG")
    return Path(named).absolute() if named else None
