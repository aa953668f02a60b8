"""TimescaleDB and Mosquitto from Debian's own packages, unpacked into a private folder.

Debian 13 carries both; Debian 12 has a C library too old for them, so every program is started through the folder's
own dynamic loader. No root, no compiler, no change to the system: apt runs with a state of its own, and verifies the
packages against Debian's archive keys. The mirror is the one of this machine's own apt sources.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from resources.core.errors import PlatformError, UnreachableError

SUITE = "trixie"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PACKAGES = (
    "postgresql-17",
    "postgresql-client-17",
    "postgresql-17-timescaledb",
    "libpq5",
    "libc6",
    "libgcc-s1",
    "libstdc++6",
    "zlib1g",
    "libzstd1",
    "liblz4-1",
    "libxxhash0",
    "liblzma5",
    "libxml2",
    "libpam0g",
    "libaudit1",
    "libcap-ng0",
    "libssl3t64",
    "libgssapi-krb5-2",
    "libkrb5-3",
    "libk5crypto3",
    "libcom-err2",
    "libkrb5support0",
    "libkeyutils1",
    "libldap2",
    "libsasl2-2",
    "libicu76",
    "libsystemd0",
    "libcap2",
    "libedit2",
    "libreadline8t64",
    "libtinfo6",
    "libbsd0",
    "libmd0",
    "libselinux1",
    "libpcre2-8-0",
    "libuuid1",
    "mosquitto",
    "libmosquitto1",
    "libcjson1",
    "libwebsockets19t64",
    "libdlt2",
    "libev4t64",
    "libuv1t64",
    "libwrap0",
    "libnsl2",
    "libtirpc3t64",
    "libgcrypt20",
    "libgpg-error0",
)
"""The servers and every library they load: what is not in the set would be taken from the host unnoticed."""

_TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
_POSTGRES = "usr/lib/postgresql/17"
_COMPLETE = ".complete.json"

Progress = Callable[[str], None]


def debian_mirror(sources: Path = Path("/etc/apt")) -> str | None:
    """Return the mirror that this machine's own apt uses for Debian, None if there is none."""
    for file in sorted((sources / "sources.list.d").glob("*.sources")):
        for stanza in file.read_text(errors="replace").split("\n\n"):
            fields: dict[str, str] = dict(re.findall(r"^(\w[\w-]*):[ \t]*(.*)$", stanza, re.MULTILINE))
            uri = fields.get("URIs", "").split()
            if uri and "main" in fields.get("Components", "").split() and not _is_security(fields.get("Suites", "")):
                return uri[0]
    lists = [sources / "sources.list", *sorted((sources / "sources.list.d").glob("*.list"))]
    for file in (file for file in lists if file.exists()):
        for line in file.read_text(errors="replace").splitlines():
            match = re.match(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+.*\bmain\b", line)
            if match and not _is_security(match.group(2)):
                return match.group(1)
    return None


def can_unpack() -> bool:
    """Return whether this machine is a Debian 12 or newer, on a processor the packages exist for."""
    release = Path("/etc/os-release")
    fields = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', release.read_text(), re.MULTILINE)) if release.exists() else {}
    return (
        fields.get("ID") == "debian"
        and int(fields.get("VERSION_ID", "0").split(".")[0]) >= 12
        and KEYRING.exists()
        and all(shutil.which(tool) for tool in ("apt-get", "dpkg", "dpkg-deb"))
        and _architecture() in _TRIPLETS
        and debian_mirror() is not None
    )


def unpack(prefix: Path, progress: Progress) -> Path:
    """Return the folder of programs in `prefix`, filled now unless it is complete; it cannot be moved afterwards.

    Two processes may ask at once: one unpacks, the other waits. A half-unpacked folder is never seen, since the
    finished one is moved into place.

    Raises:
        UnreachableError: apt could not fetch the packages.
        PlatformError: The packages do not fit together.
    """
    prefix = prefix.absolute()
    prefix.parent.mkdir(parents=True, exist_ok=True)
    with (prefix.parent / f"{prefix.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_complete(prefix):
            return prefix / "bin"
        for stale in prefix.parent.glob(f"{prefix.name}.tmp.*"):
            shutil.rmtree(stale, ignore_errors=True)
        shutil.rmtree(prefix, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=f"{prefix.name}.tmp.", dir=prefix.parent))
        try:
            work.chmod(0o755)
            _fill(work, prefix, progress)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return prefix / "bin"


def _fill(work: Path, prefix: Path, progress: Progress) -> None:
    archives = _download(work, progress)
    progress(f"unpacking {len(archives)} packages")
    root = work / "root"
    for archive in archives:
        _run(["dpkg-deb", "-x", str(archive), str(root)], "unpack a package")
    _trim(root)
    manifest = {archive.name: hashlib.sha256(archive.read_bytes()).hexdigest() for archive in archives}
    root.rename(prefix)
    try:
        _wrap(prefix)
        _check_libraries(prefix)
    except PlatformError:
        shutil.rmtree(prefix, ignore_errors=True)
        raise
    # written last: a folder without it is unpacked again
    (prefix / _COMPLETE).write_text(json.dumps({"prefix": str(prefix), "sha256": manifest}, indent=1))


def _is_complete(prefix: Path) -> bool:
    try:
        recorded = json.loads((prefix / _COMPLETE).read_text())
    except (OSError, ValueError):
        return False
    return bool(recorded.get("prefix") == str(prefix)) and (prefix / "bin" / "postgres").exists()


def _download(work: Path, progress: Progress) -> list[Path]:
    for folder in ("lists/partial", "archives/partial", "debs"):
        (work / folder).mkdir(parents=True)
    mirror = debian_mirror()
    (work / "sources.list").write_text(f"deb [arch={_architecture()} signed-by={KEYRING}] {mirror} {SUITE} main\n")
    apt = [
        "apt-get", "-qq", f"-oDir::State={work}", f"-oDir::State::Lists={work}/lists", "-oDir::State::status=/dev/null",
        f"-oDir::Etc::sourcelist={work}/sources.list", "-oDir::Etc::sourceparts=/dev/null", f"-oDir::Cache={work}",
        f"-oDir::Cache::archives={work}/archives", "-oAPT::Sandbox::User=", "-oAcquire::Languages=none",
        "-oAcquire::Retries=5", "-oAPT::Update::Error-Mode=any",
    ]  # fmt: skip
    progress(f"reading the package lists of Debian {SUITE}")
    _run([*apt, "update"], "read Debian's package lists")
    progress(f"downloading {len(PACKAGES)} packages (40 MB)")
    _run([*apt, "download", *PACKAGES], "download the packages", cwd=work / "debs")
    return sorted((work / "debs").glob("*.deb"))


def _trim(root: Path) -> None:
    """Leave out what is never used: JIT, documentation, the update paths from old versions."""
    library = root / _POSTGRES / "lib"
    for unused in [
        *library.glob("llvmjit*"),
        library / "bitcode",
        *(root / "usr/share" / n for n in ("doc", "man", "locale", "lintian")),
    ]:
        shutil.rmtree(unused, ignore_errors=True) if unused.is_dir() else unused.unlink(missing_ok=True)
    for script in (root / "usr/share/postgresql/17/extension").glob("timescaledb--*--*.sql"):
        script.unlink()


def _wrap(prefix: Path) -> None:
    """Replace every program by a script that starts it through the folder's own dynamic loader."""
    programs, real = prefix / _POSTGRES / "bin", prefix / _POSTGRES / "bin" / "real"
    real.mkdir()
    loader, libraries = _loader(prefix)
    for program in [path for path in programs.iterdir() if path.is_file() and path.read_bytes()[:4] == b"\x7fELF"]:
        # --argv0 keeps the name: postgres finds its share folder from where it seems to lie
        program.rename(real / program.name)
        _script(program, f'"{loader}" --argv0 "{program}" --library-path "{libraries}" "{real / program.name}"')
    for name, place in (("mosquitto", "usr/sbin"), ("mosquitto_passwd", "usr/bin")):
        _script(programs / name, f'"{loader}" --library-path "{libraries}" "{prefix / place / name}"')
    (prefix / "bin").symlink_to(f"{_POSTGRES}/bin")


def _script(path: Path, command: str) -> None:
    path.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    path.chmod(0o755)


def _check_libraries(prefix: Path) -> None:
    loader, libraries = _loader(prefix)
    for program in (prefix / _POSTGRES / "bin/real/postgres", prefix / "usr/sbin/mosquitto"):
        listing = _run(
            [str(loader), "--library-path", str(libraries), "--list", str(program)],
            f"list the libraries of {program.name}",
        )
        foreign = [
            line.strip()
            for line in listing.splitlines()
            if "not found" in line or ("=> /" in line and str(prefix) not in line)
        ]
        if foreign:
            raise PlatformError(
                f"{program.name}: libraries outside {prefix}: {'; '.join(foreign)}; "
                "report this with your Debian version"
            )


def _loader(prefix: Path) -> tuple[Path, Path]:
    libraries = prefix / "usr/lib" / _TRIPLETS[_architecture()]
    return next(iter(sorted(libraries.glob("ld-linux-*.so.*")))), libraries


def _architecture() -> str:
    return subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()


def _is_security(suite: str) -> bool:
    return "security" in suite


def _run(command: list[str], what: str, *, cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[-400:]
        raise UnreachableError(
            f"could not {what}: {command[0]} ended with {done.returncode}: {said}; "
            "check the network and apt's sources, or set GL_DATABASE_URL to a server of your own",
            source="embedded",
        )
    return done.stdout
