"""SAP S/4HANA as a kind of ERP system."""

from __future__ import annotations

from resources.erp.connector import Connector, ErpClient
from resources.erp.sap.config import SapConfig


def _client(system: str, config: SapConfig) -> ErpClient:
    from resources.erp.sap.client import SapClient

    return SapClient(system, config)


CONNECTOR = Connector(kind="sap", config_class=SapConfig, client_factory=_client)
