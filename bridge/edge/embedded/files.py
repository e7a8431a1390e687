"""What the embedded NATS server keeps in the state directory: locks, credentials, configuration, process id."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import secrets
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bridge.core.errors import BridgeError
from bridge.core.secret import Secret
from bridge.edge.nats.options import NatsOptions

_IDENTITY = "nats.json"
_USER = "bridged"


class EmbeddedNatsFailed(BridgeError):
    """The embedded server cannot run here: a human is needed. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Where the embedded server listens and who may connect."""

    port: int
    user: str
    password: Secret

    @property
    def url(self) -> str:
        """The address, without credentials."""
        return f"nats://127.0.0.1:{self.port}"

    def options(self) -> NatsOptions:
        """How to connect."""
        # A silent server on the same machine is a stuck one: find out sooner than over a network.
        return NatsOptions(urls=(self.url,), user=self.user, password=self.password, ping_interval_s=5.0)


def read_identity(folder: Path) -> Identity:
    """What `nats.json` says. Raises EmbeddedNatsFailed."""
    path = folder / _IDENTITY
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        port = int(str(data["url"]).rpartition(":")[2])
        return Identity(port, str(data["user"]), Secret(str(data["password"]), str(path)))
    except FileNotFoundError:
        text = (
            f"{path} does not exist: no embedded NATS server has been started with this state directory; "
            "start `bridged run`"
        )
        raise EmbeddedNatsFailed(text) from None
    except OSError as error:
        raise EmbeddedNatsFailed(f"{path} cannot be read: {error.strerror}; it is for the daemon's user only") from None
    except (ValueError, KeyError, TypeError):
        text = f"{path} is damaged: delete it while bridged is stopped, new credentials are made at the next start"
        raise EmbeddedNatsFailed(text) from None


def free_port() -> int:
    """A loopback port nobody listens on, below the range the kernel gives to outgoing connections.

    So that it is still free when the server comes back after a crash.
    """
    for port in random.sample(range(15000, 32000), 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise EmbeddedNatsFailed("no free port was found on 127.0.0.1 between 15000 and 32000")


class EmbeddedState:
    """The state directory, locked for us."""

    def __init__(self, folder: Path, child_lock: int) -> None:
        self.folder = folder
        self.child_lock = child_lock
        """A file descriptor to hand to the child: what it locks stays locked as long as the child lives."""
        self.store = folder / "nats"

    @classmethod
    @contextlib.contextmanager
    def open(cls, folder: Path) -> Iterator[EmbeddedState]:
        """Make the directory if needed and lock it. Raises EmbeddedNatsFailed."""
        folder = folder.absolute()
        with contextlib.ExitStack() as files:
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                (folder / "nats").mkdir(mode=0o700, exist_ok=True)
                own = _open_private(folder / "lock")
                files.callback(os.close, own)
                child = _open_private(folder / "nats.lock")
                files.callback(os.close, child)
            except OSError as error:
                text = f"the state directory {folder} cannot be written: {error.strerror}; choose another or change it"
                raise EmbeddedNatsFailed(text) from None
            if not _lock(own):
                holder = os.pread(own, 32, 0).decode("ascii", "replace").strip()
                whose = f"another bridged (process {holder})" if holder.isdecimal() else "another bridged"
                text = f"{whose} uses the state directory {folder}: stop it, or give this one another directory"
                raise EmbeddedNatsFailed(text)
            os.ftruncate(own, 0)
            with contextlib.suppress(OSError):
                # Only a name for whoever comes second. On a disk that is full, what follows says so.
                os.pwrite(own, f"{os.getpid()}\n".encode(), 0)
            yield cls(folder, child)

    def lock_child(self) -> bool:
        """Take the child's lock; False while a child, ours or a dead bridged's, holds it."""
        return _lock(self.child_lock)

    def orphan(self) -> int | None:
        """The process a former bridged left behind: a nats-server that runs with our configuration."""
        try:
            pid = int((self.folder / "nats.pid").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
        command = _command_line(pid)
        return pid if pid > 1 and "nats-server" in command and str(self._config_path) in command else None

    def identity(self, port: int | None) -> Identity:
        """Credentials and port, kept for the next time. `port` None: the one kept, or a free one."""
        try:
            kept = read_identity(self.folder)
        except EmbeddedNatsFailed:
            if (self.folder / _IDENTITY).exists():
                raise
            password = Secret(secrets.token_urlsafe(32), str(self.folder / _IDENTITY))
            kept = Identity(port or free_port(), _USER, password)
        if port is not None:
            kept = replace(kept, port=port)
        data = {"url": kept.url, "user": kept.user, "password": kept.password.reveal()}
        self._write(_IDENTITY, json.dumps(data) + "\n")
        return kept

    def write_config(self, identity: Identity, *, sync_always: bool, max_payload: int | None) -> Path:
        """The server's configuration file."""
        quoted = json.dumps
        lines = [
            "server_name: bridged",
            f"listen: 127.0.0.1:{identity.port}",
            f"pid_file: {quoted(str(self.folder / 'nats.pid'))}",
            "logtime: false",
            f"authorization {{ user: {quoted(identity.user)}, password: {quoted(identity.password.reveal())} }}",
            "jetstream {",
            f"  store_dir: {quoted(str(self.store))}",
            *(["  sync_interval: always"] if sync_always else []),
            "}",
            *([f"max_payload: {max_payload}"] if max_payload is not None else []),
        ]
        self._write(self._config_path.name, "\n".join(lines) + "\n")
        return self._config_path

    @property
    def _config_path(self) -> Path:
        return self.folder / "nats.conf"

    def _write(self, name: str, text: str) -> None:
        """Replace a file at once: a reader sees the old one or the new one, and only this user sees either."""
        path = self.folder / name
        draft = path.with_name(f".{name}.new")
        try:
            draft.unlink(missing_ok=True)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError as error:
            raise EmbeddedNatsFailed(f"{path} cannot be written: {error.strerror}") from None


def _open_private(path: Path) -> int:
    # A link that somebody else planted here is not followed: what it points to would be overwritten.
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _command_line(pid: int) -> str:
    """The command line of a process; "" if there is none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        pass
    try:
        command = ["/bin/ps", "-p", str(pid), "-o", "command="]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""
