"""Why a reading is rejected that another one of the same sensor and time contradicts: the sentences of all layers.

They stand in `scada.rejected_readings`, so they are never changed; a new one is added to CONTRADICTIONS.
"""

from __future__ import annotations

OVERTAKEN = "another value for the same sensor and time arrived later"
"""Within what one collector's buffer holds of a window."""

REPLACED = "the same sensor and time arrived again later with another value; the later arrival stands"
"""Between collectors, history, corrections and merges: found where the reading is stored."""

REPLACED_TEXT = "the same sensor and time arrived again later with another text; the later arrival stands"
"""The same of a text."""

CONTRADICTIONS = (OVERTAKEN, REPLACED, REPLACED_TEXT)
"""All of them: what the gate of duplicates counts."""
