"""Dynamics 365 Finance & Operations as a kind of ERP system."""

from __future__ import annotations

from resources.erp.connector import Connector, ErpClient
from resources.erp.dynamics.config import DynamicsConfig


def _client(system: str, config: DynamicsConfig) -> ErpClient:
    from resources.erp.dynamics.client import DynamicsClient

    return DynamicsClient(system, config)


CONNECTOR = Connector(kind="dynamics", config_class=DynamicsConfig, client_factory=_client)
