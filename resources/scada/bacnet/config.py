"""Configuration of a BACnet/IP source."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from resources.core.configuration.settings import Duration, StrictModel, TagConfig
from resources.scada.config import EndpointText, SourceOptions
from resources.scada.endpoints import parse_address

DEFAULT_PORT = 47_808
"""UDP port of BACnet/IP (0xBAC0)."""

_LOCAL = re.compile(r"^(\d{1,3}(?:\.\d{1,3}){3})/(\d{1,2})(?::(\d{1,5}))?$")
_OBJECT = re.compile(r"^([a-z]+(?:-[a-z]+)*|\d+)[,:](\d+)$")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def _local_address(text: str) -> str:
    match = _LOCAL.match(text)
    if match is None or int(match.group(2)) > 32 or any(int(part) > 255 for part in match.group(1).split(".")):
        raise ValueError(
            f"{text!r} is not an address with its network, such as 10.1.2.20/24 or 10.1.2.20/24:47808: "
            "the length of the network gives the broadcast address"
        )
    return text if match.group(3) else f"{text}:{DEFAULT_PORT}"


def _device_address(text: str) -> str:
    return text if ":" in text else f"{text}:{DEFAULT_PORT}"


def _object(text: str) -> str:
    match = _OBJECT.match(_CAMEL.sub("-", text).lower())
    if match is None or int(match.group(2)) > 4_194_302:
        raise ValueError(f"{text!r} is no object: write its type and instance, such as analog-input,3")
    return f"{match.group(1)},{match.group(2)}"


LocalAddress = Annotated[str, AfterValidator(_local_address)]
"""A field that accepts `10.1.2.20/24` or `10.1.2.20/24:47808`."""

ObjectName = Annotated[str, AfterValidator(_object)]
"""A field that accepts `analog-input,3` and `analogInput:3`."""


class BacnetTag(TagConfig):
    """One property of one object."""

    object: ObjectName
    """Type and instance, such as `analog-input,3`."""
    property: str = Field("present-value", pattern=r"^[a-z]+(-[a-z]+)*$")
    """The property read; statusFlags and reliability of the object say how good it is."""
    array_index: int | None = Field(None, ge=0)
    """Element of an array property, from 1 on; 0 is its length."""
    subscribe: bool = True
    """False polls the object even where the device would report its changes."""

    @model_validator(mode="after")
    def _only_the_present_value_is_reported(self) -> Self:
        if self.array_index is not None and self.property == "present-value":
            raise ValueError(f"tag {self.sensor_id}: present-value is no array: leave out array_index")
        if self.writable is not None and self.property != "present-value":
            raise ValueError(f"tag {self.sensor_id}: only present-value can be written")
        return self

    def is_reported(self) -> bool:
        """Return whether notifications of changes may carry this tag."""
        return self.subscribe and self.property == "present-value"


class ForeignDevice(StrictModel):
    """How to reach broadcasts of another subnet: by a BBMD there that forwards them."""

    bbmd_endpoint: EndpointText
    """`host:port` of the BBMD."""
    ttl: Duration = Field(timedelta(seconds=60), ge=timedelta(seconds=10), le=timedelta(hours=18))
    """How long a registration holds; it is renewed before."""


class BacnetConfig(SourceOptions):
    """One BACnet device and the objects read from it."""

    kind: Literal["bacnet"]
    local_address: LocalAddress
    """Our address with the length of its network, and the UDP port if it is not 47808: `10.1.2.20/24`. Sources with the
    same one share a socket."""
    device_instance: int | None = Field(None, ge=0, le=4_194_302)
    """Instance number of the device; without an endpoint it is looked for by Who-Is."""
    endpoint: Annotated[str, AfterValidator(_device_address)] | None = None
    """`host` or `host:port` of the device; with it no broadcast is needed."""
    foreign_device: ForeignDevice | None = None
    """Register at a BBMD, to find devices of another subnet."""
    confirmed: bool = True
    """Ask for confirmed notifications: each is acknowledged once it is durable, and sent again until it is."""
    subscription_lifetime: Duration = Field(timedelta(minutes=5), ge=timedelta(seconds=10), le=timedelta(hours=8))
    """Lifetime of a subscription; it is renewed at half of it."""
    poll_interval: Duration = Field(timedelta(seconds=5), ge=timedelta(milliseconds=50))
    """Time between two polls of what is not subscribed."""
    safety_poll_interval: Duration = Field(timedelta(minutes=1), ge=timedelta(milliseconds=50))
    """Time between two polls of what is subscribed: a device that was restarted knows of no subscription."""
    timeout: Duration = Field(timedelta(seconds=2), ge=timedelta(milliseconds=50))
    """How long an answer is waited for before the request is sent again."""
    retries: int = Field(2, ge=0, le=10)
    """How often a request is sent again."""
    max_objects: int = Field(25, ge=1, le=1000)
    """Most objects in one ReadPropertyMultiple; made smaller where the device asks for it."""
    write_priority: int = Field(16, ge=1, le=16)
    """Priority of what is written to commandable objects: 8 manual operator, 10 to 16 automation, 16 yields to all."""
    relinquish_on_shutdown: bool = True
    """When the collector ends, what stands at write_priority in the writable objects is taken back."""
    retry_bad_items_after: Duration = timedelta(seconds=60)
    """An object that the device refuses is asked for again after this long."""
    tags: tuple[BacnetTag, ...] = ()
    """The objects."""

    @model_validator(mode="after")
    def _device_can_be_found(self) -> Self:
        if self.endpoint is None and self.device_instance is None:
            raise ValueError("endpoint or device_instance is needed, to know the device by")
        if self.other_endpoints:
            raise ValueError("other_endpoints: a BACnet device has one address")
        return self

    @property
    def where(self) -> str:
        """The device for messages."""
        return f"bacnet://{self.endpoint}" if self.endpoint else f"BACnet device {self.device_instance}"


def local_parts(text: str) -> tuple[str, int, int]:
    """Return host, length of the network and port of a LocalAddress."""
    match = _LOCAL.match(text)
    if match is None or match.group(3) is None:
        raise ValueError(f"{text!r} is no local address")
    return match.group(1), int(match.group(2)), int(match.group(3))


def bbmd_address(foreign: ForeignDevice) -> str:
    """Return `host:port` of the BBMD."""
    found = parse_address(foreign.bbmd_endpoint)
    return f"{found.host}:{found.port}"
