"""The allow-list of hosts: which machines this platform may connect to at all. Pure: nothing is resolved."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from pydantic import BaseModel

_HOST_KEYS = ("host", "hosts")
_ADDRESS_ENDINGS = ("url", "endpoint", "endpoints")
"""Keys whose values name a host, alone or within an address: a connector names its keys so, and is covered."""

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class HostList:
    """Names, addresses and networks (CIDR); a host is in it by being one of them, or an address in one of them.

    A name is compared as it is written, without upper and lower case: what it resolves to may change, and is the
    business of whoever runs the DNS. `*.plant.example` is every name that ends with `.plant.example`.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        """Read the entries.

        Raises:
            ValueError: One is neither a name, nor an address, nor a network.
        """
        self._names: set[str] = set()
        self._domains: list[str] = []
        self._networks: list[_Network] = []
        for entry in entries:
            network = _network(entry)
            if network is not None:
                self._networks.append(network)
            elif entry.startswith("*.") and _is_name(entry[2:]):
                self._domains.append(_folded(entry[1:]))
            elif _is_name(entry):
                self._names.add(_folded(entry))
            else:
                raise ValueError(f"{entry!r} is neither a host name, nor an address, nor a network such as 10.0.0.0/24")

    def __contains__(self, host: str) -> bool:
        """Return whether a connection to `host` is allowed."""
        address = _address(host)
        if address is None:
            return _folded(host) in self._names or _folded(host).endswith(tuple(self._domains))
        return any(address in network for network in self._networks)


def hosts_in(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield (dotted path of the key, host) of every host that a configuration names, however deep."""
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _hosts_of_key(getattr(value, name), name, f"{path}.{name}".lstrip("."))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from hosts_in(item, f"{path}.{key}".lstrip("."))
    elif isinstance(value, tuple | list):
        for number, item in enumerate(value):
            yield from hosts_in(item, f"{path}.{number}")


def _hosts_of_key(value: object, key: str, path: str) -> Iterator[tuple[str, str]]:
    plain, within = key in _HOST_KEYS, key.endswith(_ADDRESS_ENDINGS)
    if isinstance(value, str) and (plain or within):
        yield path, value if plain else host_of(value)
    elif isinstance(value, tuple | list) and (plain or within):
        for number, item in enumerate(value):
            yield from _hosts_of_key(item, key, f"{path}.{number}")
    else:
        yield from hosts_in(value, path)


def host_of(address: str) -> str:
    """Return the host of a URL, or of `host:port`."""
    return urlsplit(address if "://" in address else f"//{address}").hostname or address


def _network(entry: str) -> _Network | None:
    try:
        return ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return None


def _address(host: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    # ::ffff:10.0.0.5 is 10.0.0.5
    return getattr(address, "ipv4_mapped", None) or address


def _is_name(entry: str) -> bool:
    labels = entry.rstrip(".").split(".")
    return all(label.replace("-", "").replace("_", "").isalnum() and len(label) < 64 for label in labels)


def _folded(name: str) -> str:
    return name.rstrip(".").casefold()
