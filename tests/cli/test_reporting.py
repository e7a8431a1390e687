"""A report of very many sources: how large it is, and what it costs."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from bridge.adapter import Adapter
from bridge.cli.reporting import Reporting
from bridge.core.event import timestamp
from bridge.core.lease import Tenant
from bridge.core.reload import ReloadResult
from bridge.core.report.facts import SourceFacts
from bridge.core.report.overview import Overview
from bridge.core.vitals import Reserves, Tempo, Vitals
from bridge.engine.lookout import Seen
from bridge.engine.quota import Quotas
from bridge.engine.readiness import Readiness
from bridge.engine.source import Source, World
from bridge.engine.supervisor import Supervisor
from tests.support.memory_ledger import MemoryLedger
from tests.support.report_shape import faults
from tests.support.sim_vendor import SimAdapter, SimSettings, SimVendor, wall

pytestmark = pytest.mark.anyio

COUNT = 1000


class Config:
    """As much of a configuration as a report needs."""

    def __init__(self, count: int) -> None:
        self.sources = tuple(SimSettings(name=f"source-{number:04}", adapter="sim") for number in range(count))
        self.alerts = ()
        self.daemon = SimpleNamespace(lease_s=10.0)
        self.nats = SimpleNamespace(
            stream="BRIDGE", state_bucket="s", lease_bucket="l", telemetry_stream="T", replicas=1, max_age_days=90.0,
            telemetry_max_age_days=7.0, manage="create", domain=None, api_prefix=None,
        )  # fmt: skip

    def adapter(self, settings: Any) -> Adapter[Any]:
        return SimAdapter(settings)


class Masker:
    def mask(self, text: str) -> str:
        return text

    def add(self, *_: object) -> None:
        return


def daemon(count: int) -> Any:
    """As much of a daemon as a report needs; its sources are there, and idle."""
    config = Config(count)
    masker: Any = Masker()
    world = World(
        ledger=MemoryLedger(), http=SimVendor(), quotas=Quotas(), encode=lambda _: b"{}", wall=wall, roll=lambda: 0.5,
        masker=masker, owner={"instance": "north"},
    )  # fmt: skip
    readiness = Readiness(["nats"])
    readiness.reach("nats")
    client: Any = SimpleNamespace()
    return SimpleNamespace(
        supervisor=Supervisor([Source(SimAdapter(one)) for one in config.sources], world),
        world=world,
        config=config,
        masker=masker,
        readiness=readiness,
        tenant=Tenant(instance="north", boot="b", host="h", place="", pid=1, started=0, build="1"),
        since_ms=wall(),
        connection=SimpleNamespace(client=client, server="h:4222", info={}, connected=True, away_since_ms=None),
        entrance=SimpleNamespace(listener=None),
        on_reload=[],
    )


def busy(facts: SourceFacts) -> SourceFacts:
    """One that has a session and reads ten collections."""
    now = wall()
    walks = tuple(Tempo(f"walk-{number}-of-a-company", 30.0, 60.0, 2.0, now + 1000) for number in range(10))
    vitals = Vitals(
        at_ms=now, live=True, sessions=3, frames=12345, last_frame_ms=now, round_trip_ms=12.5, walks=walks,
        quota=Reserves(limit=1000, period_s=900.0, ours=900.0, left=500, resets_ms=now),
    )  # fmt: skip
    return replace(facts, state="live", vitals=vitals, completed_ms={walk.name: now - 5000 for walk in walks})


async def test_a_report_of_a_thousand_sources_stays_within_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten collections each: some megabytes, some hundred milliseconds of one core; by the contract like any other."""
    made = daemon(COUNT)
    reporting = Reporting(made)
    taken = made.supervisor.facts
    monkeypatch.setattr(made.supervisor, "facts", lambda names=None: [busy(one) for one in taken(names)])
    view = Overview("x", "sim", condition="connected", owner={"instance": "north"})
    for name in reporting.names():
        reporting._lookout._seen[name] = Seen(replace(view, name=name), anyio.current_time(), wall() + 1000)
    begun = time.process_time()
    report = reporting.report(0)
    data = reporting.encode(report)
    spent_s = time.process_time() - begun
    assert len(report["sources"]) == COUNT
    assert faults(report["sources"][-1]) != [], "the checker looks"
    assert faults(report) == []
    assert len(data) < 4_000_000
    # A tenth of that on a quiet machine: a guard against what grows with the square.
    assert spent_s < 3.0
    begun = time.process_time()
    for _ in range(3):
        reporting.sources(reporting.names()[:100])
        reporting.head()
    assert time.process_time() - begun < 1.0


async def test_a_source_that_a_reload_takes_away_is_not_told_of() -> None:
    """Between the new configuration and the end of the old source there is no report that fails."""
    made = daemon(3)
    reporting = Reporting(made)
    assert len(reporting.report(0)["sources"]) == 3
    made.config = Config(2)
    report = reporting.report(0)
    assert [one["name"] for one in report["sources"]] == ["source-0000", "source-0001"]
    made.on_reload[0]("begin")
    assert reporting.head()["instance"]["phase"] == "reloading"
    made.on_reload[0](("end", ReloadResult(ok=True, text="")))
    assert reporting.head()["instance"]["phase"] == "ready"
    made.readiness.stop()
    assert reporting.head()["instance"]["phase"] == "stopping"


async def test_a_report_has_the_conditions_of_readyz() -> None:
    """The ledger is among them: out of reach for longer than a hiccup, all is not well, and it says why.

    While it stops, that comes first.
    """
    made = daemon(1)
    reporting = Reporting(made)
    nats, ledger = {"name": "nats", "holds": True, "why": ""}, {"name": "ledger", "holds": True, "why": ""}
    assert reporting.head()["conditions"] == [nats, ledger]
    assert reporting.head()["ok"]
    made.connection.away_since_ms = wall() - 6_000
    made.connection.problem = "NATS at h:4222: no answer within 5 s"
    head = reporting.head()
    assert head["conditions"] == [nats, {"name": "ledger", "holds": False, "why": made.connection.problem}]
    assert not head["ok"]
    made.readiness.stop()
    stops = {"name": "shutdown", "holds": False, "why": "it stops; nothing is to be sent here any more"}
    assert reporting.head()["conditions"][0] == stops


async def test_a_configuration_that_was_refused_is_told_until_one_is_taken_over() -> None:
    """Whoever looks hours later sees that what runs is not what the file says, since when, and why."""
    made = daemon(1)
    reporting = Reporting(made)
    assert reporting.head()["instance"]["refused"] is None
    before = timestamp(wall())
    made.on_reload[0](("end", ReloadResult(ok=False, text="refused, the old configuration goes on: b.toml:3: what")))
    head = reporting.head()
    assert head["instance"]["refused"]["why"] == "refused, the old configuration goes on: b.toml:3: what"
    assert before <= head["instance"]["refused"]["at"] <= timestamp(wall())
    assert not head["ok"]
    assert faults(reporting.report(0)) == []
    made.on_reload[0](("end", ReloadResult(ok=True, text="nothing has changed")))
    assert reporting.head()["instance"]["refused"] is None
    assert reporting.head()["ok"]


async def test_a_head_alone_keeps_the_verdict() -> None:
    """Whether a source has a problem is known from when its sources were looked at."""
    made = daemon(1)
    reporting = Reporting(made)
    lost = Overview("source-0000", "sim", condition="lost", reason="timeout")
    reporting._lookout._seen["source-0000"] = Seen(lost, anyio.current_time(), wall() + 1000)
    assert reporting.report(0)["ok"] is False
    assert reporting.head()["ok"] is False
