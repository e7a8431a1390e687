"""A running pcvisit sandbox with a client that is logged in, on a clock the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from bridge.sandbox.pcvisit import Options, pcvisit_sandbox
from tests.sandbox.client import Client

NOW_MS = 1_750_000_000_123


class HandClock:
    """A wall clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms

    def advance(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)


Play = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def play(clock: HandClock) -> Play:
    """`async with play(option=…) as client`: a sandbox on the hand clock, and a client that is logged in."""

    @asynccontextmanager
    async def playing(*, login: bool = True, **options: Any) -> AsyncIterator[Client]:
        options.setdefault("clock", clock)
        async with pcvisit_sandbox(Options(**options)) as sandbox, aiohttp.ClientSession() as http:
            client = Client(sandbox, http)
            if login:
                await client.login()
            yield client

    return playing
