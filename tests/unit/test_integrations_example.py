"""The example configuration: it loads as it is, and it documents every key of every model."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel

from resources.core.configuration.settings import parse_yaml
from resources.erp.config import SystemConfig
from resources.erp.kinds import connector, kinds
from resources.integrations import Integrations, example_path, load_integrations

OPTIONAL_KEY = re.compile(r"^(\s*(?:- )?)#(?=(?:- )?(?:[a-z0-9_]+:|\{))", re.MULTILINE)


def uncommented() -> str:
    return OPTIONAL_KEY.sub(r"\1", example_path().read_text(encoding="utf-8"))


SYSTEMS = {kind: connector(kind).config_class for kind in kinds()}
"""Kind of an ERP system -> the model of its block."""


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    if annotation is SystemConfig:
        for system in SYSTEMS.values():
            yield from models(system)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models(field.annotation)
    for argument in get_args(annotation):
        yield from models(argument)


def documented(node: yaml.Node, annotation: Any, lines: list[str], found: set[tuple[str, str]]) -> None:
    """Walk the file beside the models; note each (model, key) whose first line has a comment on it or above it."""
    model = chosen_model(node, annotation)
    if model is not None and isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            number = key.start_mark.line
            if "#" in lines[number] or lines[number - 1].lstrip().startswith("#"):
                found.add((owner(model, key.value), key.value))
            documented(value, model.model_fields[key.value].annotation, lines, found)
        return
    if isinstance(node, yaml.MappingNode):
        for _, value in node.value:
            documented(value, (get_args(annotation) or (None,))[-1], lines, found)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            documented(item, (get_args(annotation) or (None,))[0], lines, found)


def owner(model: type[BaseModel], key: str) -> str:
    """Return the class that declares the key: what all tags have is explained once."""
    return next(cls.__name__ for cls in model.__mro__ if key in inspect.get_annotations(cls))


def chosen_model(node: yaml.Node, annotation: Any) -> type[BaseModel] | None:
    """Return the model that a mapping is: of several, the one whose `kind` or `type` it names."""
    origin = get_origin(annotation)
    if origin is not None and origin not in (Union, types.UnionType) and not hasattr(annotation, "__metadata__"):
        return None
    candidates = list(direct_models(annotation))
    if candidates == [SystemConfig]:
        return SYSTEMS[named(node, "kind")]
    if len(candidates) > 1 and isinstance(node, yaml.MappingNode):
        key = "kind" if "kind" in candidates[0].model_fields else "type"
        candidates = [m for m in candidates if named(node, key) in get_args(m.model_fields[key].annotation)]
    return candidates[0] if candidates else None


def named(node: yaml.Node, name: str) -> str:
    assert isinstance(node, yaml.MappingNode)
    return str(next((value.value for key, value in node.value if key.value == name), "client_credentials"))


def direct_models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType) or hasattr(annotation, "__metadata__"):
        for argument in get_args(annotation):
            yield from direct_models(argument)


def test_example_when_every_variable_is_unset_then_it_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SCADA_PASSWORD", "MQTT_PASSWORD", "SAP_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    config = load_integrations()
    assert {source.kind for source in config.sources.values()} == {"opc_ua", "modbus", "mqtt"}
    assert config.boilers
    assert config.erp.systems
    assert config.agents is not None


def test_example_when_every_optional_key_is_set_then_it_loads() -> None:
    config = parse_yaml(uncommented(), Integrations, name="integrations.example.yaml")
    assert config.buffer.max_bytes == 10_737_418_240


def test_example_when_walked_beside_the_models_then_every_key_is_documented() -> None:
    text = uncommented()
    found: set[tuple[str, str]] = set()
    documented(yaml.compose(text, Loader=yaml.SafeLoader), Integrations, text.splitlines(), found)
    expected = {(owner(model, key), key) for model in set(models(Integrations)) for key in model.model_fields}
    assert expected - found == set()


def test_example_when_a_default_is_shown_then_it_is_the_default() -> None:
    """An optional key beside a default of its own shows that default, or the reader is misled."""
    shown = parse_yaml(uncommented(), Integrations, name="shown")
    plain = load_integrations()
    exempt = {"max_bytes", "dir", "start", "targets", "time_register", "scope", "unit_path", "interval", "unit_codes"}
    exempt |= {"ca_certificate", "client_certificate", "client_key"}
    exempt |= {"readings", "texts", "hours", "rejected", "allowed_hosts"}
    exempt |= {"other_endpoints", "connections_per_endpoint"}
    exempt |= {"element", "events", "field"}
    exempt |= {"trust_store", "server_application_uri", "max_items_per_subscription", "server_deadband"}
    exempt |= {"sampling_interval", "queue_size"}
    exempt |= {"area", "calibration", "tags_csv", "discover"}
    exempt |= {"alarms", "calibrations"}
    # nothing is held against a rate or a flat line until it is told how much is too much
    exempt |= {"max_rate", "flat_after"}
    exempt |= {"proxy_url", "proxy_username", "proxy_password", "service_root"}
    exempt |= {"encryption_keys"}
    # every gate has its own limit until it is told another one
    exempt |= {"gates"}
    # nobody uses energy until it is said
    exempt |= {"types", "consumers"}
    # nothing is handed on, nothing is compared with, nobody is declared
    exempt |= {"balance_argument", "below", "roster"}
    assert set(differences(plain, shown)) - exempt == set()


def differences(plain: Any, shown: Any, name: str = "") -> Iterator[str]:
    if isinstance(plain, BaseModel) and isinstance(shown, BaseModel):
        for key in type(plain).model_fields:
            yield from differences(getattr(plain, key), getattr(shown, key), key)
    elif isinstance(plain, dict):
        for key in plain:
            yield from differences(plain[key], shown[key], name)
    elif isinstance(plain, tuple) and plain and isinstance(plain[0], BaseModel):
        for one, other in zip(plain, shown, strict=True):
            yield from differences(one, other, name)
    elif plain != shown:
        yield name


@pytest.mark.parametrize(
    "name",
    [
        "SAP_CLIENT_SECRET",
        "ORACLE_CLIENT_SECRET",
        "DYNAMICS_CLIENT_SECRET",
        "WORKDAY_API_KEY",
        "SCADA_PASSWORD",
        "MQTT_PASSWORD",
    ],
)
def test_example_when_read_then_it_names_the_environment_variable(name: str) -> None:
    assert name in example_path().read_text(encoding="utf-8")
