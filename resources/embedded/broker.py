"""The embedded MQTT broker: Mosquitto, or amqtt where Mosquitto cannot be had.

It listens on loopback alone. Users and passwords are required unless `insecure_anonymous` is set; with a certificate
it speaks TLS only. Mosquitto keeps sessions and queued messages over a clean restart, and every 30 s.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from resources.core.errors import PlatformError
from resources.embedded.ports import is_listening, remembered_port
from resources.embedded.privileges import drop_prefix, give_to_server
from resources.embedded.process import ServerProcess
from resources.embedded.programs import ServerPrograms

_MOSQUITTO_CONF = """
listener {port} 127.0.0.1
allow_anonymous {anonymous}
persistence true
persistence_location {home}/
autosave_interval 30
max_inflight_messages 20
max_queued_messages 1000000
set_tcp_nodelay true
log_dest stderr
log_type error
log_type warning
"""


@dataclass(frozen=True)
class BrokerOptions:
    """Who may connect, and how.

    `certificate`, `key`, `authority`: PEM files; all three or none. `acl` is the text of a Mosquitto ACL file, and
    `hashed_users` that of a Mosquitto password file, whose users are let in beside `users` (Mosquitto).
    `require_client_certificate`: only who shows a certificate of `authority` gets in (Mosquitto).
    """

    users: Mapping[str, str] = field(default_factory=dict)
    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None
    acl: str | None = None
    hashed_users: str = ""
    insecure_anonymous: bool = False
    require_client_certificate: bool = False


class EmbeddedBroker:
    """A broker in `home`; `port` is known once `prepare()` has run."""

    host = "127.0.0.1"

    def __init__(self, home: Path, programs: ServerPrograms, options: BrokerOptions, *, port: int = 0) -> None:
        """Remember what to run; `port` 0 keeps the last one where it is free, else takes another."""
        self.home = home.absolute()
        self._state = self.home / "state"
        self._programs = programs
        self._options = options
        self._wanted_port = port
        self._process: ServerProcess | None = None
        self._prefix: list[str] = []
        self.port = port

    def prepare(self) -> None:
        """Choose the port and write the configuration; a running broker keeps its own.

        Raises:
            PlatformError: mosquitto_passwd failed.
        """
        self._state.mkdir(parents=True, exist_ok=True)
        self._prefix = drop_prefix(self._state, self._programs.bin_dir)
        self.port = remembered_port(self.home / "port", self._wanted_port)
        if self._programs.mosquitto is not None:
            self._prepare_mosquitto()
        else:
            self._prepare_amqtt()
        give_to_server(self._state, prefix=self._prefix)

    def command(self) -> list[str]:
        """Return the command that runs the broker in the foreground; SIGTERM stops it and saves its sessions."""
        if self._programs.mosquitto is not None:
            return [*self._prefix, str(self._programs.mosquitto), "-c", str(self._state / "mosquitto.conf")]
        return [sys.executable, "-m", "resources.embedded.amqtt_broker", str(self._state / "amqtt.yaml")]

    def start(self) -> None:
        """Run the broker as a child, and return when it takes connections.

        Raises:
            UnreachableError: It did not come up; the message holds the end of its log.
        """
        self.prepare()
        self._process = ServerProcess("mqtt broker", self.command(), log=self.home / "broker.log")
        self._process.start(lambda: is_listening(self.port))

    def stop(self) -> None:
        """Stop the child cleanly; its sessions are saved."""
        if self._process is not None:
            self._process.stop(signal.SIGTERM)

    def kill(self) -> None:
        """End the broker as `kill -9` does."""
        if self._process is not None:
            self._process.kill()

    def restart(self) -> None:
        """Stop cleanly and start again on the same port."""
        self.stop()
        self._wanted_port = self.port
        self.start()

    def _prepare_mosquitto(self) -> None:
        options = self._options
        lines = [
            _MOSQUITTO_CONF.format(port=self.port, home=self._state, anonymous=str(options.insecure_anonymous).lower())
        ]
        if self._prefix[:1] == ["unshare"]:
            # inside the namespace mosquitto still believes it may choose its user
            lines.append("user nobody")
        if options.users or options.hashed_users:
            lines.append(f"password_file {self._hashed_passwords()}")
        if options.acl is not None:
            _write_private(self._state / "acl", options.acl)
            lines.append(f"acl_file {self._state / 'acl'}")
        if options.certificate is not None:
            for name, file in self._copied_certificates().items():
                lines.append(f"{name} {file}")
            lines.append("tls_version tlsv1.3")
            if options.require_client_certificate:
                lines.append("require_certificate true")
        (self._state / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    def _hashed_passwords(self) -> Path:
        file = self._state / "passwords"
        _write_private(file, "".join(f"{user}:{password}\n" for user, password in self._options.users.items()))
        if self._options.users:
            self._hash_in_place(file)
        with file.open("a") as ready:
            ready.write(self._options.hashed_users)
        return file

    def _hash_in_place(self, file: Path) -> None:
        done = subprocess.run(
            [str(self._programs.mosquitto_passwd), "-U", str(file)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise PlatformError(
                f"mosquitto_passwd ended with {done.returncode}: {done.stderr.strip()[-300:]}; the broker cannot start"
            )

    def _copied_certificates(self) -> dict[str, Path]:
        # copied, because the broker's user cannot read the owner's keys
        names = {"certfile": self._options.certificate, "keyfile": self._options.key, "cafile": self._options.authority}
        copied = {name: self._state / f"{name}.pem" for name, file in names.items() if file is not None}
        for name, target in copied.items():
            target.unlink(missing_ok=True)
            shutil.copy(names[name] or "", target)
            target.chmod(0o600)
        return copied

    def _prepare_amqtt(self) -> None:
        from resources.embedded.amqtt_broker import write_configuration

        write_configuration(self._state, self.port, self._options)


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
