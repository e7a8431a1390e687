"""`bridged status`: what it says of a source at night, for people and for programs."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bridge.cli.status import _rows
from bridge.core.gap import Gap
from bridge.core.report.intervals import Intervals
from bridge.core.report.overview import Overview
from bridge.core.report.session import session, told
from bridge.core.report.source import describe
from bridge.core.vitals import Vitals
from tests.support.command import Setup
from tests.support.configuration import SOURCE, loaded
from tests.support.handmade import HandmadeStream, handmade_stream
from tests.support.hook_rig import settings as hook_settings
from tests.support.inside import inside
from tests.support.memory_leases import claim
from tests.support.nats_server import NatsServer, free_port, nats_server

pytestmark = pytest.mark.anyio

SHAPE = {
    "": {"ok", "nats", "stream", "instances", "sources", "alerts"},
    "nats": {"server", "version"},
    "stream": {"name", "messages", "bytes", "first_seq", "last_seq", "first_ts", "last_ts"},
    "source": {
        "name", "vendor", "condition", "since", "reason", "half", "failing_since", "again", "problems", "owner",
        "takes", "walks", "subscriptions", "session", "quota", "last_event", "open_gaps", "quarantined",
        "last_quarantine", "adapter", "state", "state_since", "state_reason", "here", "freshness", "token", "inbox",
        "counts", "rate", "seen", "told_by",
    },
    "session": {
        "live", "shut_since", "measured", "stale", "last_frame", "last_beat", "round_trip_ms", "beat_interval_s",
        "beat_timeout_s", "sessions", "frames", "odd", "unreadable", "filtered", "acks",
    },
    "walk": {"name", "completed", "age_s", "every_s", "late", "planned_s", "cost", "next", "rows", "total"},
}  # fmt: skip
NOW = datetime(2026, 1, 2, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path) as server:
        yield server


@pytest.fixture
async def stream(server: NatsServer) -> AsyncIterator[HandmadeStream]:
    async with handmade_stream(server.url) as stream:
        await stream.make()
        yield stream


async def test_a_stream_without_events(server: NatsServer, stream: HandmadeStream, tmp_path: Path) -> None:
    """The shape is all there, the source has never been read, and that is a problem."""
    setup = Setup(tmp_path, nats=f'url = "{server.url}"')
    done = await inside(setup, "status", "--json")
    assert (done.code, done.err) == (0, "")
    report = done.json
    (source,) = report["sources"]
    assert report.keys() == {*SHAPE[""], "spread"}
    assert report["nats"].keys() == SHAPE["nats"]
    assert report["stream"].keys() == SHAPE["stream"]
    assert source.keys() == {*SHAPE["source"], "holder"}
    assert (report["ok"], source["condition"], source["walks"]) == (False, "never connected", [])
    done = await inside(setup, "status")
    assert done.code == 0
    assert "! acme (pcvisit): never connected" in done.out
    assert "start `bridged run`" in done.out


async def test_a_source_in_trouble(server: NatsServer, stream: HandmadeStream, tmp_path: Path) -> None:
    """What is wrong comes first: since when, why; walks against their intervals; gaps; quarantine; owner."""
    now = time.time_ns() // 1_000_000
    hour = 3_600_000
    gap = Gap("sessions", "the vendor holds nothing older", now - 5 * hour)
    await stream.put("owner.acme", {"instance": "night:7", "build": "1.2", "since_ms": now - 9 * hour})
    await stream.put("cursor.acme.sessions-fast-c1", {"completed_ms": now - 3 * hour})
    await stream.put("cursor.acme.sessions-slow-c1", {"completed_ms": now - hour})
    await stream.put("cursor.acme.gone", {"pass_ms": now})
    await stream.event("pcvisit.acme.session.updated.4711", {}, now - 3 * hour)
    await stream.event("bridge.acme.source.lost.acme", {"reason": "it answers nothing\x1b[2J"}, now - 2 * hour)
    await stream.event(f"bridge.acme.gap.opened.{gap.id}", gap.data())
    await stream.event("bridge.acme.quarantine.occurred.q1", {"reason": "`id` is no text"}, now - 4 * hour)
    setup = Setup(tmp_path, nats=f'url = "{server.url}"')
    done = await inside(setup, "status")
    assert (done.code, done.err) == (0, "")
    words = " ".join(done.out.split())
    for text in (
        "! acme (pcvisit): lost for 2 h",
        "PROBLEM the vendor cannot be reached, for 2 h: it answers nothing",
        "PROBLEM sessions-fast-c1 was last complete 3 h ago, and should be every 1 s",
        "PROBLEM a gap is open since",
        "(sessions): the vendor holds nothing older",
        "walk sessions-slow-c1: complete 1 h ago, every 1 h",
        "walk gone: first reading under way",
        "last event 3 h ago: events.pcvisit.acme.session.updated.4711",
        "quarantine 1 unreadable; the last 4 h ago: `id` is no text",
        "owner night:7, build 1.2, for 9 h",
    ):
        assert text in words, done.out
    assert all(text.isprintable() for text in done.out.splitlines())
    report = (await inside(setup, "status", "--json")).json
    (source,) = report["sources"]
    assert not report["ok"]
    assert all(walk.keys() == SHAPE["walk"] for walk in source["walks"])
    assert [(walk["name"], walk["late"]) for walk in source["walks"]] == [
        ("gone", False), ("sessions-fast-c1", True), ("sessions-slow-c1", False)
    ]  # fmt: skip
    assert source["open_gaps"] == [gap.data()]


async def test_nobody_there(server: NatsServer, tmp_path: Path) -> None:
    """An embedded server that is not running, or has never been, and a stream that is missing: 69 and a sentence."""
    setup = Setup(tmp_path, nats='url = "embedded"')
    done = await inside(setup, "status")
    assert (done.code, done.out) == (69, "")
    assert "no embedded NATS server has been started" in done.err
    setup = Setup(tmp_path, nats='url = "embedded"', status="enabled = true")
    setup.state_dir.mkdir()
    identity = {"url": f"nats://127.0.0.1:{free_port()}", "user": "u", "password": "no-secret"}
    (setup.state_dir / "nats.json").write_text(json.dumps(identity))
    done = await inside(setup, "status", "--json")
    assert (done.code, done.out) == (69, "")
    assert f"the embedded NATS server of {setup.state_dir} is not running" in done.err
    assert "`bridged run`" in done.err
    assert "what it knows without NATS is at http://127.0.0.1:8790" in done.err
    done = await inside(Setup(tmp_path, nats=f'url = "{server.url}"', name="other"), "status")
    assert done.code == 69
    assert "stream BRIDGE does not exist yet" in done.err


@pytest.mark.parametrize("line", ["status", "tail --since 1h --count 1", "nats-config"])
async def test_without_the_vendors_secrets(
    server: NatsServer, stream: HandmadeStream, tmp_path: Path, line: str
) -> None:
    """What speaks to NATS alone needs no vendor's secrets, nor says anything of them; what reads a vendor does."""
    setup = Setup(tmp_path, nats=f'url = "{server.url}"')
    setup.environ = {}
    await stream.event("pcvisit.acme.session.updated.4711", {}, time.time_ns() // 1_000_000)
    done = await inside(setup, *line.split())
    assert (done.code, done.err.count("token")) == (0, 0), done.err
    assert (await inside(setup, "check")).code == 78


async def test_a_missing_secret_of_nats_is_still_one(server: NatsServer, tmp_path: Path) -> None:
    """Without its own password the command cannot speak to NATS, and says so."""
    setup = Setup(tmp_path, nats=f'url = "{server.url}"\nuser = "b"\npassword = {{ env = "NATS_PASSWORD" }}')
    setup.environ = {}
    done = await inside(setup, "status")
    assert done.code == 78
    assert "NATS_PASSWORD" in done.err


def described(tmp_path: Path, **view: Any) -> dict[str, Any]:
    config = loaded(tmp_path, SOURCE)
    overview = Overview("one", "acme", condition=view.pop("condition", "connected"), **view)
    return describe(overview, Intervals(config.adapter(config.sources[0])), NOW, config.sources[0])


def test_a_daemon_that_is_gone_shows_in_its_walks(tmp_path: Path) -> None:
    """When every walk is late and nothing else explains it, the question is whether the daemon runs."""
    late = {"things": {"completed_ms": NOW_MS - 200_000}}
    assert described(tmp_path, walks=late)["problems"] == [
        "things was last complete 3.3 min ago, and should be every 30 s",
        "nothing of it is read: is `bridged run` running?",
    ]
    assert len(described(tmp_path, walks=late, condition="blocked")["problems"]) == 2
    fresh = {"things": {"completed_ms": NOW_MS - 100_000}}
    assert described(tmp_path, walks=fresh)["problems"] == []
    unknown = {"something else": {"completed_ms": 0}}
    assert described(tmp_path, walks=unknown)["problems"] == []


def test_walks_that_bear_names_from_the_login_are_known(tmp_path: Path) -> None:
    """The interval is found whatever company the name ends with."""
    text = SOURCE.replace('"acme"', '"pcvisit"').replace("token =", "integrator_token =")
    config = loaded(tmp_path, text + 'user_token = { env = "ACME_TOKEN" }\nhistory_slow_every_s = 77.0\n')
    intervals = Intervals(config.adapter(config.sources[0]))
    assert intervals.of("sessions-slow-12345678-1234") == 77.0
    assert intervals.of("sessions-fast-x") == 30.0
    assert intervals.of("sessions-fast-") is None
    assert intervals.of("other") is None


def test_a_live_session_that_is_down_is_no_vendor_that_is(tmp_path: Path) -> None:
    """It is polled meanwhile, so walks that are late need another explanation; since the first failure."""
    view = {
        "condition": "lost", "since": "2026-01-01T23:30:00Z", "reason": "closed with 1006", "half": "live",
        "failing_since": "2026-01-01T22:00:00.000Z",
    }  # fmt: skip
    assert described(tmp_path, **view)["problems"] == ["live session down for 2 h, polled meanwhile: closed with 1006"]
    late = {"things": {"completed_ms": NOW_MS - 200_000}}
    assert described(tmp_path, **view, walks=late)["problems"][2:] == [
        "nothing of it is read: is `bridged run` running?"
    ]
    view |= {"half": "reading"}
    assert described(tmp_path, **view)["problems"] == [
        "the vendor cannot be read, what is pushed goes on, for 2 h: closed with 1006"
    ]
    older = {"condition": "lost", "since": "2026-01-01T23:30:00Z", "reason": "timeout"}
    assert described(tmp_path, **older)["problems"] == ["the vendor cannot be reached, for 30 min: timeout"]


def test_a_refused_source_says_when_it_is_tried_again(tmp_path: Path) -> None:
    """Where the stream knows, and without a promise once that has passed."""
    view = {"condition": "blocked", "since": "2026-01-01T23:30:00Z", "reason": "no"}
    refused = "the vendor refuses, a human is needed, for 30 min: no"
    assert described(tmp_path, **view)["problems"] == [refused]
    soon = "2026-01-02T00:15:00Z"
    assert described(tmp_path, **view, again=soon)["problems"] == [f"{refused}; tried again in 15 min ({soon})"]
    over = "2026-01-01T23:45:00Z"
    assert described(tmp_path, **view, again=over)["problems"] == [f"{refused}; was to be tried again at {over}"]
    assert described(tmp_path, **view, again="soon")["problems"] == [refused]
    assert described(tmp_path, **view, again=soon, half="reading")["problems"] == [
        "the vendor refuses a part, the rest goes on, a human is needed, for 30 min: no; "
        f"tried again in 15 min ({soon})"
    ]
    assert described(tmp_path, **view, again=soon, half="live")["problems"] == [
        "live session down for 30 min, polled meanwhile: no; the vendor refuses it, a human is needed; "
        f"tried again in 15 min ({soon})"
    ]


def test_never_connected_says_since_when_and_what_it_does(tmp_path: Path) -> None:
    """Who has it and since when, and whether its first reading is under way; or that nobody has it."""
    owner = {"instance": "night:7", "since_ms": NOW_MS - 300_000}
    begin = "never connected, though night:7 has had it since 2026-01-01T23:55:00.000Z (5 min); "
    told = described(tmp_path, condition="never connected", owner=owner)
    assert told["problems"] == [
        f"{begin}nothing is read yet: it logs in, or waits for the vendor or its quota; see the log of `bridged run`"
    ]
    told = described(tmp_path, condition="never connected", owner=owner, walks={"things": {"pass_ms": NOW_MS}})
    assert told["problems"] == [f"{begin}its first reading is under way: things"]
    told = described(tmp_path, condition="never connected", owner={"instance": "night:7"})
    assert told["problems"][0].startswith("never connected, though night:7 has had it; nothing is read yet")


async def test_a_refused_subscription_is_a_problem(server: NatsServer, stream: HandmadeStream, tmp_path: Path) -> None:
    """Beside its first event or instead of one: marked, with since when, why and what to ask; the exit code is 0."""
    setup = Setup(tmp_path, nats=f'url = "{server.url}"')
    table = """
[[source.subscription]]
name = "{0}"
entity = "a-{0}"
id = "id"
fields = {{ id = "id" }}
document = "subscription {{ a {{ id }} }}"
"""
    setup.write("".join(map(table.format, ("first", "second", "third"))))
    now = time.time_ns() // 1_000_000
    await stream.event("bridge.acme.source.connected.acme", {"reason": ""}, now)
    off = {"off": "2026-01-01T00:00:00.000Z", "off_ms": 1_767_225_600_000, "reason": "no such field"}
    await stream.put("cursor.acme.subscription-first", {"first_ms": now, "first": "2025-01-01T00:00:00.000Z", **off})
    await stream.put("cursor.acme.subscription-second", {"off_ms": 1_767_225_600_000})
    report = (await inside(setup, "status", "--json")).json
    (source,) = report["sources"]
    assert not report["ok"]
    assert source["problems"] == [
        "first: refused since 2026-01-01T00:00:00.000Z: no such field; ask `bridged check --online`",
        "second: refused since 2026-01-01T00:00:00.000Z: no reason given; ask `bridged check --online`",
    ]
    assert [(one["verified"], one["off"], one["reason"]) for one in source["subscriptions"]] == [
        (True, "2026-01-01T00:00:00.000Z", "no such field"), (False, "2026-01-01T00:00:00.000Z", ""), (False, None, "")
    ]  # fmt: skip
    done = await inside(setup, "status")
    assert (done.code, done.err) == (0, "")
    assert done.out.count("\n! acme (pcvisit): connected for") == 1


VITALS = Vitals(
    at_ms=NOW_MS - 2_000, live=True, sessions=1, frames=1234, odd=3, last_frame_ms=NOW_MS - 3_000,
    last_beat_ms=NOW_MS - 6_000, round_trip_ms=12.3, beat_interval_ms=25_000, beat_timeout_ms=20_000,
)  # fmt: skip


def test_what_the_live_session_measures_in_words() -> None:
    """Heartbeat first, then frames, then what is odd; what was not measured is left out; what is old says how old."""

    def said(**changes: Any) -> str:
        found = session(replace(claim(lease_s=10.0), session=replace(VITALS, **changes)), NOW)
        assert found is not None
        return told(found, NOW)

    frames = "1,234 frames, the last 3 s ago; 3 odd"
    assert said() == f"heartbeat 6 s ago, answered in 12 ms (every 25 s); {frames}"
    assert said(round_trip_ms=0.0) == f"heartbeat 6 s ago, answered within 1 ms (every 25 s); {frames}"
    assert said(round_trip_ms=None) == f"heartbeat 6 s ago (every 25 s); {frames}"
    assert said(last_beat_ms=None) == f"no heartbeat yet (every 25 s); {frames}"
    bare = {"last_beat_ms": None, "beat_interval_ms": None, "round_trip_ms": None, "odd": 0}
    assert said(**bare, frames=1) == "open; 1 frame, 3 s ago"
    assert said(**bare, frames=0, last_frame_ms=None) == "open; no frame yet"
    assert said(**bare, frames=2, live=False) == "not open; 2 frames, the last 3 s ago"
    assert said(live=False) == f"not open; heartbeat 6 s ago, answered in 12 ms (every 25 s); {frames}"
    assert said(unreadable=1, filtered=2000, acks=5, sessions=4).endswith(
        "; 3 odd; 1 unreadable; 2,000 filtered; 5 acknowledged; 4 sessions so far"
    )
    old = {"at_ms": NOW_MS - 300_000, "last_frame_ms": NOW_MS - 301_000, "last_beat_ms": NOW_MS - 304_000}
    assert said(**old) == (
        "not measured for 5 min (is `bridged run` running?); at that time: heartbeat 4 s before, "
        "answered in 12 ms (every 25 s); 1,234 frames, the last 1 s before; 3 odd"
    )


@pytest.mark.parametrize(("old_s", "stale"), [(0.0, False), (6.0, False), (7.0, True), (-60.0, False)])
def test_measurements_are_stale_once_a_renewal_is_overdue(old_s: float, stale: bool) -> None:
    """A lease of 10 s is renewed every 3.3 s: one renewal may fail. A daemon whose clock is ahead is not stale."""
    vitals = replace(VITALS, at_ms=NOW_MS - round(old_s * 1000))
    found = session(replace(claim(lease_s=10.0), session=vitals), NOW)
    assert found is not None
    assert found["stale"] is stale


async def test_a_live_session_shows(server: NatsServer, stream: HandmadeStream, tmp_path: Path) -> None:
    """As a row and as JSON, from the lease; of a daemon that died with its age; of an older build not at all."""
    setup = Setup(tmp_path, nats=f'url = "{server.url}"')
    now = time.time_ns() // 1_000_000
    live = replace(VITALS, at_ms=now, last_frame_ms=now - 7_200_000, last_beat_ms=now - 10_800_000)
    held = claim("night:7", lease_s=600.0)

    async def words() -> str:
        done = await inside(setup, "status")
        assert (done.code, done.err) == (0, "")
        return " ".join(done.out.split())

    await stream.lease("acme", replace(held, session=live).to_json())
    found = (await inside(setup, "status", "--json")).json["sources"][0]["session"]
    assert found.keys() == SHAPE["session"]
    stamps = [round(datetime.fromisoformat(found[name]).timestamp() * 1000) for name in ("measured", "last_frame")]
    assert stamps == [now, now - 7_200_000]
    assert (found["live"], found["stale"], found["frames"], found["round_trip_ms"]) == (True, False, 1234, 12.3)
    assert (found["beat_interval_s"], found["beat_timeout_s"]) == (25.0, 20.0)
    row = "session heartbeat 3 h ago, answered in 12 ms (every 25 s); 1,234 frames, the last 2 h ago; 3 odd"
    assert row in await words()
    # Where the server removes nothing.
    await stream.lease("acme", replace(held, session=replace(live, at_ms=now - 7_200_000)).to_json())
    row = "session not measured for 2 h (is `bridged run` running?); at that time: heartbeat 1 h before"
    assert row in await words()
    await stream.lease("acme", held.to_json())
    assert " session " not in await words()


def troubles(tmp_path: Path, condition: str = "connected", half: str = "", **changes: Any) -> list[str]:
    """The problems of a source whose lease tells this of its live session."""
    config = loaded(tmp_path, SOURCE)
    overview = Overview("one", "acme", condition=condition, since="2026-01-01T23:30:00Z", reason="no", half=half)
    held = replace(claim(lease_s=10.0), session=replace(VITALS, **changes))
    report = describe(overview, Intervals(config.adapter(config.sources[0])), NOW, config.sources[0], held)
    found: list[str] = report["problems"]
    return found


def test_a_session_that_is_not_open_is_a_problem(tmp_path: Path) -> None:
    """After half a minute, unless the stream says so already, or the lease tells nothing of today."""
    text = "its live session has not been open for 31 s: see the log of `bridged run`"
    shut: dict[str, Any] = {"live": False, "shut_ms": NOW_MS - 31_000}
    assert troubles(tmp_path) == []
    assert troubles(tmp_path, **shut) == [text]
    assert troubles(tmp_path, live=False, shut_ms=NOW_MS - 30_000) == []
    assert troubles(tmp_path, live=False) == []
    assert troubles(tmp_path, **shut, at_ms=NOW_MS - 30_000) == []
    assert troubles(tmp_path, "lost", "reading", **shut)[1:] == [text]
    for condition, half in (("lost", "live"), ("lost", ""), ("blocked", "live"), ("never connected", "")):
        assert len(troubles(tmp_path, condition, half, **shut)) == 1


def test_a_session_that_is_silent_beyond_its_heartbeat_is_a_problem(tmp_path: Path) -> None:
    """Interval and timeout and half a minute: 25 s, 20 s and 30 s. Whatever was heard counts."""
    silent: dict[str, Any] = {"last_frame_ms": NOW_MS - 500_000, "last_beat_ms": NOW_MS - 76_000}
    assert troubles(tmp_path, **silent) == [
        "nothing was heard in its live session for 1.3 min, though its heartbeat comes every 25 s: "
        "see the log of `bridged run`"
    ]
    assert troubles(tmp_path, **silent | {"last_beat_ms": NOW_MS - 75_000}) == []
    assert troubles(tmp_path, **silent | {"last_frame_ms": NOW_MS - 1_000}) == []
    assert troubles(tmp_path, **silent | {"beat_interval_ms": None}) == []


def test_without_a_live_session_there_is_nothing_to_show(tmp_path: Path) -> None:
    """A source that is polled, an older build's claim, and a source nobody holds: null."""
    assert described(tmp_path)["session"] is None
    assert session(claim(), NOW) is None


def test_a_source_that_takes_webhooks_says_where(tmp_path: Path) -> None:
    """It has no walks and no lease; that nobody measures it is no problem."""
    config = loaded(tmp_path, SOURCE)
    overview = Overview("shop", "webhook", owner={"instance": "north"}, condition="connected")
    report = describe(overview, Intervals(config.adapter(config.sources[0])), NOW, hook_settings())
    assert (report["takes"], report["problems"], report["walks"]) == ("/hooks/shop", [], [])
    assert ("takes", "webhooks at /hooks/shop, by every instance that runs") in _rows(report, NOW)
