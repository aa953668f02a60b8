"""Which dataset of which system fills which standard table, and the keys of their assets."""

from dataclasses import dataclass

import dagster as dg

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
