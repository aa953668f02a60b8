"""Logging of every process: key-value lines on stderr and, with a folder, three rotating files; secrets scrubbed.

==================  =====================================================================================
`integration.log`   everything that stderr shows
`performance.log`   measurements of the platform's own speed, `performance_log()`; nowhere else
`security.log`      refused credentials, certificates, signatures, `security_log()`; on stderr as well
==================  =====================================================================================

Lines are logfmt (`timestamp=... level=... event=...`): whatever cannot be printed is escaped, so that nobody can forge
a line by a line break, hide one by a terminal's escape sequence, or turn it round by a mark of direction.
Libraries that log through `logging` come out in the same form, scrubbed as well.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from resources.core.configuration.settings import EnvSecret
from resources.core.process.rotating import SharedRotatingFileHandler
from resources.core.process.scrubbing import MASK, Scrubber, is_sensitive_key

PERFORMANCE = "gl.performance"
"""Name of the logger whose records go to performance.log."""

SECURITY = "gl.security"
"""Name of the logger whose records go to security.log, and to all else as well."""

_NOISY = ("pymodbus", "paho", "httpx", "httpcore", "alembic", "urllib3", "asyncio", "amqtt", "transitions")
"""Libraries that speak of every packet: from them warnings and worse only."""

_VERY_NOISY = ("asyncua",)
"""Libraries whose warnings are of no use to an operator either: from them errors only."""


def performance_log() -> Any:
    """Return the logger of measurements (`performance.log`)."""
    return structlog.get_logger(PERFORMANCE)


def security_log() -> Any:
    """Return the logger of refusals (`security.log`)."""
    return structlog.get_logger(SECURITY)


_in_force: list[Logging] = []
"""The setup of this process: none or one."""


class Logging:
    """The logging of this process; `close()` ends it."""

    def __init__(self, handlers: list[tuple[logging.Logger, logging.Handler]]) -> None:
        """Take the handlers that were added, each with its logger."""
        self._handlers = handlers

    def close(self) -> None:
        """Take the handlers out and close their files."""
        for logger, handler in self._handlers:
            logger.removeHandler(handler)
            handler.close()
        self._handlers = []


def setup_logging(
    level: str = "info", folder: Path | None = None, *, secrets: Iterable[EnvSecret] = (), stream: TextIO | None = None
) -> Logging:
    """Send the logs of this process to stderr and, if given, to the three files in `folder`; replaces an earlier setup.

    Args:
        level: Lowest level written: debug, info, warning, error.
        folder: Where the files go; made if absent, mode 0700; files have mode 0600.
        secrets: Whose values must never appear (`scrubbing.secrets_in(config)` finds them).
        stream: In place of stderr.
    """
    while _in_force:
        _in_force.pop().close()
    threshold = logging.getLevelNamesMapping()[level.upper()]
    scrubber = Scrubber(secrets)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    formatter = _ScrubbedFormatter(shared, scrubber)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
    for name in _VERY_NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    root, performance, security = logging.getLogger(), logging.getLogger(PERFORMANCE), logging.getLogger(SECURITY)
    root.setLevel(threshold)
    performance.propagate = False
    performance.setLevel(logging.INFO)
    handlers: list[tuple[logging.Logger, logging.Handler]] = [(root, logging.StreamHandler(stream or sys.stderr))]
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handlers += [
            (root, SharedRotatingFileHandler(folder / "integration.log")),
            (performance, SharedRotatingFileHandler(folder / "performance.log")),
            (security, SharedRotatingFileHandler(folder / "security.log")),
        ]
    else:
        handlers.append((performance, logging.NullHandler()))
    for logger, handler in handlers:
        handler.setFormatter(formatter)
        logger.addHandler(handler)
    _in_force.append(Logging(handlers))
    return _in_force[-1]


class _ScrubbedFormatter(structlog.stdlib.ProcessorFormatter):
    """Renders logfmt and scrubs the finished line: the last thing that happens before it is written."""

    def __init__(self, shared: list[Processor], scrubber: Scrubber) -> None:
        super().__init__(
            foreign_pre_chain=shared,
            processors=[
                self.remove_processors_meta,
                _mask_sensitive_keys,
                structlog.processors.LogfmtRenderer(
                    key_order=["timestamp", "level", "event"], drop_missing=True, bool_as_flag=False
                ),
            ],
        )
        self._scrubber = scrubber

    def format(self, record: logging.LogRecord) -> str:
        try:
            return _printable(self._scrubber(super().format(record)))
        except (ValueError, TypeError, KeyError):
            # a field that cannot be rendered must not take the message, nor the process, with it
            fault = traceback.format_exc()
            return self._scrubber(f"level=error event=log_record_unreadable logger={record.name} fault={fault!r}")


def _printable(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in line
    )


def _mask_sensitive_keys(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Mask a field by its name, and make every name one that logfmt can write."""
    return {
        str(key).replace(" ", "_") or "_": MASK if is_sensitive_key(str(key)) else value for key, value in event.items()
    }
