"""The doors that webhooks come in by: verified, handed to the source that runs, confirmed once the ledger has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import anyio
import structlog
from anyio.abc import TaskStatus

from bridge.adapter import HookSession
from bridge.core.errors import Malformed
from bridge.core.hooks import origin
from bridge.core.hooks.keys import VerifyEd25519
from bridge.core.hooks.refusal import Unsupported, Unverified
from bridge.core.hooks.settings import PREFIX
from bridge.core.hooks.verification import Shown
from bridge.core.meter import Meter
from bridge.engine.deliveries import Frames, frames
from bridge.engine.intake import Intake
from bridge.engine.ports import Incoming, Offer, Reply, Wall
from bridge.engine.vigil import SessionStatistics

GRACE_S = 1.0
"""A source that was opened anew within so long is waited for: a hiccup of NATS costs nobody an attempt."""
BEGIN_S = 5.0
"""And one that has not run yet in this process, from the first delivery on: it begins together with the door."""
AGAIN_S = 5
"""When a sender is asked to try again while NATS is away, in seconds."""
SOON_S = 1
"""And where too much is under way."""
MOST_BYTES = 8 << 20
"""With so many under way in one source no more is taken: it, and one body of any size allowed, fit into an inbox."""
MOST_FRAMES = 5_000
"""Events of one delivery, those of batches and lists counted singly. With so many under way no more is taken."""
QUIET_S = 60.0
"""Refusals of a kind are logged so often at most, with how many there were."""

UNVERIFIED = "the delivery could not be verified; the receiver's log says why"
TAKEN = Reply(202)
AWAY = "deliveries cannot be stored now; try again"

log = structlog.get_logger()


class Hooks:
    """Implements `Answer`: `POST /hooks/NAME` for each source that has a door."""

    def __init__(
        self,
        wall: Wall,
        *,
        answer_timeout_s: float = 10.0,
        ed25519: Callable[[], VerifyEd25519] | None = None,
        room: Callable[[], int] = lambda: MOST_BYTES,
    ) -> None:
        """`ed25519`: called once where a key pair is configured; None: there is none. `room`: how many bytes of a body
        the ledger can keep whole in any case, now; a longer one is refused, as it would be confirmed and cut.
        """
        self._wall = wall
        self._room = room
        self._patience_s = answer_timeout_s
        self._ed25519 = ed25519
        self._doors: dict[str, Door] = {}
        self.strays = 0
        """Requests for which there was no door."""

    def door(self, name: str, session: HookSession) -> Door:
        """The door of a source, which is closed until its runner opens it.

        One that stands already is closed and told the new session: what comes from now on must prove itself by that,
        and waits a moment for the next runner.
        """
        ed25519 = self._ed25519() if session.proof.key_pairs and self._ed25519 else None
        if name in self._doors:
            self._doors[name].turn(session, ed25519)
        else:
            self._doors[name] = Door(name, session, self._wall, self._patience_s, ed25519)
        return self._doors[name]

    def remove(self, name: str) -> Door:
        """From now on there is no such door; what it has taken in may still be stored: see `Door.emptied`."""
        return self._doors.pop(name)

    def set_patience(self, seconds: float) -> None:
        """How long deliveries wait to be stored, from the next one on."""
        self._patience_s = seconds
        for door in self._doors.values():
            door.set_patience(seconds)

    async def stop(self) -> None:
        """Take in nothing more, for good: senders are told to try again. Returns when what was taken in is stored.

        Deadlines are the caller's.
        """
        for door in self._doors.values():
            door.stopping = True
        for door in self._doors.values():
            await door.emptied()

    @property
    def doors(self) -> Mapping[str, Door]:
        """By the source's name."""
        return self._doors

    def limit(self, method: str, path: str) -> int | Reply:
        """See `Answer.limit`."""
        door = self._find(path)
        if isinstance(door, Reply):
            self.strays += 1
            return door
        return self._limit(door, method)

    def _limit(self, door: Door, method: str) -> int | Reply:
        limit = door.limit(method)
        if isinstance(limit, Reply):
            door.meter.replied(limit.status)
            return limit
        return min(limit, self._room())

    async def __call__(self, request: Incoming) -> Reply:
        """See `Answer`."""
        door = self._find(request.path)
        if isinstance(door, Reply):
            return door
        # Asked once more: while the body came the door may have been closed.
        limit = self._limit(door, request.method)
        if isinstance(limit, Reply):
            return limit
        begun = anyio.current_time()
        reply = await self._reply(door, request, limit)
        door.meter.replied(reply.status, anyio.current_time() - begun)
        return reply

    async def _reply(self, door: Door, request: Incoming, limit: int) -> Reply:
        if request.method == "OPTIONS":
            return door.consent(request.headers)
        if len(request.body) > limit:
            return door.refused(413, f"the body is longer than {limit} bytes")
        return await door.take(Shown(request.headers, request.query, request.body, request.names))

    def _find(self, path: str) -> Door | Reply:
        name = path.removeprefix(PREFIX)
        door = self._doors.get(name) or self._doors.get(name.removesuffix("/"))
        return door if door is not None and path.startswith(PREFIX) else Reply(404, "no source takes webhooks here")


class Door:
    """One source's. It stands as long as that is configured, and is open while a runner holds it."""

    def __init__(
        self, name: str, session: HookSession, wall: Wall, patience_s: float, ed25519: VerifyEd25519 | None
    ) -> None:
        self.name = name
        self.session = session
        self.statistics = SessionStatistics()
        self.meter = Meter()
        self._wall = wall
        self._patience_s = patience_s
        self._ed25519 = ed25519
        self._intake: Intake | None = None
        self._opened = anyio.Event()
        self._closed_at: float | None = None
        self._refusals: dict[int, tuple[int, float]] = {}
        self._log = log.bind(source=name)
        self.stopping = False

    def turn(self, session: HookSession, ed25519: VerifyEd25519 | None) -> None:
        """Closed, and another session's from now on. What is under way waits for the next opening, as what comes."""
        if self._intake is not None:
            self._shut(self._intake)
        self.session = session
        self._ed25519 = ed25519

    def set_patience(self, seconds: float) -> None:
        """See `Hooks.set_patience`."""
        self._patience_s = seconds

    async def emptied(self) -> None:
        """Returns when nothing is under way in it. Deadlines are the caller's."""
        while (intake := self._intake) is not None and intake.deliveries:
            await intake.settled()

    @property
    def open(self) -> bool:
        """Whether what comes now can be stored, as far as is known."""
        return self._intake is not None

    @contextmanager
    def held(self, offer: Offer) -> Iterator[Intake]:
        """The source runs, and takes what comes, as long as the block does, in which somebody is to `watch` it.

        Then those who wait are told.
        """
        self.statistics.sessions += 1
        self._intake = intake = Intake(offer)
        self._opened.set()
        try:
            yield intake
        finally:
            self._shut(intake)

    def _shut(self, intake: Intake) -> None:
        if self._intake is intake:
            self._intake = None
            self._opened = anyio.Event()
            self._closed_at = anyio.current_time()
        intake.close()

    def limit(self, method: str) -> int | Reply:
        """See `Answer.limit`."""
        if self.session.retired:
            return Reply(410, "this source is no longer wanted: remove it at the sender")
        if method == "OPTIONS" and self.session.allowed_origins:
            return 0
        if method != "POST":
            return Reply(405, "webhooks are posted", {"Allow": self._allow})
        if self.stopping:
            return _later(503, AWAY, AGAIN_S)
        if self._intake is None:
            # Within the grace whoever has sent a body waits a little.
            return self.session.max_body_bytes if self._grace_s > 0 else _later(503, AWAY, AGAIN_S)
        return self._overload(self._intake) or self.session.max_body_bytes

    @property
    def _allow(self) -> str:
        return "POST, OPTIONS" if self.session.allowed_origins else "POST"

    def consent(self, headers: Mapping[str, str]) -> Reply:
        """The answer to OPTIONS."""
        origins = self.session.allowed_origins
        found = origin.permission(headers, () if "*" in origins else origins, self.session.allowed_rate)
        return Reply(found.status, "", found.headers)

    async def take(self, shown: Shown) -> Reply:
        """Verify, store, and only then confirm."""
        try:
            self.session.proof.check(shown, self._wall(), self._ed25519)
        except Unverified as error:
            challenge = self.session.proof.challenge
            return self.refused(401, UNVERIFIED, str(error), {"WWW-Authenticate": challenge} if challenge else {})
        self.statistics.heard(len(shown.body))
        status, text = 202, ""
        try:
            told = frames(self.session, shown)
        except Unsupported as error:
            return self.refused(415, str(error))
        except Malformed as error:
            # It comes from whom it should: what it was meant to tell is kept, for somebody to look at.
            status, text, told = 400, str(error), [error]
            self.statistics.unreadable += 1
        events = sum(1 if isinstance(one, Malformed) else self.session.count(one) for one in told)
        if events > MOST_FRAMES:
            return self.refused(413, f"a batch of {events} events; send at most {MOST_FRAMES} at once")
        if told and (late := await self._store(told, events, len(shown.body))):
            return late
        return TAKEN if status == 202 else self.refused(status, text)

    async def _store(self, told: Frames, events: int, size: int) -> Reply | None:
        """None once all of it is in the ledger. What is stored after we gave up is known when it is repeated."""
        now = anyio.current_time()
        until = now + self._patience_s
        while now < until:
            intake = self._intake
            if intake is None:
                with anyio.CancelScope(deadline=min(until, now + self._grace_s)):
                    await self._opened.wait()
                if (intake := self._intake) is None:
                    if anyio.current_time() >= until:
                        break
                    return _later(503, AWAY, AGAIN_S)
            if crowd := self._overload(intake):
                return crowd
            delivery = intake.offer(told, events, size, until)
            # Bounded by `until`: see `Intake.watch`.
            await delivery.settled.wait()
            if not delivery.left:
                self.statistics.acks += 1
                return None
            now = anyio.current_time()
        return self.refused(503, f"not stored within {self._patience_s:g} s; try again", again_s=AGAIN_S)

    def _overload(self, intake: Intake) -> Reply | None:
        # By what is under way, and not by what comes: a large delivery would never find room among many small ones.
        if intake.deliveries >= self.session.most or intake.events >= MOST_FRAMES or intake.size >= MOST_BYTES:
            return self.refused(429, "too many deliveries under way; try again", again_s=SOON_S)
        return None

    @property
    def _grace_s(self) -> float:
        if self._closed_at is None:
            # Not opened yet: who called while we were started anew has waited for us, and we wait for the source.
            self._closed_at = anyio.current_time() + BEGIN_S - GRACE_S
        return self._closed_at + GRACE_S - anyio.current_time()

    def refused(
        self,
        status: int,
        text: str,
        reason: str = "",
        headers: Mapping[str, str] | None = None,
        *,
        again_s: int | None = None,
    ) -> Reply:
        """The refusal, which is logged: of each status at most once a minute, with how many there were."""
        now = anyio.current_time()
        count, quiet_until = self._refusals.get(status, (0, float("-inf")))
        if now >= quiet_until:
            self._log.warning("webhook.refused", status=status, reason=reason or text, refused=count + 1)
            count, quiet_until = 0, now + QUIET_S
        else:
            count += 1
        self._refusals[status] = (count, quiet_until)
        again = {} if again_s is None else {"Retry-After": str(again_s)}
        return Reply(status, text, {**(headers or {}), **again})


class HookFeed:
    """Implements `Feed`: the door is open while this is held."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def hold(self, offer: Offer, *, task_status: TaskStatus[None]) -> None:
        """See `Feed.hold`. Ends only by cancellation."""
        with self._door.held(offer) as intake:
            task_status.started()
            await intake.watch()


def _later(status: int, text: str, again_s: int) -> Reply:
    return Reply(status, text, {"Retry-After": str(again_s)})
