"""`bridged status` over NATS: what instances tell, whoever asks and from wherever."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.core.event import timestamp
from bridge.edge.ledger.permissions import operator_permissions
from tests.support.command import Setup
from tests.support.handmade import HandmadeStream, handmade_stream
from tests.support.inside import inside
from tests.support.nats_server import NatsServer, nats_server
from tests.support.played_instance import SINCE, played_instance, told_report, told_source

pytestmark = pytest.mark.anyio


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path) as server:
        yield server


@pytest.fixture
async def stream(server: NatsServer) -> AsyncIterator[HandmadeStream]:
    async with handmade_stream(server.url) as stream:
        await stream.make()
        yield stream


async def test_instances_come_first_and_each_source_once(
    server: NatsServer, stream: HandmadeStream, tmp_path: Path
) -> None:
    """One line each, what keeps it from being ready, who is silent; a source is told by who works for it."""
    setup = Setup(tmp_path, nats=f'url = "{server.url}"')
    now = time.time_ns() // 1_000_000
    await stream.put("owner.acme", {"instance": "north", "build": "0.1.0", "since_ms": now - 7_200_000})
    await stream.event("bridge.acme.source.connected.acme", {}, now - 7_200_000)
    await stream.event("pcvisit.acme.session.updated.4711", {}, now)
    refused = {"at": timestamp(now - 3_630_000), "why": "refused, the old configuration goes on: b.toml:3: \x1bwhat"}
    north = told_report(
        "north", told_source("acme"), told_source("other\x1b[2J", problems=["it is late"]), refused=refused
    )
    waiting = [{"name": "webhooks", "holds": False, "why": "port 8787 is taken"}]
    south = told_report("sü d.>", told_source("acme", here=False, state="standby"), phase="starting",
                        conditions=waiting)  # fmt: skip
    async with (
        played_instance(server.url, "north", report=north),
        played_instance(server.url, "sü d.>", report=south),
        played_instance(server.url, "slow"),
    ):
        done = await inside(setup, "status")
        told = (await inside(setup, "status", "--json")).json
        alone = await inside(setup, "status", "--instance", "north")
        none = await inside(setup, "status", "--instance", "sü d.>")
        nobody = await inside(setup, "status", "--instance", "west")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("! instance north (h, pid 7, build 0.1.0), for ")
    assert lines[0].endswith(": 2 sources")
    assert lines[1].startswith("  RELOAD  1 h ago: refused, the old configuration goes on: b.toml:3: ")
    assert lines[2] == "! instance slow (h, pid 7, build 0.1.0): no answer within 0.05 s"
    assert lines[3].startswith("! instance sü d.> (h, pid 7, build 0.1.0), starting, for ")
    assert lines[4] == "  NOT READY  webhooks: port 8787 is taken"
    assert lines[5].startswith(f"BRIDGE at 127.0.0.1:{server.port}")
    words = " ".join(done.out.split())
    assert words.count("acme (pcvisit): connected for 2 h") == 1
    assert "at north; 5 events a minute, 13 in the last hour; token 1 min old, renewed in 5 min" in words
    assert " ago: events.pcvisit.acme.session.updated.4711" in words
    assert "! other\N{REPLACEMENT CHARACTER}[2J (pcvisit): live PROBLEM it is late" in words
    assert [(one["name"], one["phase"], one["problem"]) for one in told["instances"]] == [
        ("north", "ready", None), ("slow", None, "no answer within 0.05 s"), ("sü d.>", "starting", None)
    ]  # fmt: skip
    assert [(one["name"], one["state"], one["told_by"]) for one in told["sources"]] == [
        ("acme", "live", ["north"]), ("other\x1b[2J", "live", ["north"])
    ]  # fmt: skip
    acme = told["sources"][0]
    assert (acme["condition"], acme["state_since"], acme["owner"]["instance"]) == ("connected", SINCE, "north")
    assert not told["ok"]
    assert ("slow" in alone.out, "acme (pcvisit): connected" in alone.out) == (False, True)
    assert (none.code, "acme" in none.out) == (0, False)
    assert (nobody.code, nobody.out, nobody.err) == (69, "", "bridged: no instance west answers\n")


async def test_a_thousand_sources(server: NatsServer, stream: HandmadeStream, tmp_path: Path) -> None:
    """In as many parts as it takes, all there, in their order; the host that asks knows one of them."""
    setup = Setup(tmp_path, nats=f'url = "{server.url}"')
    names = [f"s{number}" for number in range(1000)]
    sources = [told_source(name, reason="x" * 3000) for name in names]
    async with played_instance(server.url, "north", report=told_report("north", *sources)):
        done = await inside(setup, "status", "--json")
    assert (done.code, done.err) == (0, "")
    assert len(done.out) > 3_000_000
    assert [one["name"] for one in done.json["sources"]] == ["acme", *names]
    assert done.json["sources"][-1]["reason"] == "x" * 3000


async def test_who_may_only_ask_instances_is_told_by_them(tmp_path: Path) -> None:
    """Without a right on the stream: what they tell, and a sentence about the rest. Without both: 77, as ever."""
    users = [
        {"user": "admin", "password": "p"},
        {"user": "operator", "password": "p", "permissions": operator_permissions()},
        {"user": "consumer", "password": "p", "permissions": {"publish": {"allow": ["x"]}, "subscribe": [">"]}},
        {"user": "reader", "password": "p", "permissions": {"publish": {"allow": ["$JS.API.>"]}, "subscribe": [">"]}},
    ]
    extra = f"accounts: {json.dumps({'APP': {'jetstream': 'enabled', 'users': users}})}"
    async with nats_server(tmp_path, extra=extra) as server:
        admin = server.url.replace("://", "://admin:p@")

        def setup(user: str) -> Setup:
            return Setup(tmp_path, nats=f'url = "{server.url}"\nuser = "{user}"\npassword = {{ env = "P" }}', name=user)

        report = told_report("north", told_source("acme"), stream=None)
        async with handmade_stream(admin) as stream, played_instance(admin, "north", report=report):
            await stream.make()
            one, two, three = [
                await inside(setup(user), "status", environ={"P": "p"}) for user in ("operator", "consumer", "reader")
            ]
    assert one.code == 0
    assert "instance north" in one.out
    assert "acme (pcvisit): live" in one.out
    assert "only the instances are asked, as the stream cannot be read: NATS denies this user publish on" in one.err
    assert (two.code, two.out) == (77, "")
    assert (three.code, "acme (pcvisit): never connected" in three.out) == (0, True)
    assert three.err == (
        "bridged: NATS denies this user publish on $SRV.INFO.bridged: the instances cannot be asked, only the stream\n"
    )


async def test_whatever_an_instance_answers(server: NatsServer, stream: HandmadeStream, tmp_path: Path) -> None:
    """No report, or one of another version, is another build's. What a key lacks, nothing is said of."""
    setup = Setup(tmp_path, nats=f'url = "{server.url}"')
    async with (
        played_instance(server.url, "list", report={"version": 1, "instance": 5}),
        played_instance(server.url, "next", report={"version": 2, "instance": {"name": "next"}}),
        played_instance(server.url, "bare", report={"version": 1, "instance": {}, "sources": [{"name": "x"}]}),
    ):
        done = await inside(setup, "status")
    assert done.code == 0, done.err
    assert "! instance list (h, pid 7, build 0.1.0): its answer is no report: it is another build" in done.out
    assert "! instance next (h, pid 7, build 0.1.0): its answer is no report: it is another build" in done.out
    assert "! instance bare (h, pid 7, build 0.1.0), None, for an unknown time: None" in done.out
    assert "  x (): not known yet" in done.out
    assert "acme (pcvisit): never connected" in done.out
