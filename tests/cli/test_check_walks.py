"""`bridged check --online` asks the first page of every walk, and says which the vendor refuses."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from adapters import platform, prosonata
from bridge.adapter import Secret, Token, Walk
from bridge.cli.check_source import _other_pages, _walks, try_source
from bridge.cli.exits import Exit
from bridge.cli.findings import Finding
from bridge.cli.sessions import Sessions
from bridge.core.errors import Throttled
from bridge.core.secret import Masker
from bridge.edge.http import HttpClient
from bridge.edge.process import wall
from bridge.edge.websocket import WebSockets
from bridge.engine.quota import Quotas
from bridge.engine.reader import Reader
from bridge.sandbox.platform import Options, PlatformSandbox, platform_sandbox

pytestmark = pytest.mark.anyio

STORES = ["objects", "models", "users"]


def adapter_of(sandbox: PlatformSandbox, **changes: Any) -> platform.Adapter:
    given: dict[str, Any] = {
        "name": "plant", "adapter": "platform", "base_url": sandbox.url, "login": sandbox.login,
        "password": Secret(sandbox.password, "env SECRET"), "stores": STORES, "requests_per_minute": 100_000,
    }  # fmt: skip
    return platform.Adapter(platform.Settings(**given | changes))


async def tried(adapter: platform.Adapter) -> dict[str, Finding]:
    sessions = Sessions(WebSockets(agent="test"), lambda: 0.5)
    async with HttpClient() as http:
        findings = await try_source(adapter, http, Quotas(), Masker(), sessions)
    return {finding.what.removeprefix("plant: "): finding for finding in findings}


async def test_each_refused_walk_is_named() -> None:
    """77 for each, with the vendor's words; the others are asked, and so is the live session."""
    async with platform_sandbox(Options(seed=7, forbidden="models,users")) as sandbox:
        found = await tried(adapter_of(sandbox))
        assert sandbox.counters()["forbidden"] == 2
    assert list(found) == [
        "login", "first page", "other walks", "walk models", "walk users", "live session", "budget",
    ]  # fmt: skip
    assert [name for name, finding in found.items() if not finding.ok] == ["walk models", "walk users"]
    assert "walk models: " in found["walk models"].says
    assert "let the user or token read this" in found["walk models"].says
    assert found["walk models"].exit is found["walk users"].exit is Exit.NOPERM
    assert found["other walks"].says == "1 more can be read"


async def test_the_first_may_be_the_refused_one() -> None:
    """It is no more than one of them."""
    async with platform_sandbox(Options(seed=7, forbidden="events")) as sandbox:
        found = await tried(adapter_of(sandbox, transport="none"))
    assert [name for name, finding in found.items() if not finding.ok] == ["first page"]
    assert found["first page"].exit is Exit.NOPERM
    assert "walk journal: " in found["first page"].says
    assert found["other walks"].says == "3 more can be read"


async def test_no_more_than_twenty_walks_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """And none that is asked by ids: of those nothing is known here."""
    walks = platform.Adapter.walks

    def many(self: platform.Adapter, token: Any) -> list[Walk]:
        found = walks(self, token)
        return [*[walk for walk in found if walk.batch], *[walk for walk in found if walk.name == "objects"] * 50]

    monkeypatch.setattr(platform.Adapter, "walks", many)
    async with platform_sandbox(Options(seed=7)) as sandbox:
        found = await tried(adapter_of(sandbox, transport="none"))
        assert sandbox.counters()["read_objects"] == 20
    assert "read_packets" not in sandbox.counters()
    assert found["other walks"].says == "19 more can be read"


async def test_a_walk_there_was_no_time_for_is_no_failure() -> None:
    """A vendor that is slow, or a quota that is spent, keeps nothing else from being checked; nobody waits in vain."""
    async with platform_sandbox(Options(seed=7)) as sandbox, HttpClient() as http:
        adapter = adapter_of(sandbox)
        reader = Reader(adapter, http, Quotas().of("plant", adapter.limit), wall, Masker().add)
        walks = [walk for walk in adapter.walks(await reader.keeper.token()) if not walk.batch]
        [late] = await _other_pages(adapter, reader, walks, anyio.current_time() - 1)
        reader.quota.throttled(Throttled("429", after=3_000))
        begun = anyio.current_time()
        [spent] = await _other_pages(adapter, reader, walks, begun + 60)
        assert anyio.current_time() - begun < 10
    assert late.ok
    assert spent.ok
    assert late.what == spent.what == "plant: walks"
    names = "journal, objects, models, users"
    assert late.says == f"not tried, as no time was left and a check takes 60 s at most: {names}"
    assert spent.says == (
        f"not tried, as the quota lets the next request go in 3000 s and a check takes 60 s at most: {names}"
    )


async def test_each_collection_is_asked_for_before_any_is_asked_for_twice() -> None:
    """With a small quota there is no time for all walks: a probe, and the slow walk of what was read, come last."""
    settings = prosonata.Settings(name="agency", adapter="prosonata", subdomain="a", api_key=Secret("k", "env K"))
    walks = [walk.name for walk in _walks(prosonata.Adapter(settings), Token(Secret("")))]
    assert len(walks) == 14
    assert sorted(walks[10:]) == ["crmevents-slow", "projecttasks-probe", "projecttimes-slow", "workingtimes-slow"]
