"""Who runs this process, by the operating system's word: what records of decisions and changes name."""

from __future__ import annotations

import os
import pwd
import socket


def user_here() -> str:
    """Return the name of the user, and behind `sudo` the name of who became it; no variable that anybody can set."""
    user = _user_name(os.getuid())
    # sudo sets it, and whoever may become root could forge it, but could forge everything else as well
    behind = os.environ.get("SUDO_USER", "") if os.getuid() == 0 else ""
    return f"{user} (sudo by {behind})" if behind else user


def host_here() -> str:
    """Return the name of this machine, and from where a person is logged on to it."""
    connection = os.environ.get("SSH_CONNECTION", "").split()
    return socket.gethostname() + (f" (ssh from {connection[0]})" if connection else "")


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
