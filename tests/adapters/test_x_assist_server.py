"""The X-Assist adapter, its reader and the HTTP edge against the sandbox: OAuth, GraphQL and a GCRA limiter."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters import x_assist
from bridge.adapter import Ask, Record, Refused, Secret, Window
from bridge.edge.http import HttpClient
from bridge.engine.quota import Quota
from bridge.engine.reader import Reader
from bridge.sandbox.x_assist import Options, XAssistSandbox, x_assist_sandbox

pytestmark = pytest.mark.anyio


def wall() -> int:
    return time.time_ns() // 1_000_000


class Bench:
    """A source at a sandbox, read by a real reader; no engine."""

    def __init__(self, sandbox: XAssistSandbox, http: HttpClient, **changes: Any) -> None:
        self.sandbox = sandbox
        given: dict[str, Any] = {
            "name": "acme", "adapter": "x_assist", "graphql_url": sandbox.url, "issuer": sandbox.issuer,
            "client_id": sandbox.client_id, "client_secret": Secret(sandbox.client_secret, "env SECRET"),
        }  # fmt: skip
        self.adapter = x_assist.Adapter(x_assist.Settings(**given | changes))
        self.quota = Quota(self.adapter.limit)
        self.reader = Reader(self.adapter, http, self.quota, wall, lambda _: None)

    async def read(self, name: str, ids: tuple[str, ...] = ()) -> tuple[list[Record], dict[str, str]]:
        """One pass over a walk."""
        walk = next(
            walk for walk in self.adapter.walks(await self.reader.keeper.token()) if walk.name == f"events-{name}"
        )
        window = None if walk.reach_s is None else Window(wall() - round(walk.reach_s * 1000), wall() + 1000)
        ask = Ask(walk, window, None, ids)
        records: list[Record] = []
        aliases: dict[str, str] = {}
        for _ in range(50):
            page = await self.reader.page(ask)
            records += [self.adapter.record(ask, row) for row in page.rows]
            aliases.update(page.aliases)
            if page.next is None:
                return records, aliases
            ask = Ask(walk, window, page.next, ids)
        raise AssertionError("a pass that does not end")

    def truth(self) -> dict[str, str]:
        """The names of all events, by the ledger's name of each."""
        (events,) = self.sandbox.state().values()
        return {id_: event["name"] for id_, event in events.items()}

    def named(self, records: list[Record]) -> dict[str, Any]:
        """The names that were read, by the same."""
        return {self.sandbox.canonical(record.id): (record.after or {})["name"] for record in records}


@asynccontextmanager
async def bench(options: Options, **changes: Any) -> AsyncIterator[Bench]:
    async with x_assist_sandbox(options) as sandbox, HttpClient() as http:
        yield Bench(sandbox, http, **changes)


async def test_all_events_are_read_and_known_ones_read_again() -> None:
    """Every event once, over several pages; then by their ids, edits included."""
    async with bench(Options(seed=3, history=40, requests_per_hour=None), page_size=7) as at:
        records, _ = await at.read("all")
        assert len(records) == 40
        assert len({record.at_ms for record in records}) > 30
        at.sandbox.make_change(30)
        known = tuple(record.id for record in records)
        again, aliases = await at.read("by-id", known)
        now = at.truth()
        assert aliases == {}
        assert at.named(again) == {at.sandbox.canonical(id_): now[at.sandbox.canonical(id_)] for id_ in known}
        assert at.sandbox.counters()["logins"] == 1


async def test_recent_events_take_fewer_pages() -> None:
    """Every event created within the window, and of the others no more than the page where they begin."""
    options = Options(seed=3, history=60, requests_per_hour=None)
    async with x_assist_sandbox(options) as sandbox, HttpClient() as http:
        everything, _ = await Bench(sandbox, http).read("all")
        middle_ms = sorted(record.at_ms or 0 for record in everything)[30]
        # A busy machine may take a while until the pass begins.
        at = Bench(sandbox, http, page_size=5, recent_reach_s=(wall() - middle_ms) / 1000 + 60)
        recent, _ = await at.read("recent")
        wanted = {record.id for record in everything if (record.at_ms or 0) >= middle_ms}
        assert wanted <= {record.id for record in recent}
        assert 30 <= len(recent) <= 40


async def test_new_ids_are_told_as_aliases() -> None:
    """After a re-encoding an old id is answered with the new one."""
    async with bench(Options(seed=3, history=5, requests_per_hour=None)) as at:
        known = tuple(record.id for record in (await at.read("all"))[0])
        at.sandbox.alter({"id_generation": 1})
        again, aliases = await at.read("by-id", known)
        assert aliases == {record.id: old for record, old in zip(again, known, strict=True)}
        assert not set(known) & set(aliases)


async def test_a_page_that_is_too_complex_becomes_smaller() -> None:
    """429 with an empty `Retry-After`: never the same again, and all events are read all the same."""
    options = Options(seed=3, history=20, burst=5, rows_per_request=1, requests_per_hour=360_000)
    async with bench(options, page_size=8, reserve=0, burst=5, requests_per_hour=360_000) as at:
        records, _ = await at.read("all")
        assert at.named(records) == at.truth()
        assert at.sandbox.counters()["too_complex"] == 1


async def test_what_the_limiter_says_arrives_at_the_quota() -> None:
    """The burst of its headers, in place of the one that was configured."""
    async with bench(Options(seed=3, history=1, burst=12)) as at:
        await at.read("all")
        assert at.quota.budget.burst == 12
        assert at.quota.refusals == 0


async def test_a_wrong_secret_is_refused() -> None:
    """By the names of the settings, without the secret."""
    async with bench(Options(seed=3), client_secret=Secret("wrong-secret", "env SECRET")) as at:
        with pytest.raises(Refused, match=r"invalid_client.*`client_secret`.*env SECRET") as caught:
            await at.read("all")
        assert "wrong-secret" not in str(caught.value)


async def test_a_revoked_token_is_renewed_once() -> None:
    """401, a new token, and the page."""
    async with bench(Options(seed=3, history=2, requests_per_hour=None)) as at:
        await at.read("all")
        at.sandbox.revoke_tokens()
        assert len((await at.read("all"))[0]) == 2
        assert at.sandbox.counters()["logins"] == 2
