"""The generic platform's adapter, its reader and the HTTP edge against the sandbox: logins, caps, moving rows."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters import platform
from bridge.adapter import Ask, Record, Refused, Secret, Window
from bridge.core.walk import Pass
from bridge.edge.http import HttpClient
from bridge.engine.quota import Quota
from bridge.engine.reader import Reader
from bridge.sandbox.platform import Options, PlatformSandbox, platform_sandbox

pytestmark = pytest.mark.anyio


def wall() -> int:
    return time.time_ns() // 1_000_000


class Bench:
    """A source at a sandbox, read by a real reader; no engine."""

    def __init__(self, sandbox: PlatformSandbox, http: HttpClient, **changes: Any) -> None:
        self.sandbox = sandbox
        given: dict[str, Any] = {
            "name": "plant", "adapter": "platform", "base_url": sandbox.url, "login": sandbox.login,
            "password": Secret(sandbox.password, "env SECRET"), "stores": ["objects", "models", "users"],
            "requests_per_minute": 100_000,
        }  # fmt: skip
        self.adapter = platform.Adapter(platform.Settings(**given | changes))
        self.learned: list[str] = []
        self.reader = Reader(
            self.adapter, http, Quota(self.adapter.limit), wall, lambda secret: self.learned.append(secret.bare())
        )

    async def read(self, name: str, *ids: str, between: Callable[[], object] = lambda: None) -> list[Record]:
        """One pass over a walk."""
        walks = self.adapter.walks(await self.reader.keeper.token())
        walk = next(walk for walk in walks if walk.name == name)
        window = None if walk.reach_s is None else Window(wall() - 86_400_000 * 3, wall() + 1000)
        state, records = Pass(walk, window, wall(), ids), []
        while not state.done and state.pages < 500:
            ask: Ask = state.ask()
            page = await self.reader.page(ask)
            found = [self.adapter.record(ask, row) for row in page.rows]
            records += found
            state.take(page, [record.id for record in found])
            between()
        assert state.done
        return records


@asynccontextmanager
async def bench(options: Options, **changes: Any) -> AsyncIterator[Bench]:
    async with platform_sandbox(options) as sandbox, HttpClient() as http:
        yield Bench(sandbox, http, **changes)


@pytest.mark.parametrize("bounds", ["[]", "[)", "(]", "()"])
@pytest.mark.parametrize(("cap", "size"), [(25, 25), (25, 1000)])
async def test_every_store_is_read_whole_while_rows_come_and_go(bounds: str, cap: int, size: int) -> None:
    """Below the cap and above it, whichever ends belong to an interval, with another order after every write."""
    options = Options(seed=4, objects=60, models=35, users=3, cap=cap, bounds=bounds, packet_share=0.0)
    async with bench(options, page_size=size) as at:
        world = at.sandbox.world
        for store in ("objects", "models", "users"):
            before = set(world.stores[store])
            seen = {record.id for record in await at.read(store, between=lambda: at.sandbox.make_change(3))}
            assert before & set(world.stores[store]) <= seen


async def test_journal_and_packets_tell_everything() -> None:
    """All that occurred once, by `_msgid`; every packet of an object, by its stamp."""
    async with bench(Options(seed=5, objects=3, history=60, cap=20)) as at:
        world = at.sandbox.world
        oid = next(iter(world.objects))
        for _ in range(70):
            world.packet(oid)
        occurred = {record.id for record in await at.read("journal")}
        assert occurred == {change.id for change in world.occurrences.since(0)}
        packets = {record.id for record in await at.read("packets", oid)}
        assert packets == {f"{of}-{ts}" for of, ts, _ in world.issued_packets() if of == oid}
        assert await at.read("packets", "0" * 24) == []


@pytest.mark.parametrize(
    ("changes", "logins"),
    [({}, 2), ({"auth": "cookie"}, 1), ({"transport": "events-stream"}, 1), ({"auth": "issued"}, 0)],
)
async def test_every_login_works_and_is_renewed_once(changes: dict[str, Any], logins: int) -> None:
    """Token, cookie, both, or a token made by hand; what a login yields is masked; a revoked one is replaced."""
    async with bench(Options(seed=6)) as at:
        if changes.get("auth") == "issued":
            changes = changes | {"token": Secret(at.sandbox.issued_token), "login": None, "password": None}
        at = Bench(at.sandbox, at.reader._http, **changes)  # type: ignore[arg-type]
        assert len(await at.read("objects")) == 5
        assert at.sandbox.counters().get("login_requests", 0) == logins
        assert len(at.learned) == max(1, logins)
        session = at.adapter.session(await at.reader.keeper.token())
        assert len(session.headers) == max(1, logins)
        at.sandbox.revoke_tokens()
        if logins:
            assert len(await at.read("objects")) == 5
            assert at.sandbox.counters()["login_requests"] == 2 * logins
        else:
            with pytest.raises(Refused, match="refused again with a new token"):
                await at.read("objects")


async def test_a_forbidden_store_is_refused_without_another_login() -> None:
    """403 never means that the token has expired."""
    async with bench(Options(seed=7, forbidden="models")) as at:
        with pytest.raises(Refused, match="403; let the user or token read this"):
            await at.read("models")
        assert at.sandbox.counters()["login_requests"] == 2


async def test_wrong_credentials_are_refused() -> None:
    """With the name of what to check."""
    async with bench(Options(seed=8), password=Secret("not-the-password", "env WRONG")) as at:
        with pytest.raises(Refused, match=r"`password` \(from env WRONG\)"):
            await at.read("objects")
