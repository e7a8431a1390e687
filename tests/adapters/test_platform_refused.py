"""A store of the platform that is not for this user, under a real runner with a real live session."""

from __future__ import annotations

from random import Random
from typing import Any

import anyio
import pytest

from adapters import platform
from bridge.adapter import Secret
from bridge.cli.sessions import Sessions
from bridge.core.lifecycle import State
from bridge.core.secret import Masker
from bridge.edge.codec import encode
from bridge.edge.http import HttpClient
from bridge.edge.websocket import WebSockets
from bridge.engine.quota import Quotas
from bridge.engine.runner import Runner
from bridge.engine.source import World
from bridge.sandbox.platform import Options, platform_sandbox
from tests.support.memory_ledger import MemoryLedger
from tests.support.sim_vendor import wall
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


async def test_the_other_stores_and_the_session_go_on() -> None:
    """Objects are read, what is pushed is stored, and the stream says which store is refused."""
    ledger = MemoryLedger()
    async with platform_sandbox(Options(seed=7, forbidden="models")) as sandbox, HttpClient() as http:
        given: dict[str, Any] = {
            "name": "plant", "adapter": "platform", "base_url": sandbox.url, "login": sandbox.login,
            "password": Secret(sandbox.password, "env SECRET"), "stores": ["objects", "models"],
            "requests_per_minute": 100_000,
        }  # fmt: skip
        adapter = platform.Adapter(platform.Settings(**given))
        source = Sessions(WebSockets(agent="test"), Random(0).random).source(adapter)
        world = World(
            ledger=ledger, http=http, quotas=Quotas(), encode=encode, wall=wall, roll=Random(0).random,
            masker=Masker(), owner={"instance": "test"},
        )  # fmt: skip
        runner = Runner(source, world)

        def told(part: str) -> list[Any]:
            return [entry for entry in ledger.events if part in entry.subject]

        async with anyio.create_task_group() as group:
            group.start_soon(runner.run)
            await wait_until(lambda: bool(told(".source.blocked.")), what="the event")
            assert runner.status.state is State.LIVE
            assert len(told(".object.snapshot.")) == 5
            before = len(ledger.events)
            sandbox.make_change(10)
            await wait_until(
                lambda: any(e.headers["ce-via"] == "live" for e in ledger.events[before:]), what="what is pushed"
            )
            group.cancel_scope.cancel()
    [blocked] = told(".source.")
    assert blocked.data["after"]["walks"] == ["models"]
    assert "let the user or token read this" in blocked.data["after"]["reason"]
    assert sandbox.counters()["forbidden"] == 1
