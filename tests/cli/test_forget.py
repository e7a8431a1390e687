"""`bridged forget`: what it shows, what it asks, how it ends, against a real server."""

from __future__ import annotations

import json
import os
import pty
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from bridge.edge.ledger.layout import stream_config
from tests.support.command import Done
from tests.support.configuration import ENVIRON, SOURCE, write
from tests.support.inside import within
from tests.support.nats_server import NatsServer, nats_server
from tests.support.source_rig import SourceRig, source_rig

pytestmark = pytest.mark.anyio

ALICE = "alice@example.org"
ENTITY = f"sim.acme.thing.{ALICE}"
USERS = """accounts { A: { jetstream: enabled, users: [
  { user: admin, password: p }
  { user: daemon, password: p, permissions: { publish: { deny: ["$JS.API.STREAM.PURGE.>"] } } }
] } }
no_auth_user: admin"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path, extra=USERS) as running:
        yield running


def arguments(folder: Path, url: str, *more: str, nats: str = "") -> list[str]:
    config = write(folder, f'[nats]\nurl = "{url}"\n{nats}{SOURCE}')
    return ["forget", "--config", str(config), *more]


async def program(folder: Path, url: str, *more: str, nats: str = "") -> Done:
    """Run it where nobody can be asked."""
    return await within(*arguments(folder, url, *more, nats=nats), environ={**ENVIRON, "NATS_P": "p"})


async def on_a_terminal(folder: Path, url: str, answer: str, *more: str) -> tuple[int, str]:
    """Run it with a terminal as its stdin, on which `answer` has been typed; exit code and output."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer.encode())
        with anyio.fail_after(120):
            result = await anyio.run_process(
                [sys.executable, "-m", "bridge.cli.main", *arguments(folder, url, *more)],
                stdin=theirs,
                check=False,
                env={**os.environ, **ENVIRON},
            )
    finally:
        os.close(ours)
        os.close(theirs)
    return result.returncode, (result.stdout + result.stderr).decode()


async def known(rig: SourceRig) -> None:
    rig.vendor.put(ALICE, "secret")
    rig.vendor.put("bob", "1")
    async with rig.running():
        rig.vendor.put(ALICE, "other-secret")
        await rig.pass_completed()


async def events(rig: SourceRig) -> int:
    return await rig.events_left()


async def test_on_a_terminal_it_shows_asks_and_erases(tmp_path: Path, server: NatsServer) -> None:
    """Counts and times are shown, never id or content; only `y` erases."""
    async with source_rig(server.url) as rig:
        await known(rig)
        for answer in ("\n", "\x04"):
            code, text = await on_a_terminal(tmp_path, server.url, answer, ENTITY)
            assert (code, "nothing was erased" in text) == (1, True), text
            assert "2 events: 1 snapshot, 1 updated; from 20" in text
            assert "its entry" in text
            assert "quarantine is empty" in text
        assert await events(rig) == 3
        code, text = await on_a_terminal(tmp_path, server.url, "y\n", ENTITY)
        assert (code, "erased: 2 event(s), 1 entry of the view" in text) == (0, True), text
        assert await events(rig) == 1
        assert "alice" not in text
        assert "secret" not in text


async def test_without_a_terminal_it_wants_yes(tmp_path: Path, server: NatsServer) -> None:
    """A script says --yes; --json tells what was held and erased, without the id."""
    async with source_rig(server.url) as rig:
        await known(rig)
        for more in ((), ("--json",)):
            result = await program(tmp_path, server.url, ENTITY, *more)
            assert result.code == 64
            assert "add --yes" in result.err
        assert await events(rig) == 3
        result = await program(tmp_path, server.url, ENTITY, "--json", "--yes")
        assert result.code == 0
        told = json.loads(result.out)
        first, last = told["held"].pop("first"), told["held"].pop("last")
        assert first < last
        assert told == {
            "entity": "sim.acme.thing",
            "held": {"changes": {"snapshot": 1, "updated": 1}, "telemetry": 0, "view": True},
            "quarantined": 0,
            "erased": True,
            "events": 2,
            "entries": 1,
        }
        result = await program(tmp_path, server.url, ENTITY, "--json", "--yes")
        assert (result.code, json.loads(result.out)["erased"]) == (1, False)
        assert "check its spelling" in result.err


async def test_an_id_that_means_two_entities_is_asked_back(tmp_path: Path, server: NatsServer) -> None:
    """`a=2Eb` is the token of one and the text of another: neither is erased until it is said which."""
    async with source_rig(server.url) as rig:
        rig.vendor.put("a.b", "1")
        rig.vendor.put("a=2Eb", "2")
        async with rig.running():
            pass
        result = await program(tmp_path, server.url, "sim.acme.thing.a=2Eb", "--yes")
        assert (result.code, "means two entities" in result.err) == (64, True)
        for sure in ("a=3D2Eb", "a.b"):
            result = await program(tmp_path, server.url, f"sim.acme.thing.{sure}", "--yes")
            assert result.code == 0, result.err


@pytest.mark.parametrize("entity", ["sim.acme.thing.*", "sim.acme.>", "sim.acme..1", "sim.acme.thing"])
async def test_wildcards_are_a_wrong_command_line(tmp_path: Path, entity: str) -> None:
    """Exit 64, before anything is asked of NATS."""
    result = await program(tmp_path, "nats://127.0.0.1:1", entity, "--yes")
    assert result.code == 64
    assert "error: argument VENDOR.SOURCE.ENTITY.ID" in result.err


async def test_a_missing_permission_is_named(tmp_path: Path, server: NatsServer) -> None:
    """The daemon's own user need not be allowed to purge: exit 77, with the subject to grant."""
    async with source_rig(server.url) as rig:
        await known(rig)
        login = 'user = "daemon"\npassword = { env = "NATS_P" }\n'
        result = await program(tmp_path, server.url, ENTITY, "--yes", nats=login)
        assert result.code == 77
        assert "denies this user publish on $JS.API.STREAM.PURGE.BRIDGE" in result.err
        assert await events(rig) == 3


async def test_a_stream_that_cannot_be_purged_is_a_setting(tmp_path: Path, server: NatsServer) -> None:
    """Exit 78: only an operator can alter it."""
    async with source_rig(server.url) as rig:
        await known(rig)
        await rig.js.call("STREAM.UPDATE.BRIDGE", {**stream_config(rig.names), "sealed": True})
        result = await program(tmp_path, server.url, ENTITY, "--yes")
        assert (result.code, "refuses to be purged" in result.err) == (78, True)
