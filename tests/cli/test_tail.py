"""`bridged tail`: filters, what a line says, and how it lives and ends as a process."""

from __future__ import annotations

import argparse
import base64
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from bridge.cli.filters import covering, pattern
from bridge.cli.moments import moment, span
from bridge.cli.plain import json_line, plain
from bridge.cli.tail_line import line, shortened
from bridge.cli.tail_telemetry import telemetry_hint
from bridge.edge.config.loader import load
from bridge.edge.operator.tail import Seen
from tests.support.command import Setup
from tests.support.handmade import HandmadeStream, handmade_stream
from tests.support.inside import inside, within
from tests.support.nats_server import NatsServer, nats_server
from tests.support.program import Child
from tests.support.terminal import on_terminal, without_colour
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
        ("pcvisit.ac*", "* and > stand alone"),
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
        done = await inside(setup, "tail", text, "--since", "1h", "--count", "1")
        assert (done.code, len(done.out.splitlines())) == (0, 1)
        assert len(done.err.splitlines()) == 1
        assert "packet of plant is telemetry" in done.err
        assert "nats sub 'live.telemetry.platform.plant.packet.>'" in done.err
    for text in ("platform.plant", "*.*.*.occurred", "platform.*.*.occurred", "other.*.packet", "*.other.packet"):
        assert telemetry_hint(pattern(text), load(setup.path, setup.environ, vendor_secrets=False)) == ""


async def test_the_help_says_that_packets_are_not_shown() -> None:
    """Who looks for telemetry learns where it is."""
    done = await within("tail", "--help")
    assert done.code == 0
    assert "nats sub 'live.telemetry.>'" in " ".join(done.out.split())


def test_spans_of_time() -> None:
    """A number and a unit; nothing else, and nothing that no calendar holds."""
    assert span("90s") == timedelta(seconds=90)
    assert span("7d") == timedelta(days=7)
    for text in ("", "1", "h", "-1h", "1.5h", "1w", "999999999999d", "٣h"):
        with pytest.raises(argparse.ArgumentTypeError):
            span(text)


def test_points_in_time() -> None:
    """A span back from now, a day, a time with its zone or in UTC; nothing that is yet to come."""
    now = datetime.now(UTC)
    assert timedelta(0) <= moment("1h") - (now - timedelta(hours=1)) < timedelta(minutes=1)
    assert moment("2026-01-31") == datetime(2026, 1, 31, tzinfo=UTC)
    assert moment("2026-01-31T12:00:00") == moment("2026-01-31T13:00:00+01:00") == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert moment("36500d") == datetime(1970, 1, 1, tzinfo=UTC)
    for text in ("", "yesterday", "2026-13-01", "1969-01-01", "0001-01-01T00:00:00+23:00", "-1h"):
        with pytest.raises(argparse.ArgumentTypeError, match=r"neither a span nor a time|before 1970"):
            moment(text)
    with pytest.raises(argparse.ArgumentTypeError, match="not in the past"):
        moment((now + timedelta(minutes=5)).isoformat())


@pytest.mark.parametrize(
    ("filters", "covered"),
    [
        (["events.>"], "events.>"),
        (["events.a.b.c.d.e"], "events.a.b.c.d.e"),
        (["events.a.x.c.d.e", "events.a.y.c.d.f"], "events.a.*.c.d.*"),
        (["events.a.b.>", "events.a.c.d.>"], "events.a.*.>"),
        (["events.a.>", "events.b.x.c.d.e", "events.*.x.>"], "events.*.>"),
    ],
)
def test_several_filters_in_one(filters: list[str], covered: str) -> None:
    """The server is asked for what lets all of them pass, and for as little more as one filter can."""
    assert covering(filters) == covered


async def test_a_wrong_command_line_is_exit_64(tmp_path: Path) -> None:
    """Before anything is connected."""
    setup = Setup(tmp_path, nats='url = "nats://127.0.0.1:9"')
    for arguments in (
        ["a b"],
        ["a", "b..c"],
        ["--since", "yesterday"],
        ["--since", "9999-01-01"],
        ["--count", "0"],
        ["-n", "x"],
    ):
        done = await inside(setup, "tail", *arguments)
        assert (done.code, done.out) == (64, ""), arguments
        assert "error: argument" in done.err
    done = await inside(setup, "tail", *(f"v{n}" for n in range(101)))
    assert (done.code, done.err) == (64, "bridged: 101 filters are too many: 100 at most\n")


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
    done = await inside(setup, "tail", "--since", "1h", "--count", "5", "--json")
    events = [json.loads(text) for text in done.out.splitlines()]
    assert [event["seq"] for event in events] == [1, 2, 3, 4, 5]
    assert events[0]["subject"] == "events.acme.a.thing.created.0"
    assert events[0]["data"]["after"] == {"name": ESCAPE}
    assert all(text.isprintable() for text in done.out.splitlines())


async def test_several_filters(stream: HandmadeStream, setup: Setup) -> None:
    """What any of them selects is shown, in the order of the stream, once."""
    for tail in ("a.a.thing.created.1", "b.a.thing.created.2", "c.a.thing.created.3", "a.b.thing.created.4"):
        await stream.event(tail, {})
    done = await inside(setup, "tail", "a.a", "b.>", "*.b.thing", "a.*.*.created", "--since", "1h", "-n", "3")
    assert (done.code, [text.split()[3] for text in done.out.splitlines()]) == (0, ["1", "2", "4"])


async def test_only_where_an_expression_holds(stream: HandmadeStream, setup: Setup) -> None:
    """`--where` chooses; an event on which it fails is left out and counted, and one that is none of ours as well."""
    await stream.whole("acme.a.thing.created.1", {"state": "done", "n": 1})
    await stream.whole("acme.a.thing.updated.1", {"state": "open"}, before={"state": "done"}, changed=["state"])
    await stream.whole("acme.a.thing.deleted.1", None)
    await stream.put("in.acme.a.thing.created.2", {"no": "event"})
    await stream.structured("acme.a.thing.created.3", {"state": "done", "n": 7})
    expression = 'change != "deleted" && after.state == "done"'
    done = await inside(setup, "tail", "--since", "1h", "-n", "2", "--where", expression)
    assert (done.code, [text.split()[3] for text in done.out.splitlines()]) == (0, ["1", "3"])
    assert len(done.err.splitlines()) == 1
    assert done.err.startswith("bridged: --where failed on the event at sequence 4, which is left out: ")
    done = await inside(setup, "tail", "--since", "1h", "-n", "2", "--where", "after.n > 0", "--json")
    assert [json.loads(text)["seq"] for text in done.out.splitlines()] == [1, 5]
    first, last = done.err.splitlines()
    assert "failed on the event at sequence 2" in first
    assert last == "bridged: --where failed on 3 events; they are left out"
    assert "open" not in done.err


@pytest.mark.parametrize(
    ("expression", "place"),
    [
        ("after.state ==", ["line 1, column 15: ", "  after.state ==", "                ^"]),
        ('change == "created" && (', ["line 1, column 25: ", '  change == "created" && (', f"  {' ' * 24}^"]),
        ("", ["line 1, column 1: the expression is empty"]),
        ("colour == 'red'", ["an event has no colour"]),
        ("'a' + " * 200 + "1 +* 2", ["line 1, column 1204: ", f"  {' ' * 35}^"]),
        ("\x1b[2J ==", ["\N{REPLACEMENT CHARACTER}[2J"]),
    ],
)
async def test_an_expression_that_is_none(tmp_path: Path, expression: str, place: list[str]) -> None:
    """Exit 64 before anything is connected: what is wrong, in which line and column, and the place itself."""
    done = await inside(Setup(tmp_path, nats='url = "nats://127.0.0.1:9"'), "tail", "--where", expression)
    assert (done.code, done.out) == (64, "")
    assert done.err.startswith("bridged: --where: ")
    assert all(text in done.err for text in place), done.err
    assert all(len(text) <= 120 and text.isprintable() for text in done.err.splitlines()[1:])


async def test_as_it_is_stored(stream: HandmadeStream, setup: Setup) -> None:
    """`--raw` shows each header and the payload, whatever they are; `--json` gives them back byte for byte."""
    expected = {"Nats-Expected-Last-Subject-Sequence": "0", "ce-subject": "K%C3%B6ln", "X-Evil": "a\u202eb"}
    await stream.put("in.acme.a.thing.created.1", {"text": ESCAPE, "n": 1}, 0, **expected)
    await stream.client.request("bridge.in.acme.a.thing.created.2", b"\xff\x1b[2J{", timeout=30)
    done = await inside(setup, "tail", "--since", "1h", "-n", "2", "--raw", "--json")
    first, second = map(json.loads, done.out.splitlines())
    assert (first["seq"], first["subject"]) == (1, "events.acme.a.thing.created.1")
    assert first["headers"] == {"ce-observedtime": "1970-01-01T00:00:00.000Z", **expected}
    assert first["payload"] == json.dumps({"text": ESCAPE, "n": 1})
    assert base64.b64decode(second["payload_base64"]) == b"\xff\x1b[2J{"
    done = await inside(setup, "tail", "--since", "1h", "-n", "2", "--raw")
    assert all(text.isprintable() for text in done.out.splitlines())
    assert "ce-subject: K%C3%B6ln\nX-Evil: a\\u202eb\n\n{" in done.out
    assert "\\xff\\u001b[2J{" in done.out


async def test_both_content_modes_look_the_same(stream: HandmadeStream, setup: Setup) -> None:
    """Of an event that is one document the attributes are shown as headers, and its data as data."""
    await stream.whole("acme.a.thing.created.1", {"n": 1})
    await stream.structured("acme.a.thing.created.2", {"n": 2})
    done = await inside(setup, "tail", "--since", "1h", "-n", "2", "--json")
    first, second = map(json.loads, done.out.splitlines())
    assert set(first) == set(second) == {"seq", "subject", "stored", "headers", "data"}
    assert first["headers"].keys() <= second["headers"].keys()
    assert (second["data"]["after"], second["headers"]["ce-type"]) == ({"n": 2}, "org.example.thing.created")
    assert first["data"].keys() == second["data"].keys()
    done = await inside(setup, "tail", "--since", "1h", "-n", "2")
    assert [text.split(" ", 1)[1] for text in done.out.splitlines()] == [
        "acme/a thing.created 1 n: 1",
        "acme/a thing.created 2 n: 2",
    ]


async def test_a_line_for_each_on_a_terminal(stream: HandmadeStream, setup: Setup) -> None:
    """At 80 columns a line is as long as the terminal is wide and says what changed; each change has its colour."""
    long = "01234567-89ab-cdef-0123-456789abcdef"
    await stream.event(f"acme.a.thing.created.{long}", {"text": ESCAPE + "x" * 200})
    await stream.event(f"acme.a.thing.deleted.{long}", None)
    keys = ("tail", "--since", "1h", "-n", "2", "--config", str(setup.path))
    code, screen = await on_terminal(*keys, environ=setup.environ)
    first, _ = without_colour(screen)
    assert (code, len(first)) == (0, 80)
    assert " acme/a thing.created 0123456…abcdef text: " in first
    assert "\x1b[32mthing.created" in screen
    assert "\x1b[31mthing.deleted" in screen
    assert "evil" in first
    assert all(control not in screen for control in ("\x1b[2J", "\x9b", "\u202e", "\x07", "\x7f"))
    code, screen = await on_terminal(*keys, environ=setup.environ, columns=160)
    assert f" thing.deleted {long}" in without_colour(screen)[1]


def test_what_is_long_is_shortened_in_its_middle() -> None:
    """Ids are told apart by their ends."""
    assert shortened("0123456789", 10) == "0123456789"
    assert shortened("0123456789a", 10) == "01234…789a"


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
    done = await inside(setup, "tail")
    assert (done.code, done.out) == (69, "")
    assert "stream BRIDGE does not exist yet" in done.err
    done = await inside(Setup(tmp_path, nats='url = "embedded"', name="none"), "tail")
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
        done = await inside(Setup(tmp_path, nats=keys), "tail", environ={"NATS_PASSWORD": "pw"})
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
