"""`bridged replay`: what is published where, that the stream stays as it was, and how it ends early."""

from __future__ import annotations

import argparse
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg

from bridge.cli.replay import _overlap, target
from bridge.events import event_of
from tests.support.command import Setup
from tests.support.handmade import HandmadeStream, handmade_stream
from tests.support.inside import inside
from tests.support.nats_server import NatsServer, nats_server
from tests.support.program import Child
from tests.support.terminal import on_terminal, without_colour
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio

INFO = "$JS.API.STREAM.INFO"


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


@asynccontextmanager
async def listening(stream: HandmadeStream, subjects: str = "replay.>") -> AsyncIterator[list[Msg]]:
    """What a plain subscriber gets."""
    heard: list[Msg] = []

    async def hear(message: Msg) -> None:
        heard.append(message)

    subscription = await stream.client.subscribe(subjects, cb=hear)
    await stream.client.flush()
    yield heard
    await subscription.unsubscribe()


async def a_later_millisecond() -> str:
    """A point in time between what was stored before and what is stored afterwards."""

    def now() -> str:
        return datetime.now(UTC).isoformat(timespec="milliseconds")

    before = now()
    await wait_until(lambda: now() > before, what="the clock to move on")
    middle = now()
    await wait_until(lambda: now() > middle, what="the clock to move on")
    return middle


async def contents(stream: HandmadeStream) -> list[Any]:
    """All that lies in the stream, and how the stream describes itself."""

    async def ask(subject: str, body: Any = None) -> Any:
        return json.loads((await stream.client.request(subject, json.dumps(body).encode(), timeout=30)).data)

    state = (await ask(f"{INFO}.BRIDGE"))["state"]
    return [state] + [
        (await ask("$JS.API.STREAM.MSG.GET.BRIDGE", {"seq": seq}))["message"] for seq in range(1, state["last_seq"] + 1)
    ]


async def test_each_event_once_and_the_stream_untouched(stream: HandmadeStream, setup: Setup) -> None:
    """In order, under the target's subjects, as they are stored but for NATS's headers; the stream is as it was."""
    for n in range(300):
        expected = {"Nats-Expected-Last-Subject-Sequence": "0", "Nats-TTL": "never"}
        await stream.put(f"in.acme.a.thing.created.{n}", {"n": n}, 0, **{"ce-subject": "K%C3%B6ln", **expected})
    await stream.whole("acme.a.thing.updated.1", {"n": "ü"})
    await stream.structured("acme.a.thing.deleted.2", None)
    await stream.put("in.other.a.thing.created.1", {})
    before = await contents(stream)
    async with listening(stream) as heard:
        done = await inside(setup, "replay", "acme", "--since", "1h", "--to", "replay.billing", "--json")
        await wait_until(lambda: len(heard) >= 302, what="all of them")
    assert (done.code, done.err) == (0, "")
    assert [done.json[name] for name in ("published", "selected", "unheard", "refused")] == [302, 302, 0, 0]
    assert await contents(stream) == before
    assert [message.subject for message in heard[:300]] == [
        f"replay.billing.acme.a.thing.created.{n}" for n in range(300)
    ]
    assert heard[7].headers == {
        "ce-observedtime": "1970-01-01T00:00:00.000Z", "ce-subject": "K%C3%B6ln", "Bridge-Replayed": "8",
    }  # fmt: skip
    assert json.loads(heard[7].data) == {"n": 7}
    for message, change in zip(heard[300:], ("updated", "deleted"), strict=True):
        event = event_of(message)
        assert (event.vendor, event.source, event.entity, event.change) == ("acme", "a", "thing", change)
        assert int((message.headers or {})["Bridge-Replayed"]) in (301, 302)
        assert not any(name.lower().startswith("nats-") for name in message.headers or {})


async def test_a_part_of_the_time(stream: HandmadeStream, setup: Setup) -> None:
    """What was stored from `--since` on and before `--until`; `--dry-run` publishes nothing and says how many."""
    bounds = []
    for n in range(3):
        bounds.append(await a_later_millisecond())
        await stream.event(f"acme.a.thing.created.{n}", {})
    await a_later_millisecond()
    keys = ("replay", ">", "--since", bounds[1], "--to", "replay.x")
    async with listening(stream) as heard:
        done = await inside(setup, *keys, "--dry-run")
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith("2 events (")
        assert done.out.endswith("Z, would be published to replay.x.>\n")
        assert heard == []
        done = await inside(setup, *keys, "--until", bounds[2], "--json")
        await wait_until(lambda: heard, what="it")
    assert (done.code, done.json["published"]) == (0, 1)
    assert [message.subject[-1] for message in heard] == ["1"]


async def test_only_where_an_expression_holds(stream: HandmadeStream, setup: Setup) -> None:
    """`--where` chooses here, too, and what it fails on is not published."""
    for n in range(4):
        await stream.whole(f"acme.a.thing.created.{n}", {"n": n} if n else {})
    async with listening(stream) as heard:
        keys = ("replay", "acme", "--since", "1h", "--to", "replay.x", "--json")
        done = await inside(setup, *keys, "--where", "after.n >= 2")
        await wait_until(lambda: len(heard) == 2, what="them")
    assert [message.subject[-1] for message in heard] == ["2", "3"]
    assert (done.code, done.json["read"], done.json["selected"]) == (0, 4, 2)
    assert "--where failed on the event at sequence 1, which is left out" in done.err
    done = await inside(setup, *keys, "--where", "after.n >=")
    assert (done.code, done.out) == (64, "")


async def test_nobody_listens(stream: HandmadeStream, setup: Setup) -> None:
    """It is said how many were heard by nobody; if by none at all, exit 1. What a stream refuses is told apart."""
    await stream.event("acme.a.thing.created.1", {})
    await stream.event("acme.b.thing.created.1", {})
    keys = ("replay", "acme", "--since", "1h", "--to", "replay.x")
    done = await inside(setup, *keys)
    assert (done.code, done.out[:9]) == (1, "2 events ")
    assert "nobody listened to 2 of them" in done.err
    async with listening(stream, "replay.x.acme.a.>") as heard:
        done = await inside(setup, *keys)
        assert (done.code, len(heard)) == (0, 1)
    assert "nobody listened to 1 of them" in done.err
    full = {"name": "THEIRS", "subjects": ["replay.x.>"], "max_msgs": 1, "discard": "new"}
    await stream.client.request("$JS.API.STREAM.CREATE.THEIRS", json.dumps(full).encode(), timeout=30)
    done = await inside(setup, *keys, "--json")
    assert (done.code, done.json["published"], done.json["refused"]) == (1, 2, 1)
    assert "has refused 1 of them" in done.err


async def test_nothing_selected(stream: HandmadeStream, setup: Setup) -> None:
    """Exit 1 and a sentence."""
    await stream.event("acme.a.thing.created.1", {})
    done = await inside(setup, "replay", "other", "--since", "1h", "--to", "replay.x")
    assert (done.code, done.out) == (1, "")
    assert "no stored event is selected" in done.err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("bridge.in", "bridge.> is the bridge's own"),
        ("events.x", "events.> is the bridge's own"),
        ("live", "live.> is the bridge's own"),
        ("telemetry.y", "telemetry.> is the bridge's own"),
        ("$KV.bridge-state", "subjects that begin with $KV are NATS's own"),
        ("$JS.API", "NATS's own"),
        ("_INBOX.x", "NATS's own"),
        ("", "no wildcards"),
        ("replay.*", "no wildcards"),
        ("replay.>", "no wildcards"),
        ("replay..x", "no wildcards"),
        (".replay", "no wildcards"),
        ("re play", "no wildcards"),
        ("x" * 201, "no wildcards"),
    ],
)
def test_what_is_no_target(text: str, says: str) -> None:
    """Nothing of ours, nothing of NATS's, no wildcards."""
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        target(text)
    assert says in str(refused.value)


def test_targets() -> None:
    """Whatever else is a subject; names that only begin like ours are not ours."""
    for text in ("replay", "replay.billing", "bridged.replay", "a.events.live", "eventsource"):
        assert target(text) == text


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("replay.>", "replay.x.*.*", True),
        ("replay.x", "replay.x.*", False),
        ("replay.*.y.z", "replay.x.*.*", True),
        (">", "a.*", True),
        ("a.b.>", "a.*", False),
        ("a.b.>", "a.c.d", False),
    ],
)
def test_overlapping_subjects(one: str, other: str, overlap: bool) -> None:
    """Whether a stream's subjects and those that are published have one in common."""
    assert _overlap(one.split("."), other.split(".")) is overlap


async def test_a_stream_that_was_given_more_subjects(stream: HandmadeStream, setup: Setup) -> None:
    """What `BRIDGE` itself would store is refused, however it came to that: exit 64."""
    await stream.event("acme.a.thing.created.1", {})
    config = json.loads((await stream.client.request(f"{INFO}.BRIDGE", b"", timeout=30)).data)["config"]
    config["subjects"].append("replay.>")
    await stream.client.request("$JS.API.STREAM.UPDATE.BRIDGE", json.dumps(config).encode(), timeout=30)
    done = await inside(setup, "replay", "acme", "--since", "1h", "--to", "replay.x")
    assert (done.code, done.out, done.err) == (
        64, "", "bridged: stream BRIDGE itself stores replay.>: choose another --to\n"
    )  # fmt: skip


async def test_a_wrong_command_line_is_exit_64(tmp_path: Path) -> None:
    """Before anything is connected: what is missing, nonsense, yet to come, or ends before it begins."""
    setup = Setup(tmp_path, nats='url = "nats://127.0.0.1:9"')
    good = {"--since": "1h", "--to": "replay.x"}
    for wrong in (
        {"--since": "9999-01-01"}, {"--since": "soon"}, {"--to": "live.x"}, {"--rate": "0"}, {"--rate": "1e9"},
        {"--until": "2h"}, {"--until": "9999-01-01"},
    ):  # fmt: skip
        options = [part for pair in {**good, **wrong}.items() for part in pair]
        done = await inside(setup, "replay", "acme", *options)
        assert (done.code, done.out) == (64, ""), wrong
        assert next(iter(wrong)) in done.err
    for arguments in (["acme", "--since", "1h"], ["acme", "--to", "x"], ["--since", "1h", "--to", "x"]):
        done = await inside(setup, "replay", *arguments)
        assert (done.code, "required" in done.err) == (64, True), arguments


async def test_ctrl_c_says_how_many(stream: HandmadeStream, setup: Setup) -> None:
    """With `--rate` it takes its time; Ctrl-C ends it, and as many were published as it says: exit 130."""
    for n in range(50):
        await stream.event(f"acme.a.thing.created.{n}", {})
    keys = ["replay", "acme", "--since", "1h", "--to", "replay.x", "--rate", "2", "--config", str(setup.path)]
    child = Child(setup.folder, "replay", keys, setup.environ)
    async with listening(stream) as heard:
        child.start()
        try:
            await wait_until(lambda: len(heard) >= 2, what=f"the second: {child.text()}")
            process = child._child
            assert process is not None
            process.send_signal(signal.SIGINT)
            await wait_until(lambda: process.poll() is not None, what="it to end")
        finally:
            child.close()
        assert process.returncode == 130
        assert len(heard) < 50
        await stream.client.flush()
        assert child.text() == f"bridged: broken off: {len(heard)} events were published to replay.x.>\n"


async def test_nats_goes_away(server: NatsServer, stream: HandmadeStream, setup: Setup) -> None:
    """Exit 75, and between which numbers the truth lies; nothing is sent twice by itself."""
    for n in range(50):
        await stream.event(f"acme.a.thing.created.{n}", {})
    keys = ["replay", "acme", "--since", "1h", "--to", "replay.x", "--rate", "2", "--config", str(setup.path)]
    child = Child(setup.folder, "replay", keys, setup.environ)
    async with listening(stream) as heard:
        child.start()
        try:
            await wait_until(lambda: len(heard) >= 2, what=f"the second: {child.text()}")
            await server.kill()
            process = child._child
            assert process is not None
            await wait_until(lambda: process.poll() is not None, what="it to end")
        finally:
            child.close()
    assert process.returncode == 75
    first, second = child.text().splitlines()
    assert "broken off: " in first
    assert "events were published to replay.x.>" in first
    assert "NATS" in second


async def test_a_bar_on_a_terminal(stream: HandmadeStream, setup: Setup) -> None:
    """It is gone at the end, and what was done stands there, at 80 columns."""
    for n in range(600):
        await stream.event(f"acme.a.thing.created.{n}", {})
    keys = ("replay", "acme", "--since", "1h", "--to", "replay.x", "--config", str(setup.path))
    async with listening(stream) as heard:
        code, screen = await on_terminal(*keys, environ=setup.environ)
        await wait_until(lambda: len(heard) == 600, what="all of them")
    assert code == 0
    assert "replay" in screen
    assert "600 events (" in "".join(without_colour(screen)[-2:])


async def test_what_is_not_permitted_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who may not publish there is told so after the first attempt: exit 77, and nothing was published."""
    deny = 'permissions: { publish: { deny: ["replay.>"] } }'
    users = f"authorization {{ users = [ {{ user: root, password: pw }}, {{ user: eye, password: pw, {deny} }} ] }}"
    async with nats_server(tmp_path, extra=users) as server:
        keys = f'url = "{server.url}"\nuser = "eye"\npassword = {{ env = "NATS_PASSWORD" }}'
        setup = Setup(tmp_path, nats=keys)
        monkeypatch.setenv("NATS_PASSWORD", "pw")
        async with handmade_stream(server.url, user="root", password="pw") as stream, listening(stream) as heard:
            done = await inside(setup, "replay", "acme", "--since", "1h", "--to", "replay.x")
            assert (done.code, done.out) == (69, "")
            assert "stream BRIDGE does not exist yet" in done.err
            await stream.make()
            for n in range(3):
                await stream.event(f"acme.a.thing.created.secret-{n}", {})
            done = await inside(setup, "replay", "acme", "--since", "1h", "--to", "replay.x")
            assert heard == []
    assert (done.code, done.out) == (77, "")
    assert "NATS denies this user publish on replay.x.>; grant it and ask again; nothing was published" in done.err
    assert "secret" not in done.err.splitlines()[-1]
