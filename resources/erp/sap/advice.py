"""What to do in SAP about an error that a system or its gateway answers."""

from __future__ import annotations

from resources.core.errors import SourceError

_ADVICE = (
    (
        "HTTP 403",
        "give the communication user the arrangement of this service (SAP_COM_...), on premises the role with "
        "S_SERVICE for it (SU53 shows what is missing)",
    ),
    (
        "HTTP 404",
        "the service or the entity set is not there: activate it (/IWFND/MAINT_SERVICE, /IWFND/V4_ADMIN), or name the "
        "release's own in datasets.<name>.service and resource; `gl erp describe` shows what a service has",
    ),
    (
        "does not exist in type",
        "this release lacks the property: `gl erp describe` shows which are missing; override select and fields",
    ),
    (
        "Time limit exceeded",
        "ask for smaller pages (http.page_size), or expand page by page: options.expand_by: batch",
    ),
    ("TIME_OUT", "ask for smaller pages (http.page_size), or expand page by page: options.expand_by: batch"),
)
"""Words of an error -> what to do about it in SAP."""


def explained(error: SourceError) -> str:
    """Return an error's message with what to do about it in SAP."""
    said = str(error)
    advice = next((advice for words, advice in _ADVICE if words in said), None)
    return f"{said}; {advice}" if advice else said
