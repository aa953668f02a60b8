"""Which dataset of which system fills which standard table, and the keys of their assets."""

from dataclasses import dataclass

import dagster as dg

from gl_assets.erp.tables import TABLES, FactTable, MasterTable
from resources.core.errors import ConfigError
from resources.erp.config import SystemConfig
from resources.erp.declared import DatasetConfig
from resources.integrations import Integrations

GROUP = "erp"
"""Group and key prefix of all ERP assets."""


@dataclass(frozen=True, slots=True)
class Feed:
    """One dataset of one system, as configured."""

    system: str
    settings: SystemConfig
    dataset: str

    @property
    def declared(self) -> DatasetConfig:
        """The dataset's declaration."""
        return self.settings.datasets[self.dataset]

    @property
    def table(self) -> str:
        """The standard table it fills, if there is one of that name."""
        return self.settings.table_of(self.dataset)

    @property
    def key(self) -> dg.AssetKey:
        """Key of its landed records."""
        return landed_key(self.system, self.dataset)

    def __str__(self) -> str:
        """Name it as the configuration does."""
        return f"{self.system}/{self.dataset}"


def landed_key(system: str, dataset: str) -> dg.AssetKey:
    """Return the key of a system's landed records."""
    return dg.AssetKey([GROUP, system, dataset])


def standard_key(table: str) -> dg.AssetKey:
    """Return the key of a standard table."""
    return dg.AssetKey([GROUP, table])


def feeds(config: Integrations) -> list[Feed]:
    """Return every dataset of every system, in the order of the file."""
    return [Feed(name, system, dataset) for name, system in config.erp.systems.items() for dataset in system.datasets]


def feeds_of(config: Integrations, table: str) -> list[Feed]:
    """Return what fills a standard table; one system may have several such datasets."""
    return [feed for feed in feeds(config) if feed.table == table]


def tables_fed(config: Integrations) -> list[MasterTable]:
    """Return the standard tables that are fed, in their own order.

    Raises:
        ConfigError: A dataset without business date names a table that is filled by business day, or the reverse.
    """
    for feed in feeds(config):
        table = TABLES.get(feed.table)
        if table is not None and isinstance(table, FactTable) == feed.declared.is_master:
            kind, lacks = ("facts", "has no") if feed.declared.is_master else ("master data", "has a")
            raise ConfigError(
                f"erp.systems.{feed.system}.datasets.{feed.dataset}: table {table.name} holds {kind}, and the dataset "
                f"{lacks} business_date: correct one of them, or give it a table name of its own to land it only"
            )
    return [table for name, table in TABLES.items() if feeds_of(config, name)]
