"""What all played vendors have in common: ledger, pace, faults, control interface, live sessions."""

from __future__ import annotations

import abc
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sized
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import anyio

from bridge.sandbox.control import PREFIX, control
from bridge.sandbox.delivery import Exchange, Receive, Send
from bridge.sandbox.faults import Faults
from bridge.sandbox.ledger import Change, Clock, Ledger
from bridge.sandbox.serving import serving
from bridge.sandbox.setup import Setup


def wall_ms() -> int:
    """Milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


class PlayerOptions(Protocol):
    """The options every sandbox has, beside those of `live.LiveOptions`."""

    seed: int
    rate: float
    port: int
    tls: tuple[Path, Path] | None

    @property
    def clock(self) -> Clock: ...


class World(Protocol):
    """What a sandbox is about."""

    @property
    def ledger(self) -> Ledger: ...
    def change(self, kind: str = "") -> Change: ...
    def state(self) -> Mapping[str, Mapping[str, Any]]: ...


class Sessions(Protocol):
    """The live half of a sandbox, as far as all are alike."""

    down_until: float
    """When a restart is over, on the event loop's clock."""

    @property
    def sessions(self) -> Sized: ...
    @property
    def opened(self) -> int: ...
    @property
    def refused(self) -> int: ...
    @property
    def down(self) -> bool: ...
    def drop(self, code: int = 1012) -> int: ...


class Player(abc.ABC):
    """A played vendor: an ASGI application that keeps an honest ledger. `live` is set by the vendor's `__init__`."""

    vendor: ClassVar[str]
    pushes: ClassVar[bool] = True
    """Whether it has a live half; without one it is polled only."""
    unchangeable: ClassVar[frozenset[str]] = frozenset({"seed", "rate", "port", "tls", "clock"})

    def __init__(self, options: Any, world: World) -> None:
        self.options = options
        self.world: Any = world
        self.base_url = ""
        self.faults = Faults(seeded(options, "faults"))
        self.closing = anyio.Event()
        self.live: Sessions
        self._counters: Counter[str] = Counter()
        self._rate: float = options.rate
        self._rate_set = anyio.Event()

    # What a vendor adds.

    @abc.abstractmethod
    async def answer(self, exchange: Exchange) -> None:
        """Answer an HTTP request that is none of the control interface's."""

    @abc.abstractmethod
    def announce(self, change: Change) -> None:
        """Push a change that has just been made to those who subscribed."""

    @abc.abstractmethod
    async def upgrade(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one WebSocket from its upgrade request to its end."""

    @abc.abstractmethod
    def describe(self) -> dict[str, Any]:
        """What a client needs to know: addresses, credentials, tenants, and what `setup` says."""

    @abc.abstractmethod
    def setup(self) -> Setup:
        """The configuration of a source that reads this sandbox and listens to it."""

    def issued(self, since: int = 0) -> Mapping[str, Any]:  # noqa: ARG002  # most have nothing besides
        """What was issued besides the ledger's changes, after number `since`."""
        return {}

    def revoke_tokens(self) -> None:
        """Every token handed out so far is refused from now on. A vendor that hands out any says how."""
        raise ValueError(f"{self.vendor} cannot revoke tokens")

    # What all have.

    @property
    @abc.abstractmethod
    def url(self) -> str:
        """Where requests go."""

    @property
    def ledger(self) -> Ledger:
        """Every change so far."""
        ledger: Ledger = self.world.ledger
        return ledger

    def make_change(self, n: int = 1, kind: str = "") -> list[Change]:
        """Make n changes now, of one kind or of those the seed decides, and push them. See the world's `change`."""
        made = []
        for _ in range(n):
            change = self.world.change(kind)
            made.append(change)
            self.announce(change)
        return made

    def state(self) -> Mapping[str, Mapping[str, Any]]:
        """What the vendor holds now: records by tenant and id."""
        state: Mapping[str, Mapping[str, Any]] = self.world.state()
        return state

    def counters(self) -> dict[str, Any]:
        """How often what happened; what is absent never did. The vendor adds its own.

        `requests`, `pages`, `rows`, `unfinished` (answers that did not leave in full), `changes`, `sockets` (open),
        `sockets_opened`, `sockets_refused`, and `faults` by kind.
        """
        live = self.live
        sockets = {"sockets": len(live.sessions), "sockets_opened": live.opened, "sockets_refused": live.refused}
        return {
            **self._counters,
            **{name: count for name, count in sockets.items() if count},
            "changes": len(self.ledger),
            "faults": dict(self.faults.served),
        }

    def set_rate(self, changes_per_s: float) -> None:
        """Changes per second that happen by themselves; 0 stops them."""
        if not 0 <= changes_per_s <= 10_000:
            raise ValueError("changes per second must be between 0 and 10000")
        self._rate = changes_per_s
        self._rate_set.set()
        self._rate_set = anyio.Event()

    def drop_sockets(self, code: int = 1012) -> int:
        """Close every socket at once (1006: cut it); how many there were."""
        return self.live.drop(code)

    def restart(self, seconds: float = 0.0, code: int = 1012) -> int:
        """A restart of the vendor: every socket is closed at once, and all is answered with 503 for so long."""
        self.live.down_until = anyio.current_time() + seconds
        return self.live.drop(code)

    def acks(self, since: int = 0) -> Mapping[str, Any]:  # noqa: ARG002  # most ask for none
        """Which pushed events clients acknowledged, in order, after the first `since` of them."""
        return {"asked": 0, "acknowledged": [], "last": 0}

    def alter(self, options: Mapping[str, Any]) -> None:
        """Change options while it runs. Raises ValueError for those it does not have, or cannot change."""
        known = {field.name for field in fields(self.options)} - self.unchangeable
        if unknown := set(options) - known:
            raise ValueError(f"no option {', '.join(sorted(unknown))}; there are: {', '.join(sorted(known))}")
        before = {name: getattr(self.options, name) for name in options}
        try:
            for name, value in options.items():
                setattr(self.options, name, value)
            self.options.__post_init__()
        except (TypeError, ValueError):
            for name, value in before.items():
                setattr(self.options, name, value)
            raise

    async def keep_changing(self) -> None:
        """Make changes at the rate that is set, for ever."""
        due, last = 0.0, anyio.current_time()
        while True:
            with anyio.move_on_after(max(0.02, 1 / self._rate) if self._rate else None):
                await self._rate_set.wait()
                due, last = 0.0, anyio.current_time()
                continue
            now = anyio.current_time()
            due = min(due + (now - last) * self._rate, max(1.0, self._rate))
            last = now
            # Half a change of slack: the timer may fire a moment early.
            count = int(due + 0.5)
            self.make_change(max(0, count))
            due -= count

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] == "websocket":
            await self.upgrade(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send, self.closing)
        if exchange.path.startswith(PREFIX):
            await control(self, exchange)
        elif self.live.down:
            await exchange.deliver(b"Service Unavailable", status=503, kind="text/plain")
        else:
            await self.answer(exchange)


P = TypeVar("P", bound=Player)


@asynccontextmanager
async def played(player: P) -> AsyncIterator[P]:
    """A sandbox that serves while the block runs. Needs the asyncio backend."""
    options: PlayerOptions = player.options
    async with (
        serving(player, port=options.port, tls=options.tls) as base_url,
        anyio.create_task_group() as tasks,
    ):
        player.base_url = base_url
        tasks.start_soon(player.keep_changing)
        try:
            yield player
        finally:
            player.closing.set()
            tasks.cancel_scope.cancel()


def seeded(options: PlayerOptions, purpose: str) -> random.Random:
    """One stream of chance for each purpose: a fault drawn does not alter which changes come."""
    return random.Random(f"{options.seed}:{purpose}")  # noqa: S311  # guessable on purpose: tests repeat it
