"""`python -m resources.demo_plant.replay FILE`: play a recording, and write the integrations.yaml that reads it."""

from __future__ import annotations

import argparse
import asyncio
import math
import signal
import sys
from pathlib import Path
from typing import Any

import structlog
import yaml

from resources.core.errors import ConfigError, PlatformError
from resources.core.process.home import gl_home
from resources.core.process.logs import setup_logging
from resources.demo_plant.replay import configuration
from resources.demo_plant.replay.players import ModbusPlayer, MqttPlayer, OpcUaPlayer, Player
from resources.demo_plant.replay.recording import Recording, read_recording
from resources.demo_plant.servers.modbus import ModbusEndpoint
from resources.demo_plant.servers.mqtt import MqttEndpoint
from resources.demo_plant.servers.opc_ua import OpcUaEndpoint
from resources.embedded.ports import free_port

log = structlog.get_logger(__name__)

PROTOCOLS = ("opc_ua", "modbus", "mqtt")


def assemble(recording: Recording, protocol: str, port: int, prefix: str) -> tuple[Player, dict[str, Any]]:
    """Return a player on loopback and the source that reads it; for MQTT `port` is the broker's.

    Raises:
        ConfigError: MQTT without the port of a broker, or a recording that the protocol cannot carry.
    """
    if protocol == "mqtt":
        if not port:
            raise ConfigError("replay by MQTT: name the port of a plain broker on loopback with --port")
        broker = MqttEndpoint("127.0.0.1", port, client_id="gl-replay-player")
        return MqttPlayer(recording, broker, prefix), configuration.mqtt_source(recording, broker, prefix)
    port = port or free_port()
    if protocol == "modbus":
        device = ModbusEndpoint("127.0.0.1", port)
        return ModbusPlayer(recording, device), configuration.modbus_source(recording, device, prefix)
    server = OpcUaEndpoint("127.0.0.1", port)
    return OpcUaPlayer(recording, server, prefix), configuration.opc_ua_source(recording, server, prefix)


async def play(player: Player, speed: float) -> bool:
    """Play to the end, or until SIGTERM or SIGINT; return whether the end was reached."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await player.start()
    playing, ending = asyncio.create_task(player.play(speed)), asyncio.create_task(ended.wait())
    try:
        done, _ = await asyncio.wait({playing, ending}, return_when=asyncio.FIRST_COMPLETED)
        if playing in done:
            playing.result()
        return playing in done
    finally:
        for task in (playing, ending):
            task.cancel()
        await asyncio.gather(playing, ending, return_exceptions=True)
        await player.stop()


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m resources.demo_plant.replay", description=__doc__)
    parser.add_argument("file", type=Path, help="CSV separated by ;, first column datetime")
    parser.add_argument("--protocol", choices=PROTOCOLS, default="opc_ua")
    parser.add_argument(
        "--port", type=int, default=0, help="port to listen on, a free one if absent; MQTT: the broker's"
    )
    parser.add_argument(
        "--speed", type=float, default=60.0, help="60 plays an hour in a minute; 0 as fast as it is read"
    )
    parser.add_argument("--prefix", default="replay", help="sensor ids are PREFIX.COLUMN")
    parser.add_argument("--config", type=Path, default=gl_home() / "replay.yaml", help="where the configuration goes")
    options = parser.parse_args(arguments)
    logs = setup_logging()
    try:
        recording = read_recording(options.file)
        player, source = assemble(recording, options.protocol, options.port, options.prefix)
        options.config.parent.mkdir(parents=True, exist_ok=True)
        content = configuration.integrations(recording, {options.protocol: source})
        options.config.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
        log.info("replay_waits_for_a_reader", rows=len(recording), configuration=str(options.config))
        finished = asyncio.run(play(player, options.speed or math.inf))
        log.info("replay_ended", finished=finished)
    except PlatformError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    finally:
        logs.close()
    return 0 if finished else 1


if __name__ == "__main__":
    sys.exit(main())
