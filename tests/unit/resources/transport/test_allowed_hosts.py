from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from resources.core.configuration.settings import parse_yaml
from resources.core.errors import ConfigError
from resources.integrations import Integrations
from resources.transport.trust.allowed_hosts import HostList, host_of, hosts_in

CONFIGURATION = """
site: plant
start: 2026-11-01T00:00:00Z
{allowed}
collector: {{host: 192.0.2.1}}
sources:
  boilers:
    kind: opc_ua
    endpoint_url: opc.tcp://Boilers.Plant.Example:4840/x
    insecure_no_security: true
    other_endpoints: ["opc.tcp://10.0.0.6:4840/x"]
    tags: [{{sensor_id: a, unit: bar, node_id: "nsu=http://elsewhere.example/ns;s=a"}}]
  furnace:
    kind: modbus
    host: 10.0.0.7
    tags: [{{sensor_id: b, unit: bar, address: 1}}]
  meters:
    kind: mqtt
    broker: {{host: broker.plant.example}}
    client_id: c
    topic_filters: ["x/#"]
    tags: [{{sensor_id: c, unit: bar, topic: x}}]
erp:
  systems:
    sap:
      kind: sap
      http: {{base_url: "https://sap.office.example:44300"}}
      oauth: {{token_url: "https://login.office.example/token", client_id: a, client_secret: "${{A_SECRET}}"}}
      company: "1000"
agents:
  broker: {{host: "fd00::5"}}
  private_key: /k
  public_keys: /p
"""
EVERYTHING = ["*.plant.example", "10.0.0.0/24", "sap.office.example", "login.office.example", "fd00::/8"]


def load(*entries: str) -> Integrations:
    return parse_yaml(
        CONFIGURATION.format(allowed=f"allowed_hosts: {list(entries)}" if entries else ""), Integrations, name="i.yaml"
    )


def test_configuration_when_no_list_is_given_then_every_host_is_allowed() -> None:
    assert load().allowed_hosts is None


def test_configuration_when_every_host_is_listed_then_it_loads_and_namespaces_and_listeners_do_not_count() -> None:
    config = load(*EVERYTHING)
    found = dict(hosts_in({"sources": config.sources, "erp": config.erp, "agents": config.agents}))
    assert found == {
        "sources.boilers.endpoint_url": "boilers.plant.example",
        "sources.boilers.other_endpoints.0": "10.0.0.6",
        "sources.furnace.host": "10.0.0.7",
        "sources.meters.broker.host": "broker.plant.example",
        "erp.systems.sap.http.base_url": "sap.office.example",
        "erp.systems.sap.auth.token_url": "login.office.example",
        "agents.broker.host": "fd00::5",
    }


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ("*.plant.example", "sources.boilers.endpoint_url: host boilers.plant.example"),
        ("10.0.0.0/24", "sources.boilers.other_endpoints.0: host 10.0.0.6"),
        ("sap.office.example", "erp.systems.sap.http.base_url: host sap.office.example"),
        ("login.office.example", "erp.systems.sap.auth.token_url: host login.office.example"),
        ("fd00::/8", "agents.broker.host: host fd00::5"),
    ],
)
def test_configuration_when_a_host_is_outside_then_it_is_refused_by_name(missing: str, says: str) -> None:
    with pytest.raises(ConfigError, match=f"{says} is not in allowed_hosts"):
        load(*(entry for entry in EVERYTHING if entry != missing))


@pytest.mark.parametrize("wrong", ["https://a.example", "a b", "", "10.0.0.0/40", "a..b", "*"])
def test_configuration_when_an_entry_is_no_host_then_it_says_so(wrong: str) -> None:
    with pytest.raises(ConfigError, match="neither a host name"):
        load(*EVERYTHING, wrong)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("PLC1", True),
        ("plc1.", True),
        ("plc11", False),
        ("plc1.evil.example", False),
        ("a.b.plant.example", True),
        ("plant.example", False),
        ("xplant.example", False),
        ("10.0.0.255", True),
        ("10.0.1.0", False),
        ("::ffff:10.0.0.9", True),
        ("[fe80::1%eth0]", True),
        ("192.0.2.4", True),
        ("192.0.2.40", False),
    ],
)
def test_list_when_asked_for_a_host_then_it_tells(host: str, expected: bool) -> None:
    allowed = HostList(["plc1", "*.plant.example", "10.0.0.0/24", "192.0.2.4", "fe80::1"])
    assert (host in allowed) is expected


@pytest.mark.parametrize(
    ("address", "host"),
    [("opc.tcp://h:1/x", "h"), ("h:502", "h"), ("[::1]:502", "::1"), ("https://u@h/x", "h"), ("h", "h")],
)
def test_host_of_when_given_an_address_then_it_is_the_host(address: str, host: str) -> None:
    assert host_of(address) == host


def test_configuration_when_a_bacnet_device_is_looked_for_then_the_list_asks_for_its_address() -> None:
    source: dict[str, Any] = {"kind": "bacnet", "local_address": "10.0.0.2/24", "device_instance": 7}
    source["tags"] = [{"sensor_id": "a", "unit": "Cel", "object": "analog-input,3"}]
    base = {"site": "plant", "start": "2026-11-01T00:00:00Z", "allowed_hosts": ["10.0.0.0/24"]}
    with pytest.raises(ValidationError, match="sources.heat: a device that is looked for by Who-Is"):
        Integrations.model_validate(base | {"sources": {"heat": source}})
    Integrations.model_validate(base | {"sources": {"heat": source | {"endpoint": "10.0.0.9"}}})
    with pytest.raises(ValidationError, match="sources.heat.endpoint: host 10.0.1.9 is not in allowed_hosts"):
        Integrations.model_validate(base | {"sources": {"heat": source | {"endpoint": "10.0.1.9"}}})
