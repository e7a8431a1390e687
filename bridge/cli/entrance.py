"""Where webhooks come in: the listener, opened when there is a source that takes them, moved and closed by a reload."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from bridge.core.config import IngressSettings

if TYPE_CHECKING:
    from bridge.edge.listener import Listener
    from bridge.engine.hooks import Hooks

log = structlog.get_logger()

Handed = Callable[[], Sequence[socket.socket]]
"""Copies of the sockets that whoever started us has handed over, for the caller to close; none if there are none."""


class Entrance:
    """`hold` keeps what `open` has opened. One listener at a time takes connections."""

    def __init__(self, handed: Handed = lambda: ()) -> None:
        """`handed`: sockets that listen already, in place of `[ingress] listen`."""
        self._handed = handed
        self._group: TaskGroup | None = None
        self._open: _Open | None = None

    @property
    def handed(self) -> bool:
        """Whether we listen now on what was handed over, wherever `[ingress] listen` says."""
        return self._open is not None and self._open.handed

    @property
    def listener(self) -> Listener | None:
        """The listener that takes connections; None where none does."""
        return None if self._open is None else self._open.listener

    async def hold(self, *, task_status: TaskStatus[None]) -> None:
        """Never returns; is cancelled, and then lets requests in flight finish."""
        try:
            async with anyio.create_task_group() as self._group:
                task_status.started()
                await anyio.sleep_forever()
        finally:
            self._group = self._open = None

    async def open(self, settings: IngressSettings, hooks: Hooks) -> None:
        """Take connections. Whichever listener did so before takes none any more, and lets its requests finish.

        Raises what `listening` does, and has changed nothing then.
        """
        assert self._group is not None, "hold has not begun"
        opened: _Open = await self._group.start(_serve, settings, hooks, self._handed())
        self.close()
        self._open = opened

    async def adapt(self, settings: IngressSettings, hooks: Hooks) -> None:
        """Take connections as these settings say, with certificates read anew. Where the address stays, nobody is cut
        off; where it is another, that is opened before the old one is closed. Raises as `open` does.
        """
        if self._open is not None and (self._open.address == settings.listen or self.handed):
            self._open.listener.adjust(settings)
        else:
            await self.open(settings, hooks)

    async def leave(self) -> None:
        """Take nobody in any more. Returns when those who were in have gone, for which the listener has a deadline."""
        opened = self._open
        self.close()
        if opened is not None:
            await opened.left.wait()

    def close(self) -> None:
        """Take nobody in any more. Returns at once."""
        if self._open is not None:
            self._open.leaving.set()
            self._open = None


class _Open:
    def __init__(self, listener: Listener, address: str, left: anyio.Event, *, handed: bool) -> None:
        self.listener = listener
        self.address = address
        self.handed = handed
        self.leaving = anyio.Event()
        self.left = left


async def _serve(
    settings: IngressSettings, hooks: Hooks, sockets: Sequence[socket.socket], *, task_status: TaskStatus[_Open]
) -> None:
    # Only who takes webhooks waits for it.
    from bridge.edge.listener import listening

    left = anyio.Event()
    try:
        async with listening(settings, hooks, sockets=sockets) as listener:
            opened = _Open(listener, settings.listen, left, handed=bool(sockets))
            log.info("webhooks.listening", addresses=list(listener.addresses), sources=list(hooks.doors))
            task_status.started(opened)
            await opened.leaving.wait()
    finally:
        left.set()
