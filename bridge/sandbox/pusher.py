"""Sends the events of one live session, spoilt by the faults of stage `push`."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import anyio
from anyio.abc import TaskGroup

from bridge.sandbox.dialect import Frame
from bridge.sandbox.executor import Payload
from bridge.sandbox.faults import PUSH, Fault, Faults
from bridge.sandbox.feed import Item
from bridge.sandbox.ledger import Ledger
from bridge.sandbox.odd import ENDING, SHAPES, odd
from bridge.sandbox.socket import Gone

HUGE: Final = 2 * 1024 * 1024


class Outlet(Protocol):
    """Where frames leave. Both raise Gone."""

    async def send(self, frame: Any) -> None: ...
    async def send_raw(self, frame: str | bytes) -> None: ...


class Speech(Protocol):
    """What an event becomes on the wire, and the word for the end. A `Dialect` is one."""

    def data(self, id_: str, payload: Any) -> Frame: ...
    def complete(self, id_: str) -> Frame: ...


@dataclass(frozen=True, slots=True)
class Oddities:
    """What the fault `odd_frame` may send. `shapes`: those drawn from when it names none."""

    shapes: Sequence[str]
    frames: Callable[[str, str], Sequence[str | bytes]]


async def if_there(sending: Awaitable[None]) -> None:
    """Send to a client that may have left."""
    with contextlib.suppress(Gone):
        await sending


class Pusher:
    """Of one session: it holds back at most one event, for the fault `reordered`."""

    def __init__(
        self,
        socket: Outlet,
        dialect: Speech,
        faults: Faults,
        ledger: Ledger,
        failure: Callable[[str, str], dict[str, Any] | None],
        tasks: TaskGroup,
        oddities: Oddities | None = None,
    ) -> None:
        self._socket, self._dialect, self._faults, self._ledger = socket, dialect, faults, ledger
        self._failure = failure
        self._oddities = oddities or Oddities(SHAPES, lambda shape, id_: odd(shape, dialect, id_))  # type: ignore[arg-type]
        self._tasks = tasks
        self._held: tuple[str, Payload, Item] | None = None

    async def push(self, id_: str, payload: Payload, item: Item) -> bool:
        """Send one event, or do what a fault says. False: the operation is over, and the client has been told.

        Raises Gone.
        """
        fault = self._faults.draw(PUSH, "push", ids=frozenset({item.id}))
        if self._held is not None and self._held[2].id == item.id and not (fault and fault.shape == "same"):
            await self._let_go()  # the order of one entity's events is kept
        if fault is None:
            await self._deliver(id_, payload, item)
            await self._let_go()
            return True
        if fault.kind == "withheld":
            return True
        if fault.kind == "reordered" and self._held is None:
            self._held = (id_, payload, item)
            self._tasks.start_soon(self._release, self._held, 0.5 if fault.seconds is None else fault.seconds)
            return True
        if not await self._before(id_, payload, fault):
            return False
        await self._deliver(id_, _altered(payload, fault), item)
        if fault.kind == "pushed_twice":
            await self._deliver(id_, payload, item)
        await self._let_go()
        if fault.kind == "completed":
            await self._socket.send(self._dialect.complete(id_))
        return fault.kind != "completed"

    async def _before(self, id_: str, payload: Payload, fault: Fault) -> bool:
        """What a fault sends before the event. False if the operation cannot go on after it."""
        field = next(iter(payload.get("data") or {"": 0}))
        errors = {"data": None, "errors": [{"message": fault.comment or "Unexpected error value"}]}
        match fault.kind:
            case "failure_pushed":
                failure = self._failure(fault.error or "BackendFailure", fault.comment or "a backend is away")
                await self._socket.send(self._dialect.data(id_, {"data": {field: failure}} if failure else errors))
            case "errors_pushed" if fault.shape != "partial":
                await self._socket.send(self._dialect.data(id_, errors))
            case "null_pushed":
                await self._socket.send(self._dialect.data(id_, {"data": None}))
            case "odd_frame":
                shape = fault.shape or self._faults.rng.choice(self._oddities.shapes)
                for raw in self._oddities.frames(shape, id_):
                    await self._socket.send_raw(raw)
                return shape not in ENDING
        return True

    async def _deliver(self, id_: str, payload: Payload, item: Item) -> None:
        if item.seq:
            self._ledger.pushed([item.seq])  # before any client can have read it
        await self._socket.send(self._dialect.data(id_, payload))

    async def _let_go(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            await self._deliver(*held)

    async def _release(self, held: tuple[str, Payload, Item], seconds: float) -> None:
        await anyio.sleep(seconds)
        if self._held is held:
            await if_there(self._let_go())


def _altered(payload: Payload, fault: Fault) -> Payload:
    if fault.kind == "huge_push":
        return {**payload, "extensions": {"pad": "x" * (HUGE if fault.size is None else fault.size)}}
    if fault.kind == "errors_pushed" and fault.shape == "partial":
        return {**payload, "errors": [{"message": fault.comment or "a part is missing"}]}
    if fault.kind == "with_attachment":
        return {**payload, "attachment": bytes(range(4)) if fault.size is None else bytes(fault.size)}
    return payload
