"""`bridged tail`: filters, what a line says, and how it lives and ends as a process."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from bridge.cli.plain import json_line, plain
from bridge.cli.tail import line, pattern, span
from bridge.cli.tail_telemetry import telemetry_hint
from bridge.edge.config.loader import load
from bridge.edge.operator.tail import Seen
from tests.support.command import Setup, bridged
from tests.support.handmade import HandmadeStream, handmade_stream
from tests.support.nats_server import NatsServer, nats_server
from tests.support.program import Child
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

ESCAPE = "\x1b[2J\x9b31m\u202eevil\x07\x7f"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path) as server:
        yield server


@pytest.fixture
async def stream(server: NatsServer) -> AsyncIterator[HandmadeStream]:
    async with handmade_stream(server.url) as stream:
        await stream.make()
        yield stream


@pytest.fixture
def setup(tmp_path: Path, server: NatsServer) -> Setup:
    return Setup(tmp_path, nats=f'url = "{server.url}"')


def following(setup: Setup, *arguments: str) -> Child:
    """`bridged tail ARGUMENTS`, which goes on until it is ended."""
    return Child(setup.folder, "tail", ["tail", *arguments, "--config", str(setup.path)], setup.environ)


@pytest.mark.parametrize(
    ("text", "subjects"),
    [
        (">", "events.>"),
        ("events", "events.>"),
        ("events.>", "events.>"),
        ("pcvisit", "events.pcvisit.>"),
        ("events.pcvisit.*.session.>", "events.pcvisit.*.session.>"),
        ("pcvisit.*.session.>", "events.pcvisit.*.session.>"),
        ("*.*.*.deleted", "events.*.*.*.deleted.>"),
        ("pcvisit.acme.session.updated.K=C3=B6ln", "events.pcvisit.acme.session.updated.K=C3=B6ln"),
    ],
)
def test_filters(text: str, subjects: str) -> None:
    """`events.` may be left out, and so may what follows the beginning of a subject."""
    assert pattern(text) == subjects


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "nothing between two dots"),
        ("pcvisit..session", "nothing between two dots"),
        ("pcvisit.>.session", "> stands for all that follows"),
        ("pcvisit.ac*", "* stands alone"),
        ("pcvisit.a b", "it is a=20b"),
        ("pcvisit.acme.session.updated.Köln", "it is K=C3=B6ln"),
        ("a.b.c.d.e.f", "no longer"),
        ("events.a.b.c.d.e.>", "no longer"),
    ],
)
def test_what_is_no_filter(text: str, says: str) -> None:
    """What no event's subject can match is refused, with the reason."""
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        pattern(text)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("telemetry", "nats sub 'live.telemetry.>'"),
        ("telemetry.>", "nats sub 'live.telemetry.>'"),
        ("telemetry.*.plant.packet", "nats sub 'live.telemetry.*.plant.packet.>'"),
        ("live.telemetry.platform.>", "nats sub 'live.telemetry.platform.>'"),
        ("telemetry.platform.a.packet.occurred.7", "nats sub 'live.telemetry.platform.a.packet.occurred.7'"),
        ("telemetry.it's", "nats sub 'live.telemetry.>'"),
        ("live", "bridged tail '>'"),
        ("live.>", "bridged tail '>'"),
        ("live.pcvisit.*.session", "bridged tail 'pcvisit.*.session'"),
    ],
)
def test_what_tail_does_not_show(text: str, instead: str) -> None:
    """Subjects of telemetry and live subjects are refused, and it is said how to see them."""
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        pattern(text)
    assert instead in str(refused.value)
    assert "nats sub 'live." in str(refused.value)


def test_a_vendor_may_be_called_like_a_stream() -> None:
    """Spelled out, its subjects are events' like any other."""
    assert pattern("events.telemetry.>") == "events.telemetry.>"
    assert pattern("events.live") == "events.live.>"


async def test_a_filter_on_measurements_is_hinted_at(stream: HandmadeStream, setup: Setup) -> None:
    """What a configured source calls telemetry is not awaited in silence: one sentence on stderr, and it goes on."""
    await stream.event("platform.plant.packet.occurred.1", {})
    plant = """
[[source]]
name = "plant"
adapter = "platform"
base_url = "https://iot.example.com"
login = "bridge"
password = { env = "NOT_SET_HERE" }
"""
    setup.write(plant)
    for text in ("platform.plant.packet", "*.*.packet.occurred"):
        done = await setup.run("tail", text, "--since", "1h", "--count", "1")
        assert (done.code, len(done.out.splitlines())) == (0, 1)
        assert len(done.err.splitlines()) == 1
        assert "packet of plant is telemetry" in done.err
        assert "nats sub 'live.telemetry.platform.plant.packet.>'" in done.err
    for text in ("platform.plant", "*.*.*.occurred", "platform.*.*.occurred", "other.*.packet", "*.other.packet"):
        assert telemetry_hint(pattern(text), load(setup.path, setup.environ, vendor_secrets=False)) == ""


async def test_the_help_says_that_packets_are_not_shown() -> None:
    """Who looks for telemetry learns where it is."""
    done = await bridged("tail", "--help")
    assert done.code == 0
    assert "nats sub 'live.telemetry.>'" in " ".join(done.out.split())


def test_spans_of_time() -> None:
    """A number and a unit; nothing else, and nothing that no calendar holds."""
    assert span("90s") == timedelta(seconds=90)
    assert span("7d") == timedelta(days=7)
    for text in ("", "1", "h", "-1h", "1.5h", "1w", "999999999999d", "٣h"):
        with pytest.raises(argparse.ArgumentTypeError):
            span(text)


async def test_a_wrong_command_line_is_exit_64(tmp_path: Path) -> None:
    """Before anything is connected."""
    setup = Setup(tmp_path, nats='url = "nats://127.0.0.1:9"')
    for arguments in (["a b"], ["--since", "yesterday"], ["--count", "0"], ["--count", "x"]):
        done = await setup.run("tail", *arguments)
        assert (done.code, done.out) == (64, ""), arguments
        assert "error: argument" in done.err


def seen(tail: str, **data: Any) -> Seen:
    return Seen(1, f"events.{tail}", 1_700_000_000_000, {}, data)


def test_a_line_tells_what_changed() -> None:
    """From what to what; of a new entity all that is there."""
    text = line(
        seen(
            "acme.a.thing.updated.1",
            id="1",
            after={"state": "B", "n": 2},
            before={"state": "A"},
            changed=["state", "n"],
        )
    ).plain
    assert text.endswith(" acme/a thing.updated 1 state: A → B, n: 2")
    text = line(seen("acme.a.thing.created.1", id="1", after={"x": None, "y": [], "z": {"k": 1}, "w": 0})).plain
    assert text.endswith(' thing.created 1 z: {"k": 1}, w: 0')
    assert line(seen("acme.a.thing.deleted.1", id="1", after=None)).plain.endswith(" thing.deleted 1 ")
    assert "acme" in line(Seen(1, "events.acme", 0, {}, None)).plain


def test_what_a_vendor_wrote_cannot_steer_the_terminal() -> None:
    """No control character, no reversed writing; in JSON they are escaped, and the value is the same."""
    text = line(seen(f"acme.a.thing.created.{ESCAPE}", id=ESCAPE, after={ESCAPE: ESCAPE, "a": [ESCAPE]})).plain
    assert text.isprintable()
    assert plain("a\nb\tc") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"
    value = {"a": ESCAPE + "\u2028\U000e0001Grüße", ESCAPE: 1}
    assert json_line(value).isprintable()
    assert "Grüße" in json_line(value)
    assert json.loads(json_line(value)) == value


async def test_what_is_stored_is_shown(stream: HandmadeStream, setup: Setup) -> None:
    """`--since` begins in the past, a filter chooses, `--count` ends it; nothing but events on stdout."""
    for n in range(4):
        await stream.event(f"acme.a.thing.created.{n}", {"name": ESCAPE})
    await stream.event("other.a.thing.created.9", {"name": "x"})
    done = await setup.run("tail", "acme", "--since", "1h", "--count", "3")
    assert (done.code, done.err) == (0, "")
    assert [text.split()[-3] for text in done.out.splitlines()] == ["0", "1", "2"]
    assert all(text.isprintable() for text in done.out.splitlines())
    done = await setup.run("tail", "--since", "1h", "--count", "5", "--json")
    events = [json.loads(text) for text in done.out.splitlines()]
    assert [event["seq"] for event in events] == [1, 2, 3, 4, 5]
    assert events[0]["subject"] == "events.acme.a.thing.created.0"
    assert events[0]["data"]["after"] == {"name": ESCAPE}
    assert all(text.isprintable() for text in done.out.splitlines())


async def test_it_follows_and_survives_a_restart_of_the_broker(
    server: NatsServer, stream: HandmadeStream, setup: Setup
) -> None:
    """Without `--since` only news; a broker that goes and comes costs one sentence on stderr; Ctrl-C ends quietly."""
    await stream.event("acme.a.thing.created.old", {})
    child = following(setup, "--json")
    child.start()
    try:
        # It is there once it gets its first event: until then every one is published for it.
        number = 0

        async def heard() -> bool:
            nonlocal number
            number += 1
            await stream.event(f"acme.a.thing.created.{number}", {})
            return bool(child.out())

        await wait_until(heard, what="the first event")
        await server.kill()
        await wait_until(lambda: "waiting for it" in child.text(), what="it to notice")
        await server.start()
        await wait_until(lambda: stream.client.is_connected, what="our own connection")
        await stream.event("acme.a.thing.created.new", {})
        await wait_until(lambda: "created.new" in child.out(), what="the event after the restart")
        assert child._child is not None
        process = child._child
        process.send_signal(signal.SIGINT)
        await wait_until(lambda: process.poll() is not None, what="it to end")
        assert process.returncode == 130
    finally:
        child.close()
    shown = [json.loads(text)["subject"].rpartition(".")[2] for text in child.out().splitlines()]
    assert shown == [str(n) for n in range(int(shown[0]), number + 1)] + ["new"]
    complaints = [text for text in child.text().splitlines() if not text.startswith("{")]
    assert len(complaints) == 2
    assert "NATS is back" in complaints[1]
    assert "Traceback" not in child.text()


async def test_a_reader_that_goes_away_ends_it(stream: HandmadeStream, setup: Setup) -> None:
    """`bridged tail | head`: no traceback, exit 74."""
    for n in range(50):
        await stream.event(f"acme.a.thing.created.{n}", {"text": "x" * 5000})
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "bridge.cli.main", "tail", "--since", "1h", "--config", str(setup.path)]
    with anyio.fail_after(90):
        done = await anyio.run_process(command, stdout=writer, check=False, env={**os.environ, **setup.environ})
    os.close(writer)
    assert (done.returncode, done.stderr) == (74, b"")


async def test_nothing_to_read_from(server: NatsServer, setup: Setup, tmp_path: Path) -> None:
    """No stream, no server, no permission: each a sentence and its exit code."""
    done = await setup.run("tail")
    assert (done.code, done.out) == (69, "")
    assert "stream BRIDGE does not exist yet" in done.err
    done = await Setup(tmp_path, nats='url = "embedded"', name="none").run("tail")
    assert (done.code, done.out) == (69, "")
    assert "no embedded NATS server has been started" in done.err


async def test_a_missing_permission_is_named(tmp_path: Path) -> None:
    """A user who may not read is told on which subject: exit 77."""
    deny = 'permissions: { publish: { deny: ["$JS.API.DIRECT.GET.BRIDGE"] } }'
    users = f"authorization {{ users = [ {{ user: root, password: pw }}, {{ user: eye, password: pw, {deny} }} ] }}"
    async with nats_server(tmp_path, extra=users) as server:
        async with handmade_stream(server.url, user="root", password="pw") as stream:
            await stream.make()
        keys = f'url = "{server.url}"\nuser = "eye"\npassword = {{ env = "NATS_PASSWORD" }}'
        done = await Setup(tmp_path, nats=keys).run("tail", environ={"NATS_PASSWORD": "pw"})
    assert (done.code, done.out) == (77, "")
    assert "denies this user publish on $JS.API.DIRECT.GET.BRIDGE; grant it" in done.err


async def test_without_the_permission_to_hear_news_it_looks_for_them(tmp_path: Path) -> None:
    """A user who may read the stream and not subscribe to `live.>` sees the same, and survives a restart, too."""
    users = (
        "authorization { users = [ { user: root, password: pw }, "
        '{ user: eye, password: pw, permissions: { subscribe: ["_INBOX.>"] } } ] }'
    )
    async with (
        nats_server(tmp_path, extra=users) as server,
        handmade_stream(server.url, user="root", password="pw") as stream,
    ):
        await stream.make()
        await stream.event("acme.a.thing.created.1", {})
        setup = Setup(tmp_path, nats=f'url = "{server.url}"\nuser = "eye"\npassword = {{ env = "NATS_PASSWORD" }}')
        setup.environ["NATS_PASSWORD"] = "pw"
        child = following(setup, "--since", "1h", "--json")
        child.start()
        try:
            await wait_until(lambda: "thing.created.1" in child.out(), what="what was stored")
            await server.restart()
            await wait_until(lambda: stream.client.is_connected, what="our own connection")
            await stream.event("acme.a.thing.created.2", {})
            await wait_until(lambda: "thing.created.2" in child.out(), what=f"the news: {child.text()}")
        finally:
            child.close()
