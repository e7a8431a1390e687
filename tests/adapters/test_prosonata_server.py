"""ProSonata's adapter, its reader and the HTTP edge against the sandbox: rows that move, blocks that end, keys."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters import prosonata
from bridge.adapter import Ask, Record, Refused, ResourceTable, Retry, Secret, Window
from bridge.core.errors import BridgeError, WalkRefused
from bridge.core.walk import Pass
from bridge.edge.http import HttpClient
from bridge.engine.quota import Quota
from bridge.engine.reader import Reader
from bridge.sandbox.prosonata import Options, ProsonataSandbox, prosonata_sandbox
from bridge.sandbox.prosonata_view import ENTITIES

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def wall() -> int:
    return time.time_ns() // 1_000_000


class Bench:
    """A source at a sandbox, read by a real reader; no engine."""

    def __init__(self, sandbox: ProsonataSandbox, http: HttpClient, **changes: Any) -> None:
        self.sandbox = sandbox
        given: dict[str, Any] = {
            "name": "agency", "adapter": "prosonata", "base_url": sandbox.url, "api_key": Secret(sandbox.key, "env K"),
            "app_id": Secret(sandbox.app_id, "env A") if sandbox.app_id else None, "requests_per_block": 60_000,
            "block_s": sandbox.options.block_s,
            "resource": [ResourceTable(name=name, page_size=7) for name in ENTITIES],
        }  # fmt: skip
        self.adapter = prosonata.Adapter(prosonata.Settings(**given | changes))
        self.reader = Reader(self.adapter, http, Quota(self.adapter.limit), wall, lambda _: None)

    async def ask(self, name: str, *ids: str) -> Ask:
        """The first page of a walk, or one record of it."""
        walk = next(walk for walk in self.adapter.walks(await self.reader.keeper.token()) if walk.name == name)
        window = Window(wall() - 86_400_000 * 20, wall()) if walk.reach_s else None
        return Ask(walk, window, None, ids)

    async def read(self, name: str, between: Callable[[], object] = lambda: None) -> dict[str, Record]:
        """One pass over a walk."""
        first = await self.ask(name)
        state, records = Pass(first.walk, first.window, wall()), dict[str, Record]()
        while not state.done and state.pages < 500:
            page = await self.reader.page(state.ask())
            found = [self.adapter.record(state.ask(), row) for row in page.rows]
            records |= {record.id: record for record in found}
            state.take(page, [record.id for record in found])
            between()
        assert state.done
        return records


@asynccontextmanager
async def bench(changes: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[Bench]:
    given = {"seed": 4, "size": 20, "quota": 60_000, "nulls": "mixed", **options}
    async with prosonata_sandbox(Options(**given)) as sandbox, HttpClient() as http:
        yield Bench(sandbox, http, **(changes or {}))


@pytest.mark.parametrize("auth", ["app", "user"])
async def test_every_collection_is_read_whole_by_either_kind_of_key(auth: str) -> None:
    """All ten, over many pages, whichever types an answer chose; the hidden ones too, and no key in any address."""
    async with bench(auth=auth, flips=0.5) as at:
        for name in ENTITIES:
            walk = name if name not in ("projecttimes", "workingtimes", "crmevents") else f"{name}-slow"
            records = await at.read(walk)
            rows = at.sandbox.world.rows[name]
            assert {int(id_) for id_ in records} == set(rows)
            again = await at.read(walk)
            assert {id_: record.after for id_, record in again.items()} == {
                id_: record.after for id_, record in records.items()
            }
        assert "keys_in_urls" not in at.sandbox.counters()


@pytest.mark.parametrize(("bounds", "skew_h"), [(">=", 0), (">", 0), (">", 1), (">", -1)])
async def test_a_window_holds_every_day_that_it_claims(bounds: str, skew_h: int) -> None:
    """Whether or not the vendor includes the day it is given, and if its clock is an hour off: what the window is said
    to hold is on its pages."""
    async with bench(bounds=bounds, clock=lambda: wall() + skew_h * 3_600_000) as at:
        records, one = await at.read("projecttimes"), await at.ask("projecttimes")
        whole = await at.read("projecttimes-slow")
        claimed = {id_ for id_, record in whole.items() if at.adapter.belongs(one, record.after)}
        assert claimed
        assert claimed <= set(records) < set(whole)


async def test_rows_that_come_and_go_meanwhile_cost_no_other_row() -> None:
    """New rows are appended; whoever was there before and after is read, or lies between two pages."""
    async with bench() as at:
        before = set(at.sandbox.world.rows["projecttasks"])
        records = await at.read("projecttasks", between=lambda: at.sandbox.make_change(2, "projecttasks-insert"))
        assert before <= {int(id_) for id_ in records}


async def test_a_replaced_key_stops_the_source_with_a_sentence() -> None:
    """It is not retried: nothing is to be renewed."""
    async with bench() as at:
        await at.read("projects")
        at.sandbox.revoke_tokens()
        with pytest.raises(Refused, match="the key is not accepted") as caught:
            await at.read("projects")
        assert not isinstance(caught.value, WalkRefused)
        assert at.sandbox.key not in f"{caught.value}"


async def test_a_resource_that_is_not_allowed_stops_its_walk_alone() -> None:
    """403 for customers; projects go on."""
    async with bench(forbidden="customers") as at:
        with pytest.raises(WalkRefused, match="may not read customers"):
            await at.read("customers")
        assert await at.read("projects")


@pytest.mark.parametrize("tells", ["message", "meta", "both", "neither"])
async def test_a_spent_block_is_waited_for(tells: str) -> None:
    """Whoever else has spent it: the next block brings the answer, and a refusal is the exception."""
    async with bench({"requests_per_block": 4}, quota=4, block_s=3.0, tells=tells, others=2) as at:
        records = await at.read("customers")
        assert records
        await at.read("customers")
        assert at.sandbox.counters().get("foreseeable", 0) == 0


@pytest.mark.parametrize(
    ("kind", "raises", "words"),
    [
        ("http_500", Retry, "fault at the vendor"),
        ("http_502", Retry, "fault at the vendor"),
        ("html", Retry, "check the address"),
        ("truncated", Retry, "not JSON"),
        ("data_object", Retry, "expected a list"),
        ("http_403", WalkRefused, "may not read projects"),
        ("cut", Retry, "."),
    ],
)
async def test_each_fault_is_a_sentence(kind: str, raises: type[BridgeError], words: str) -> None:
    """And the next reading goes through."""
    async with bench() as at:
        at.sandbox.faults.plan(kind)
        with pytest.raises(raises, match=words):
            await at.read("projects")
        assert len(await at.read("projects")) == 20


async def test_gone_is_what_the_vendor_says_is_gone() -> None:
    """One record by its id: there, there but hidden, and no more; an event by its own path."""
    async with bench() as at:
        world = at.sandbox.world
        for name in ("projecttimes", "contacts", "crmevents-slow"):
            path = name.removesuffix("-slow")
            id_ = next(iter(world.rows[path]))
            assert len((await at.reader.page(await at.ask(name, str(id_)))).rows) == 1
            if path == "contacts":
                world.update(path, id_, active=0)
                (row,) = (await at.reader.page(await at.ask(name, str(id_)))).rows
                after = at.adapter.record(await at.ask(name, str(id_)), row).after
                assert after is not None
                assert after["active"] is False
            world.delete(path, id_)
            assert (await at.reader.page(await at.ask(name, str(id_)))).rows == []
