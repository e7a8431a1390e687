"""Five played vendors over TLS, each in a process of its own, and daemons that have a source of each."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.edge.embedded import parentlink
from tests.support.certificates import Authority

VENDORS: Mapping[str, Mapping[str, Any]] = {
    "pcvisit": {},
    "platform": {},
    "x_assist": {},
    "agyletime": {},
    "prosonata": {"quota": 4_000},
}
"""By name, with what is not as usual: a quota that lets a first reading end while the figure is taken."""
DEADLINE_S = 90.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process holds and has used so far: memory in bytes, CPU in seconds, times it has let go of a processor."""

    resident: int
    proportional: int
    cpu_s: float
    naps: int


class Five:
    """The vendors' side. `environ`: their secrets, and whom the daemon trusts, the system's authorities and ours."""

    def __init__(self, folder: Path, facts: list[dict[str, Any]], authorities: Path) -> None:
        self.folder = folder
        self.sources = "\n".join(one["configuration"] for one in facts)
        self.environ = {**os.environ, "SSL_CERT_FILE": str(authorities)}
        for one in facts:
            self.environ |= one["environment"]

    def configuration(self, name: str, nats: str) -> Path:
        """A file that names them all, with a state directory of its own. `nats`: as in `nats.url`."""
        path = self.folder / f"{name}.toml"
        head = [
            "[nats]",
            f"url = {json.dumps(nats)}",
            "[daemon]",
            f"state_dir = {json.dumps(str(self.folder / name))}",
            'log_format = "json"',
            "[status]",
            f'listen = "127.0.0.1:{_free_port()}"',
        ]
        path.write_text("\n".join([*head, self.sources]), encoding="utf-8")
        return path


class Running:
    """`bridged run` as systemd runs it: started, ready when it says so, ended with the block."""

    def __init__(self, five: Five, config: Path) -> None:
        self._log = config.with_suffix(".log")
        address = config.with_suffix(".notify")
        address.unlink(missing_ok=True)
        self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notified.bind(str(address))
        command = [str(Path(sys.executable).with_name("bridged")), "run", "--config", str(config)]
        environ = {**five.environ, "NOTIFY_SOCKET": str(address)}
        # Bytecode is kept, as where it is installed.
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        with self._log.open("wb") as log:
            self.began = time.perf_counter()
            self._child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ)

    def ready_s(self) -> float:
        """Seconds from exec to READY=1."""
        self._notified.settimeout(DEADLINE_S)
        while b"READY=1" not in self._notified.recv(65_536).splitlines():
            pass
        return time.perf_counter() - self.began

    def said(self, event: str) -> int:
        """How often it has logged this."""
        return self._log.read_text("utf-8", "replace").count(f'"event": "{event}"')

    def usage(self, *, of_nats: bool = False) -> Usage:
        """Of the daemon, or of the nats-server it has started."""
        pid = self._child.pid
        return usage(_child_of(pid) if of_nats else pid)

    def close(self) -> None:
        """SIGTERM, and its end."""
        self._child.send_signal(signal.SIGTERM)
        try:
            self._child.wait(DEADLINE_S)
        finally:
            self._child.kill()
            self._notified.close()

    def wait_for(self, event: str, times: int) -> None:
        """Until it has logged this so often. Raises TimeoutError, with the end of its log."""
        until = time.monotonic() + DEADLINE_S
        while self.said(event) < times:
            if time.monotonic() > until or self._child.poll() is not None:
                raise TimeoutError(f"{event} was not said {times} times:\n{self._log.read_text()[-3000:]}")
            time.sleep(0.1)


def usage(pid: int) -> Usage:
    """Of any process of ours."""
    proc = Path(f"/proc/{pid}")
    kilobytes = dict(re.findall(r"^(\w+): +(\d+) kB", (proc / "smaps_rollup").read_text(), re.MULTILINE))
    fields = (proc / "stat").read_text().rpartition(")")[2].split()
    naps = 0
    for task in (proc / "task").iterdir():
        with contextlib.suppress(OSError):
            naps += int((task / "status").read_text().partition("voluntary_ctxt_switches:")[2].split()[0])
    cpu_s = (int(fields[11]) + int(fields[12])) / TICKS
    return Usage(int(kilobytes["Rss"]) * 1024, int(kilobytes["Pss"]) * 1024, cpu_s, naps)


@contextlib.contextmanager
def five_vendors(folder: Path) -> Iterator[Five]:
    """All of them serve, at rest: nothing changes unless somebody changes it."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = Authority(folder)
    certificate = authority.issue("vendors", "127.0.0.1", "localhost")
    system = Path(ssl.get_default_verify_paths().cafile or os.devnull)
    # Beside the system's, whose hundred and forty are what this costs where it runs.
    trusted = folder / "trusted.pem"
    trusted.write_bytes(system.read_bytes() + authority.path.read_bytes())
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(_vendor(vendor, certificate, more)) for vendor, more in VENDORS.items()]
        yield Five(folder, [_facts(child) for child in children], trusted)


@contextlib.contextmanager
def _vendor(vendor: str, certificate: tuple[Path, Path], options: Mapping[str, Any]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "bridge.cli.main", "sandbox", vendor, "--json", "--rate", "0"]
    command += ["--tls", *map(str, certificate)]
    command += [part for name, value in options.items() for part in ("--set", f"{name}={json.dumps(value)}")]
    child = subprocess.Popen(
        parentlink.argv(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(20)
        finally:
            child.kill()
            assert child.stdout is not None
            child.stdout.close()


def _facts(child: subprocess.Popen[str]) -> dict[str, Any]:
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise RuntimeError("a played vendor did not start")
    facts: dict[str, Any] = json.loads(line)
    return facts


def _child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
