"""Make before break: a session with the new token is opened and settled before the one with the old token ends."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from bridge.core.backoff import Backoff
from bridge.core.ending import Ending, marked
from bridge.core.errors import BridgeError, Refused, Retry, Unauthorized
from bridge.core.facts import Token
from bridge.core.meter import Meter
from bridge.engine.groups import task_group
from bridge.engine.keeper import TokenKeeper
from bridge.engine.ports import Feed, Offer

OPEN_S = 60.0
"""A session that is not subscribed by then is given up."""
CLOSEST_S = 1.0
"""Handovers are never closer together, however short the tokens live: opening and settling takes that long anyway."""
LINGER_S = 5.0
"""So long the old session stays when the new one has settled, unless that has told something before. Only what it tells
shows that its server listens, which may begin later than we had hoped; quiet vendors show nothing."""
LEAST_S = 1.0
"""And so long in any case: what has told something of one subscription may not listen to another yet."""
EARLY_S = 0.5
"""The old session ends so long before its token does, at the latest."""
TRY_FIRST_S = 0.5
TRY_LONGEST_S = 60.0
"""The back-off for a new session that cannot be opened, while the old one serves."""

log = structlog.get_logger()


class _Session:
    """One session with its token, run as a task; its frames go on to `offer`.

    `good_until`: when its token expires. `tell` is called when it has started, when it tells something for the first
    time, and when it is over.
    """

    def __init__(self, token: Token, good_until: float, offer: Offer, tell: Callable[[], None]) -> None:
        self.token = token
        self.good_until = good_until
        self.scope = anyio.CancelScope()
        self.settled = self.heard = False
        self.error: BridgeError | None = None
        self._offer = offer
        self._tell = tell

    def __call__(
        self, frame: Any, size: int, stored: Callable[[], None] | None = None, traceparent: str | None = None
    ) -> None:
        """See `Offer`."""
        if not self.heard:
            self.heard = True
            self._tell()
        self._offer(frame, size, stored, traceparent)

    @property
    def crowded(self) -> bool:
        """See `Offer`."""
        return self._offer.crowded

    async def room(self) -> None:
        """See `Offer`."""
        await self._offer.room()

    @property
    def behind(self) -> bool:
        """See `Offer`."""
        return self._offer.behind

    def missed(self, reason: str) -> None:
        """See `Offer`."""
        self._offer.missed(reason)

    def started(self, _: Any = None) -> None:
        """See `TaskStatus`."""
        self.settled = True
        self._tell()

    def failed(self) -> bool:
        """Whether it has ended, or never began."""
        return self.error is not None

    def decided(self) -> bool:
        """Whether it has started or failed."""
        return self.settled or self.failed()

    async def run(self, feed: Feed) -> None:
        """Hold it until it ends by itself, with `error`, or its scope is cancelled."""
        with self.scope:
            try:
                await feed.hold(self, task_status=self)
                self.error = Retry("the live session ended without a reason")
            except BridgeError as error:
                self.error = error
            self._tell()


class Handover:
    """Implements `Feed` by sessions that follow one another, each with a token of its own, into the same offer.

    `open` makes one session's feed. No session is opened with a token that has expired. Nothing is lost while two
    sessions overlap; what both deliver is known by its content later. `roll` returns random numbers in [0, 1).
    """

    def __init__(
        self,
        open: Callable[[Token], Feed],
        keeper: TokenKeeper,
        *,
        roll: Callable[[], float] = random.random,
        meter: Meter | None = None,
    ) -> None:
        self._meter = Meter() if meter is None else meter
        self._open = open
        self._keeper = keeper
        self._backoff = Backoff(roll, first=TRY_FIRST_S, longest=TRY_LONGEST_S)
        self._news = anyio.Event()
        self._refused: Token | None = None
        self.handovers = 0
        self.token: Token | None = None
        """The token of the session that serves. After an error: of the one that raised it, to be renewed or not."""

    async def hold(self, offer: Offer, *, task_status: TaskStatus[None]) -> None:
        """Hold a session with a token that is valid now, and replace it whenever the keeper would renew its token.

        A successor that cannot be opened is tried again while the old session serves. Raises what ended the session
        that served, or what kept its successor from opening, if the old one had ended meanwhile.
        """
        async with task_group() as group:
            serving = await self._begin(group, await self._keeper.token(), offer)
            due_at = self._due_at()
            await self._settle(serving)
            self._check(serving)
            task_status.started()
            while True:
                await self._until(serving.failed, due_at)
                self._check(serving)
                try:
                    token = await self._next_token()
                except BridgeError as error:
                    due_at = self._try_again_at(error)
                    continue
                due_at = self._due_at()
                if token is serving.token:
                    # The vendor cannot renew it now, and it is valid still. The keeper has said when to ask again.
                    continue
                successor = await self._begin(group, token, offer)
                await self._settle(successor)
                ended = serving.error
                if successor.error is None and ended is None:
                    await self._overlap(serving, successor)
                if successor.error is not None:
                    if serving.error is not None:
                        self._check(successor)
                    due_at = self._try_again_at(successor.error)
                    self._refused = token if isinstance(successor.error, Unauthorized) else None
                    continue
                if ended is not None:
                    offer.missed(f"the live session ended before its successor listened: {ended}")
                elif offer.behind:
                    offer.missed("the live session was replaced before all was read that it had been told")
                serving.scope.cancel()
                serving, self.token = successor, token
                self.handovers += 1
                self._meter.ended(Ending.HANDOVER)
                self._backoff.reset()

    async def _next_token(self) -> Token:
        refused, self._refused = self._refused, None
        return await (self._keeper.token() if refused is None else self._keeper.renew(refused))

    async def _begin(self, group: TaskGroup, token: Token, offer: Offer) -> _Session:
        expires_in = self._keeper.expires_in
        good_until = float("inf") if expires_in is None else anyio.current_time() + expires_in
        session = _Session(token, good_until, offer, self._tell)
        group.start_soon(session.run, self._open(token))
        return session

    async def _overlap(self, serving: _Session, successor: _Session) -> None:
        """Keep both until the new one has told something, as long as the old one may stay."""
        now, last = anyio.current_time(), serving.good_until - EARLY_S
        await self._until(lambda: successor.failed() or serving.failed(), min(now + LEAST_S, last))
        if not successor.failed() and not serving.failed():
            await self._until(
                lambda: successor.heard or successor.failed() or serving.failed(), min(now + LINGER_S, last)
            )

    async def _settle(self, session: _Session) -> None:
        """Return when the session has started, or failed."""
        await self._until(session.decided, anyio.current_time() + OPEN_S)
        if not session.decided():
            session.scope.cancel()
            error = Retry(f"the live session was not subscribed within {OPEN_S:g} s")
            session.error = marked(error, Ending.UNANSWERED)

    def _check(self, session: _Session) -> None:
        self.token = session.token
        if session.error is not None:
            raise session.error

    def _due_at(self) -> float:
        """When the token that the keeper has just given out is to be renewed. Ask before anything is awaited."""
        renew_in = self._keeper.renew_in
        return float("inf") if renew_in is None else anyio.current_time() + max(renew_in, CLOSEST_S)

    def _try_again_at(self, error: BridgeError) -> float:
        log.warning("session.not_renewed", reason=str(error))
        after = error.after if isinstance(error, Retry | Refused) else None
        return anyio.current_time() + self._backoff.next(at_least=after)

    async def _until(self, condition: Callable[[], bool], deadline: float) -> None:
        """Return when the condition holds, which is asked whenever a session tells, or at the deadline."""
        with anyio.CancelScope(deadline=deadline):
            while not condition():
                self._news = anyio.Event()
                await self._news.wait()

    def _tell(self) -> None:
        self._news.set()
