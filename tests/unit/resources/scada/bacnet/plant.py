"""Real BACnet/IP devices on loopback: bacpypes3 applications with objects, and ways to be difficult."""

from __future__ import annotations

import asyncio
import itertools
import socket
from typing import Any

from bacpypes3.app import Application
from bacpypes3.basetypes import ServicesSupported
from bacpypes3.errors import UnrecognizedService
from bacpypes3.ipv4.app import BBMDApplication, NormalApplication
from bacpypes3.local.analog import AnalogInputObject, AnalogOutputObject
from bacpypes3.local.binary import BinaryInputObject
from bacpypes3.local.device import DeviceObject
from bacpypes3.local.object import Object as LocalObject
from bacpypes3.object import AccumulatorObject, CharacterStringValueObject, MultiStateInputObject
from bacpypes3.pdu import IPv4Address
from bacpypes3.service.cov import ChangeOfValueServices

_hosts = itertools.count(10)
GOOD = [0, 0, 0, 0]


class _Text(LocalObject, CharacterStringValueObject):
    pass


class _State(LocalObject, MultiStateInputObject):
    pass


class _Counter(LocalObject, AccumulatorObject):
    pass


class _Device(DeviceObject):
    pass


class _DeviceWithoutMultiple(DeviceObject):
    @property
    def protocolServicesSupported(self) -> ServicesSupported:  # noqa: N802 - the name of the standard
        return ServicesSupported([number in (5, 12, 15) for number in range(40)])


class _Server(NormalApplication, ChangeOfValueServices):  # type: ignore[misc]
    def __init__(self, *given: Any) -> None:
        NormalApplication.__init__(self, *given)
        ChangeOfValueServices.__init__(self)
        self.multiple = True
        self.requests: list[str] = []

    async def indication(self, apdu: Any) -> None:
        self.requests.append(type(apdu).__name__)
        await super().indication(apdu)

    async def do_ReadPropertyMultipleRequest(self, apdu: Any) -> None:  # noqa: N802 - the name the stack calls
        if not self.multiple:
            raise UnrecognizedService
        await super().do_ReadPropertyMultipleRequest(apdu)


class _Forwarder(BBMDApplication, ChangeOfValueServices):  # type: ignore[misc]
    def __init__(self, *given: Any) -> None:
        BBMDApplication.__init__(self, *given)
        ChangeOfValueServices.__init__(self)
        self.requests: list[str] = []


class BacnetPlant:
    """A device with the usual objects at an address of its own; `start` and `stop` as often as wanted."""

    def __init__(self, *, instance: int = 1001, longest_message: int = 1024, segments: bool = True) -> None:
        self.host, self.port = f"127.0.3.{next(_hosts)}", _free_port()
        self.instance, self._longest, self._segments = instance, longest_message, segments
        self.app: Any = None
        self.extra: list[Any] = []

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    async def start(self, *, multiple: bool = True, bbmd: bool = False) -> None:
        device = (_Device if multiple else _DeviceWithoutMultiple)(
            objectIdentifier=("device", self.instance),
            objectName="boiler house",
            vendorName="Test",
            modelName="Plant",
            vendorIdentifier=999,
            maxApduLengthAccepted=self._longest,
            segmentationSupported="segmentedBoth" if self._segments else "noSegmentation",
        )
        local = IPv4Address(f"{self.host}/32:{self.port}")
        self.app = _Forwarder(device, local) if bbmd else _Server(device, local)
        self.app.multiple = multiple
        self.temperature = _analog(1, "flow temperature", 60.5, "degreesCelsius")
        self.pressure = _analog(2, "pressure", 3.0, "kilopascals")
        self.pump = BinaryInputObject(
            objectIdentifier=("binaryInput", 1), objectName="pump", presentValue="active", **_common()
        )
        self.valve = AnalogOutputObject(
            objectIdentifier=("analogOutput", 1),
            objectName="valve",
            presentValue=0.0,
            relinquishDefault=5.0,
            covIncrement=0.1,
            units="percent",
            **_common(),
        )
        self.text = _Text(objectIdentifier=("characterstringValue", 1), objectName="mode", presentValue="heating")
        self.state = _State(
            objectIdentifier=("multiStateInput", 1), objectName="state", presentValue=3, numberOfStates=4, **_common()
        )
        self.counter = _Counter(
            objectIdentifier=("accumulator", 1),
            objectName="gas",
            presentValue=25,
            scale={"integerScale": 2},
            units="cubicMeters",
            **_common(),
        )
        for thing in (
            self.temperature, self.pressure, self.pump, self.valve, self.text, self.state, self.counter, *self.extra
        ):  # fmt: skip
            self.app.add_object(thing)
        server = self.app.server if bbmd else self.app.normal.server
        await asyncio.gather(*server._transport_tasks)

    def stop(self) -> None:
        if self.app is not None:
            self.app.close()
            self.app = None

    def config(self, tags: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
        return {
            "kind": "bacnet",
            "local_address": f"127.0.0.1/32:{_free_port()}",
            "endpoint": self.address,
            "timeout": "300ms",
            "retries": 2,
            "connect_timeout": "2s",
            "poll_interval": "50ms",
            "safety_poll_interval": "200ms",
            "tags": tags,
            **changes,
        }


def temperature_tag(**changes: Any) -> dict[str, Any]:
    return {"sensor_id": "bac.temperature", "unit": "Cel", "object": "analog-input,1", **changes}


def _analog(number: int, name: str, value: float, units: str) -> AnalogInputObject:
    return AnalogInputObject(
        objectIdentifier=("analogInput", number),
        objectName=name,
        presentValue=value,
        units=units,
        covIncrement=0.1,
        reliability="noFaultDetected",
        **_common(),
    )


def many_analogs(count: int) -> list[AnalogInputObject]:
    return [_analog(100 + n, f"analog with a long name {n}", float(n), "degreesCelsius") for n in range(count)]


def _common() -> dict[str, Any]:
    return {"statusFlags": list(GOOD), "eventState": "normal", "outOfService": False}


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


assert issubclass(_Server, Application)
