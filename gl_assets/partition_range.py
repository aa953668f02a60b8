"""How a run works through its range of partitions: newest first, one by one, a failing one set aside."""

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import structlog

from resources.core.errors import ConfigError, PlatformError, UnreachableError

log = structlog.get_logger(__name__)

MOST_PARTITIONS = 96
"""Most partitions one run works through: what it holds up, and what it repeats when its process dies, stays small."""


@dataclass(slots=True)
class RangeOutcome:
    """Which partitions are done and which were set aside, with the reason."""

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def raise_if_failed(self) -> None:
        """Fail the step, naming what was set aside; what is done stays done and stays reported.

        Raises:
            dagster.Failure: At least one partition failed. Dagster does not retry it: the trigger asks again.
        """
        if not self.failed:
            return
        first, reason = next(iter(self.failed.items()))
        more = f"; also {', '.join(list(self.failed)[1:6])}" if len(self.failed) > 1 else ""
        more += f" and {len(self.failed) - 6} more" if len(self.failed) > 6 else ""
        raise dg.Failure(
            f"{len(self.failed)} of {len(self.failed) + len(self.done)} partitions failed, the others are stored: "
            f"{first}: {reason}{more}",
            metadata={"failed": dg.MetadataValue.json(self.failed), "done": len(self.done)},
            allow_retries=False,
        )


@contextmanager
def told_in_words() -> Iterator[None]:
    """Turn an error of the platform into a Dagster failure whose message is the error's, not "an error occurred in op".

    Raises:
        dagster.Failure: In place of a PlatformError.
    """
    try:
        yield
    except PlatformError as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def work_through(keys: Sequence[str], one: Callable[[str], None]) -> RangeOutcome:
    """Call `one` for each partition, newest first; set failing ones aside and go on.

    Only an unreachable server or a wrong configuration ends the work early, since they would fail all the others too.

    Raises:
        dagster.Failure: More partitions than one run may have.
    """
    if len(keys) > MOST_PARTITIONS:
        raise dg.Failure(
            f"{len(keys)} partitions in one run, from {keys[0]} to {keys[-1]}: a run works through at most "
            f"{MOST_PARTITIONS}; start the backfill in smaller ranges (docs/how-to/backfill.md)",
            allow_retries=False,
        )
    outcome = RangeOutcome()
    remaining = sorted(keys, reverse=True)
    while remaining:
        key = remaining.pop(0)
        try:
            one(key)
        except (UnreachableError, ConfigError) as error:
            outcome.failed[key] = str(error)
            outcome.failed.update(
                dict.fromkeys(remaining, "not tried: the partition before it met a fault that meets all")
            )
            log.error("partitions_given_up", partition=key, untried=len(remaining), error=str(error))
            break
        except PlatformError as error:
            outcome.failed[key] = str(error)
            log.error("partition_set_aside", partition=key, error=str(error))
        except Exception as error:  # noqa: BLE001 - one bad partition must not hold up the others; it is named at the end
            outcome.failed[key] = f"{type(error).__name__}: {error}"
            log.error("partition_set_aside", partition=key, error=repr(error), where=traceback.format_exc(limit=-4))
        else:
            outcome.done.append(key)
    return outcome


def report(
    context: dg.AssetExecutionContext,
    asset: dg.AssetKey,
    outcome: RangeOutcome,
    metadata: Mapping[str, Mapping[str, Any]],
) -> None:
    """Report each partition that is done with its metadata, and fail the step where some are not.

    What follows in the run needs the step's own output; a step that fails materialises nothing by itself, but these
    partitions are stored.

    Raises:
        dagster.Failure: At least one partition failed.
    """
    for key in outcome.done:
        if outcome.failed:
            context.log_event(dg.AssetMaterialization(asset, partition=key, metadata=metadata[key]))
        else:
            context.add_asset_metadata(metadata[key], partition_key=key)
    outcome.raise_if_failed()
