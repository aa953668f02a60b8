"""What the checks of a pull say: a business day of landed records, or a snapshot of master data. No Dagster."""

from gl_assets.erp.judging.model import Check, Settings, Verdict
from resources.erp.auditing.audit import PullAudit

BULK_SHARE = 0.5
"""Above this share of a part's records vanishing at once, a fault of permissions is likelier than deletions."""
FEW = 10
"""So few records may vanish whatever their share."""
BULK = "records_do_not_vanish_in_bulk"


def counted(pull: PullAudit) -> Verdict:
    """Judge whether as many records came as the server counted; a server that does not count is no fault."""
    given = "not given" if pull.server_count is None else pull.server_count
    differing = 0 if pull.server_count is None else abs(pull.server_count - pull.rows)
    return Verdict(differing == 0, {"rows": pull.rows, "server_count": given}, differing)


def sent_once(pull: PullAudit) -> Verdict:
    """Judge whether no record came twice."""
    return Verdict(pull.duplicates == 0, {"duplicates": pull.duplicates}, pull.duplicates)


def vanish_in_bulk(vanished: int, rows: int) -> bool:
    """Return whether too many of a part's records vanished, where `rows` are still there."""
    return vanished > BULK_SHARE * (rows + vanished) and vanished >= FEW


def no_bulk_vanished(pull: PullAudit) -> Verdict:
    """Judge whether at most half of the records vanished, in this pull or since their rows were made."""
    return Verdict(
        not vanish_in_bulk(pull.vanished, pull.rows),
        {"vanished": pull.vanished, "rows": pull.rows},
        pull.vanished,
    )


def keyed(pull: PullAudit) -> Verdict:
    """Judge whether every record has its key."""
    return Verdict(pull.without_key == 0, {"without_key": pull.without_key}, pull.without_key)


PULL_CHECKS = (
    Check(
        "landed_rows_equal_the_servers_count",
        "Each part has as many records as the server counted when it was pulled, where it counts.",
        counted,
    ),
    Check(
        "every_record_was_sent_once",
        "No record came twice in a pull: the server's paging is stable.",
        sent_once,
        kind="duplicates",
        limit=0,
    ),
    Check(
        BULK,
        "At most half of a part's records vanished at once; more is likelier a lost permission than deletions, and "
        "standardising would take their rows away. It stays so until they are back or the finding is released.",
        no_bulk_vanished,
        effect="block",
    ),
    Check("every_record_has_its_key", "No record came without the properties that identify it.", keyed),
)
"""What is checked of every pull."""


def bulk_blocks(asset: str, settings: Settings) -> bool:
    """Return whether records that vanish in bulk hold back: they do unless the configuration says otherwise."""
    (check,) = (check for check in PULL_CHECKS if check.name == BULK)
    return check.configured(asset, settings).blocking
