"""The broker where Mosquitto cannot be had: amqtt from PyPI, MQTT 3.1.1.

Run as `python -m resources.embedded.amqtt_broker FILE`.

Sessions and queued messages live in memory: a restart of this broker loses them, and it takes about 4,000 messages/s.
The demo runs on it; a plant should not.
"""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from amqtt.broker import Broker
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

if TYPE_CHECKING:
    from resources.embedded.broker import BrokerOptions

_AUTHENTICATION = "amqtt.plugins.authentication"


class Tls13Broker(Broker):  # type: ignore[misc]  # amqtt has no types
    """amqtt with TLS 1.3 as the minimum, which its configuration cannot say."""

    @staticmethod
    def _create_ssl_context(listener: Any) -> ssl.SSLContext:
        context: ssl.SSLContext = Broker._create_ssl_context(listener)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context


def write_configuration(folder: Path, port: int, options: BrokerOptions) -> Path:
    """Return `folder/amqtt.yaml`, written for these options; passwords are kept as Argon2 hashes."""
    listener: dict[str, object] = {"type": "tcp", "bind": f"127.0.0.1:{port}"}
    if options.certificate is not None:
        listener |= {
            "ssl": True,
            "certfile": str(options.certificate),
            "keyfile": str(options.key),
            "cafile": str(options.authority),
        }
    hasher = PasswordHash((Argon2Hasher(),))
    passwords = folder / "amqtt.passwords"
    passwords.touch(mode=0o600)
    passwords.write_text("".join(f"{user}:{hasher.hash(password)}\n" for user, password in options.users.items()))
    plugin = (
        {f"{_AUTHENTICATION}.AnonymousAuthPlugin": {"allow_anonymous": True}}
        if options.insecure_anonymous
        else {f"{_AUTHENTICATION}.FileAuthPlugin": {"password_file": str(passwords)}}
    )
    file = folder / "amqtt.yaml"
    file.write_text(yaml.safe_dump({"listeners": {"default": listener}, "plugins": plugin}))
    return file


async def serve(configuration: dict[str, Any]) -> None:
    """Run the broker until SIGTERM or SIGINT, then close its connections."""
    broker = Tls13Broker(configuration)
    ended = asyncio.Event()
    for how in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(how, ended.set)
    await broker.start()
    await ended.wait()
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(serve(yaml.safe_load(Path(sys.argv[1]).read_text())))
