"""The only list of Dagster resources: what assets, jobs and sensors reach the outside with.

Each is thin: typed fields in, the plain client out. Nothing is opened, and no variable read, before a run asks for it.
"""

from pathlib import Path

import dagster as dg

from resources.core.home import gl_home
from resources.databases.timescale.resource import TimescaleResource
from resources.integrations import Integrations
from resources.window_buffer.reader import BufferReader


class WindowBufferResource(dg.ConfigurableResource):  # type: ignore[type-arg] # Dagster binds the type itself
    """The folder of the collector's window buffer, read only."""

    folder: str = ""
    """The folder; empty means `buffer` in GL_HOME."""

    def path(self) -> Path:
        """Return the folder; it need not exist yet."""
        return Path(self.folder) if self.folder else gl_home() / "buffer"

    def reader(self) -> BufferReader:
        """Return a reader of the folder; one that does not exist is an empty buffer."""
        return BufferReader(self.path())


def build_resources(config: Integrations) -> dict[str, object]:
    """Return every resource by the name that assets ask for it with; tests override single ones."""
    return {"window_buffer": WindowBufferResource(), "timescale": TimescaleResource()}
