"""The program and a service manager: a real datagram socket, real signals, a socket that outlives the daemon."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from tests.support.fake_manager import FakeManager
from tests.support.live_webhooks import EVENTS, KEY, SOURCE, Delivery, Sender, payments
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

MAIN = ("-m", "bridge.cli.main")
STUCK = ("-m", "tests.support.stuck")


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[FakeManager]:
    with FakeManager(tmp_path) as made:
        yield made


def configure(folder: Path, *, second: bool = False, broken: bool = False) -> str:
    """A source that takes webhooks, where the configuration says nothing of where: the path of the file."""
    source = [
        'adapter = "webhook"',
        'verify = "standard"',
        'secrets = [{ env = "SHOP_KEY" }]',
        EVENTS,
    ]
    lines = [
        "[nats]",
        'url = "embedded"',
        "[status]",
        "enabled = false",
        "[daemon]",
        f"state_dir = {json.dumps(str(folder / 'state'))}",
        'log_format = "json"',
        "[ingress]",
        'listen = "192.0.2.1:1"',
        "[[source]]",
        f"name = {json.dumps(SOURCE)}",
        *source,
        *(["[[source]]", 'name = "second"', *source] if second else ()),
        *(["nonsense = 1"] if broken else ()),
    ]
    path = folder / "bridged.toml"
    path.write_text("\n".join(lines), "utf-8")
    return str(path)


def start(manager: FakeManager, path: str, program: tuple[str, ...] = MAIN, watchdog_s: float | None = None) -> None:
    manager.start([*program, "run", "--config", path], watchdog_s=watchdog_s, SHOP_KEY=f"whsec_{KEY}")


def url(manager: FakeManager) -> str:
    return f"http://127.0.0.1:{manager.port}/hooks/{SOURCE}"


async def test_every_message_in_order(manager: FakeManager, tmp_path: Path) -> None:
    """More time to start, ready, signs of life, each reload with its moment and its end, one word that it stops."""
    path = configure(tmp_path)
    start(manager, path, watchdog_s=4)
    await manager.ready()
    await wait_until(
        lambda: any("1 source: 1 live; " in said for said in manager.said("STATUS")), what="the source to be live"
    )
    configure(tmp_path, second=True)
    os.kill(manager.service.pid, signal.SIGHUP)
    await wait_until(lambda: len(manager.said("READY")) == 2, what="the reload to end")
    configure(tmp_path, broken=True)
    os.kill(manager.service.pid, signal.SIGHUP)
    await wait_until(lambda: len(manager.said("READY")) == 3, what="the refused reload to end")
    fed = len(manager.said("WATCHDOG"))
    await wait_until(lambda: len(manager.said("WATCHDOG")) >= fed + 3, what="signs of life")
    assert await manager.stop() == 0

    messages = manager.messages
    order = [next((one for one in ("READY", "RELOADING", "STOPPING") if one in message), "") for message in messages]
    assert [one for one in order if one] == ["READY", "RELOADING", "READY", "RELOADING", "READY", "STOPPING"]
    assert order[-1] == "STOPPING"
    first = messages[: order.index("READY")]
    assert first
    assert all(message["EXTEND_TIMEOUT_USEC"] == "30000000" for message in first)
    assert first[0]["STATUS"] == "starting"
    for message in (message for message in messages if "RELOADING" in message):
        assert list(message) == ["RELOADING", "MONOTONIC_USEC"]
        assert 0 < int(message["MONOTONIC_USEC"]) / 1e6 < 1e9
    assert "nonsense" in [message for message in messages if "READY" in message][-1]["STATUS"]
    assert messages[-1]["STATUS"] == "stopping: SIGTERM"
    assert int(messages[-1]["WATCHDOG_USEC"]) == int(messages[-1]["EXTEND_TIMEOUT_USEC"]) == 45_000_000


async def test_children_are_told_nothing_of_the_manager(manager: FakeManager, tmp_path: Path) -> None:
    """nats-server could speak in our name, or keep the port: it gets neither the variables nor the socket."""
    start(manager, configure(tmp_path), watchdog_s=60)
    await manager.ready()
    lines = [json.loads(line) for line in manager.log.read_text().splitlines()]
    (pid,) = [line["pid"] for line in lines if line["event"] == "nats_server.started"]
    environ, held = _environ(pid), _sockets(pid)
    for name in (b"NOTIFY_SOCKET", b"WATCHDOG_USEC", b"LISTEN_FDS", b"LISTEN_PID", b"LISTEN_FDNAMES"):
        assert name not in environ
    ours = f"socket:[{_listening(manager.port)}]"
    assert ours in _sockets(manager.service.pid)
    assert ours not in held
    assert await manager.stop() == 0


def _environ(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def _sockets(pid: int) -> list[str]:
    return [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]


def _listening(port: int) -> str:
    """The number of the socket that listens there."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    (found,) = [row[9] for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port]
    return found


@pytest.mark.parametrize(("amount", "where"), [(13, "stuck.py"), (17, "")])
async def test_a_stuck_source_gives_no_sign_of_life(
    manager: FakeManager, tmp_path: Path, amount: int, where: str
) -> None:
    """A mapping that never returns, and a write that hangs despite its deadline; the second is named before."""
    start(manager, configure(tmp_path), STUCK, watchdog_s=2)
    await manager.ready()
    async with anyio.create_task_group() as group:
        sender = Sender(url(manager), at_once=1)
        body = json.dumps({"type": "payment", "amount": amount}).encode()
        group.start_soon(sender.send, [Delivery("msg", body)])
        await wait_until(lambda: _silent(manager), what="signs of life to end")
        if where:
            # Blocked as a whole: it cannot say so, but where it stood is in the log once it is ended.
            manager.service.send_signal(signal.SIGABRT)
            await wait_until(lambda: manager.service.poll() is not None, what="it to end")
            assert manager.service.returncode == -signal.SIGABRT
            assert where in manager.log.read_text()
        else:
            (line,) = [line for line in manager.log.read_text().splitlines() if '"watchdog.withheld"' in line][:1]
            said = json.loads(line)
            assert (said["loop"], said["limit_s"]) == (f"source {SOURCE}", 1)
            assert said["what"].startswith("storing ")
            stuck = [one for one in manager.said("STATUS") if one.startswith("stuck, no sign of life is given: ")]
            assert f"source {SOURCE} has been storing " in stuck[0]
        group.cancel_scope.cancel()


_quiet: dict[int, tuple[int, float]] = {}


def _silent(manager: FakeManager) -> bool:
    """Whether there was no sign of life for as long as the watchdog would have waited."""
    fed, now = len(manager.said("WATCHDOG")), anyio.current_time()
    before = _quiet.get(id(manager))
    if before is None or before[0] != fed:
        _quiet[id(manager)] = (fed, now)
        return False
    return now - before[1] > 2.5


async def test_a_restart_refuses_nobody(manager: FakeManager, tmp_path: Path) -> None:
    """The socket is the manager's: whoever calls while the daemon is started anew waits, and is answered."""
    path = configure(tmp_path)
    start(manager, path)
    await manager.ready()
    sender = Sender(url(manager), at_once=8, again=0, fresh=True)
    deliveries = payments(300)
    async with anyio.create_task_group() as group:
        group.start_soon(sender.send, deliveries)
        await wait_until(lambda: len(sender.confirmed) >= 100, what="deliveries")
        assert await manager.stop() == 0
        start(manager, path)
        await manager.ready()
    assert sorted(sender.confirmed) == sorted(one.id for one in deliveries)
    assert set(sender.answers) == {"202"}
    assert await manager.stop() == 0
