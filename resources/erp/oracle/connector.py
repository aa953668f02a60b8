"""Oracle ERP Cloud as a kind of ERP system."""

from __future__ import annotations

from resources.erp.connector import Connector, ErpClient
from resources.erp.oracle.config import OracleConfig


def _client(system: str, config: OracleConfig) -> ErpClient:
    from resources.erp.oracle.client import OracleClient

    return OracleClient(system, config)


CONNECTOR = Connector(kind="oracle", config_class=OracleConfig, client_factory=_client)
