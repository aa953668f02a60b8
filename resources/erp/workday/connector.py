"""Workday as a kind of ERP system."""

from __future__ import annotations

from resources.erp.connector import Connector, ErpClient
from resources.erp.workday.config import WorkdayConfig


def _client(system: str, config: WorkdayConfig) -> ErpClient:
    from resources.erp.workday.client import WorkdayClient

    return WorkdayClient(system, config)


CONNECTOR = Connector(kind="workday", config_class=WorkdayConfig, client_factory=_client)
