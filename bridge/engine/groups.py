"""Task groups whose failure is one error again, where the engine knows what to do about it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup

from bridge.core.errors import Away, BridgeError, Refused, Unfit

_WEIGHT = (Unfit, Away, Refused)
"""Which error counts when several tasks fail at once: the one that changes most of what happens next."""


@asynccontextmanager
async def task_group() -> AsyncIterator[TaskGroup]:
    """A task group. If its tasks fail with known conditions only, the weightiest is raised by itself.

    A group that also holds a bug is raised whole.
    """
    try:
        async with anyio.create_task_group() as group:
            yield group
    except BaseExceptionGroup as several:
        others = several.split(BridgeError)[1]
        if others is not None:
            # Only trio tells of a cancellation and of errors at once. The cancellation counts then.
            raise (several if _bugs(others) else others) from None
        known = list(_leaves(several))
        for kind in _WEIGHT:
            for error in known:
                if isinstance(error, kind):
                    raise error from None
        raise known[0] from None


def _bugs(group: BaseExceptionGroup[BaseException]) -> bool:
    return any(not isinstance(error, anyio.get_cancelled_exc_class()) for error in _leaves(group))


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
