"""What every live session does alike, whatever it speaks: send with a deadline, and leave politely within a budget."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio

from bridge.core.errors import Retry
from bridge.engine.ports import Disconnected, Socket

SEND_S = 10.0
"""What we send is short: a peer that does not take it for so long does not read at all."""
FAREWELL_S = 0.5
"""For saying good-bye; the rest of `LEAVE_S` is for closing."""
LEAVE_S = 2.0
"""How long leaving takes at most, whatever the peer does."""


async def send(sending: Awaitable[None], where: str, within_s: float = SEND_S) -> None:
    """Wait until it is sent. Raises Retry, which names `where`, when the peer has not taken it `within_s` seconds.

    A peer that is gone is no error here: the reader finds out, and why, after what it still has to read.
    """
    try:
        with anyio.fail_after(within_s):
            await sending
    except TimeoutError:
        raise Retry(f"{where}: the server has not read what we sent for {within_s:g} s") from None
    except Disconnected:
        return


async def leave(socket: Socket, farewell: Callable[[], Awaitable[None]] | None, code: int) -> None:
    """Say good-bye (None: nothing is said) and close with this code, within `LEAVE_S`; also when cancelled."""
    with anyio.move_on_after(LEAVE_S, shield=True):
        if farewell is not None:
            with anyio.move_on_after(FAREWELL_S), suppress(Disconnected):
                await farewell()
        await socket.close(code)
