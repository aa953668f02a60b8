"""Which gates there are to configure: what `quality.gates` names must be among them, or it would count for nothing."""

from difflib import get_close_matches

from gl_assets.asset_keys import ANOMALIES
from gl_assets.checks.freshness import fresh_tables
from gl_assets.checks.gated_tables import build_gates
from gl_assets.checks.gates import ASSET, GATES
from gl_assets.erp.checks import build_erp_checks
from gl_assets.scada.anomaly.anomalies_asset import GATES as ANOMALY_GATES
from resources.core.configuration.gates import ALL_TABLES, LIMITS
from resources.core.errors import ConfigError
from resources.integrations import Integrations


def known_gates(config: Integrations) -> dict[str, set[str]]:
    """Return table -> names of its gates, those that are off included."""
    quality = config.quality.model_copy(update={"gates": {}})
    config = config.model_copy(update={"quality": quality})
    found: dict[str, set[str]] = {ASSET: {gate.name for gate in GATES}}
    for checks in (*build_gates(config), *build_erp_checks(config)):
        for key in checks.check_keys:
            found.setdefault(key.asset_key.to_user_string(), set()).add(key.name)
    for table in fresh_tables(config):
        found.setdefault(table.asset.to_user_string(), set()).add(table.gate.name)
    if ANOMALIES.to_user_string() in found:
        found[ANOMALIES.to_user_string()] |= {gate.name for gate in ANOMALY_GATES}
    return found


def refuse_unknown_gates(config: Integrations) -> None:
    """Refuse tables and checks in `quality.gates` that there are not.

    Raises:
        ConfigError: There is one; the message names what comes nearest.
    """
    if not config.quality.gates:
        return
    known = known_gates(config)
    for table, gates in config.quality.gates.items():
        if table != ALL_TABLES and table not in known:
            raise ConfigError(f"quality.gates: {table} is no table with gates{_nearest(table, known)}")
        names = set().union(*known.values()) if table == ALL_TABLES else known[table]
        for which in gates:
            if which not in LIMITS and which not in names:
                raise ConfigError(
                    f"quality.gates.{table}: {which} is neither a kind of gates ({', '.join(LIMITS)}) nor a check of "
                    f"this table{_nearest(which, names)}"
                )


def _nearest(name: str, among: dict[str, set[str]] | set[str]) -> str:
    found = get_close_matches(name, sorted(among), n=1, cutoff=0.4)
    return f"; the nearest is {found[0]}" if found else f"; there are {', '.join(sorted(among))}"
