"""A publisher that costs next to nothing: packets made beforehand, written as fast as the broker takes them.

`python -m benchmarks.mqtt_publisher HOST PORT PREFIX MESSAGES SENSORS`; begins at a line on stdin, and prints
the messages/s that the broker took over (acknowledged). QoS 1, MQTT 3.1.1, one connection, 200-byte JSON payloads.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

from resources.scada.mqtt.link.packets import DISCONNECT_PACKET, Connect, connect_packet, publish_packet

PAYLOAD_BYTES = 200
_PUBACK_BYTES = 4
_CHUNK = 64
"""Messages written at once."""
_WINDOW = 20_000
"""Messages on their way: packet ids are 16 bits wide."""


def payload(number: int, sensor: int, instant: datetime) -> bytes:
    """Return 200 bytes of JSON: value, time, status and what a gateway adds."""
    head = (
        f'{{"value":{20 + sensor / 100 + number % 7:.3f},"time":"{instant:%Y-%m-%dT%H:%M:%S.%fZ}","status":"good",'
        f'"unit":"Cel","device":"gateway-7","channel":{sensor},"sequence":{number},"site":"plant-1","note":"'
    )
    return (head + "x" * (PAYLOAD_BYTES - len(head) - 2) + '"}').encode()


def packets_of(prefix: str, messages: int, sensors: int) -> list[bytes]:
    """Return the PUBLISH packets in chunks, a reading of each sensor in turn, a millisecond apart."""
    began = datetime.now(UTC)
    made = [
        publish_packet(
            f"{prefix}/{number % sensors}",
            payload(number, number % sensors, began + timedelta(milliseconds=number // sensors)),
            qos=1,
            retain=False,
            packet_id=number % 65_535 + 1,
            version=4,
        )
        for number in range(messages)
    ]
    return [b"".join(made[at : at + _CHUNK]) for at in range(0, messages, _CHUNK)]


def publish(connection: socket.socket, chunks: list[bytes], messages: int) -> float:
    """Write everything; return the messages/s the broker acknowledged."""
    acknowledged, room = 0, threading.Semaphore(_WINDOW // _CHUNK)

    def count() -> None:
        nonlocal acknowledged
        received = 0
        while acknowledged < messages:
            received += len(connection.recv(65_536))
            before, acknowledged = acknowledged // _CHUNK, received // _PUBACK_BYTES
            for _ in range(acknowledged // _CHUNK - before):
                room.release()

    counting = threading.Thread(target=count)
    began = time.perf_counter()
    counting.start()
    for chunk in chunks:
        room.acquire()
        connection.sendall(chunk)
    counting.join()
    return messages / (time.perf_counter() - began)


def main(host: str, port: str, prefix: str, messages: str, sensors: str) -> None:
    """Connect, wait for the word, publish, tell the rate."""
    chunks = packets_of(prefix, int(messages), int(sensors))
    with socket.create_connection((host, int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(connect_packet(Connect(f"publisher-{prefix}", 600, 4, clean_start=True)))
        connection.recv(4)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        rate = publish(connection, chunks, int(messages))
        connection.sendall(DISCONNECT_PACKET)
    sys.stdout.write(f"{rate:.0f}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
