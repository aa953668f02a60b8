"""The check that no certificate of the configuration is about to expire: asked once a day, and by hand."""

from datetime import UTC, datetime

import dagster as dg

from gl_assets.asset_keys import SENSOR_READINGS
from resources.integrations import Integrations
from resources.transport.trust.certificate_files import WARN_BEFORE, certificates_in, first_to_expire, warnings_of

CERTIFICATES_CHECK = dg.AssetCheckKey(SENSOR_READINGS, "certificates_are_valid_for_30_days")


def build_certificates_check(config: Integrations) -> dg.AssetChecksDefinition:
    """Return the check; it reads the files that the configuration names, and connects to nothing."""

    @dg.asset_check(
        asset=SENSOR_READINGS,
        name=CERTIFICATES_CHECK.name,
        blocking=False,
        description="Every certificate that integrations.yaml names can be read and is valid for 30 days or longer.",
    )
    def certificates_are_valid() -> dg.AssetCheckResult:
        now = datetime.now(UTC)
        found = list(certificates_in(config))
        warnings = {one.key: words for one, words in warnings_of(found, now)}
        nearest = first_to_expire(found)
        metadata: dict[str, dg.MetadataValue] = {
            "certificates": dg.MetadataValue.int(len(found)),
            "days_warned_before": dg.MetadataValue.int(WARN_BEFORE.days),
        }
        if nearest is not None:
            metadata["first_expires_at"] = dg.MetadataValue.timestamp(nearest)
        if warnings:
            lines = "\n".join(f"- `{key}`: {words}" for key, words in warnings.items())
            metadata["what_to_do"] = dg.MetadataValue.md(lines)
        return dg.AssetCheckResult(
            passed=not warnings,
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(warnings.values()) or f"{len(found)} certificates, none expires within 30 days",
            metadata=metadata,
        )

    return certificates_are_valid


certificates_job = dg.define_asset_job(
    "certificates_job",
    selection=dg.AssetSelection.checks(CERTIFICATES_CHECK),
    executor_def=dg.in_process_executor,
    description="Look when the certificates of the configuration expire.",
)

certificates_schedule = dg.ScheduleDefinition(
    name="certificates_schedule",
    job=certificates_job,
    cron_schedule="10 6 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every morning: warn of certificates that expire within 30 days.",
)
