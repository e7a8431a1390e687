"""A second look before the stream is said to have lost something.

A leader that was paused answers, when it wakes, as of the moment it stopped, until it hears that there is another; a
new one may answer before it has applied all that was stored. Either looks like loss, for a moment.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from bridge.core.record import Json

LOOKS = 3
AGAIN_S = 1.0
"""Between two looks. A woken leader hears of the other from its next heartbeat, well within a second."""


async def confirmed(look: Callable[[], Awaitable[str]], config: Json) -> str:
    """What `look` finds wrong with a stream of this `config`; "" as soon as a look finds nothing.

    Without replicas there is nobody who could be mistaken: one look counts. Raises what `look` raises.
    """
    wrong = await look()
    for _ in range(LOOKS - 1 if replicated(config) else 0):
        if not wrong:
            break
        await anyio.sleep(AGAIN_S)
        wrong = await look()
    return wrong


def replicated(config: Json) -> bool:
    """Whether a stream of this configuration has replicas. Pure."""
    return (config.get("num_replicas") or 1) > 1
