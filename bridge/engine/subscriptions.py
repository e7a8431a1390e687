"""The shell that carries a live GraphQL session: it waits, counts and gives up; the protocol's machine decides.

One feed is one attempt: a fresh socket, a fresh machine, ids that were never used before. Its parts are the reader,
which waits for nothing but the socket, and the watch over the peer's silence. A task and an event cost kilobytes, and
there may be thousands of sessions: whatever else is to be done has a task only while it is done, as subscribing, or
starting an operation again that the server has ended.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from bridge.core.backoff import Backoff
from bridge.core.ending import Ending, marked
from bridge.core.errors import BridgeError, Refused, Retry, Unauthorized
from bridge.core.facts import GraphqlSession, Operation
from bridge.core.url import place
from bridge.core.wire import closing, machines
from bridge.core.wire.moves import Beat, Close, Confirmed, Ended, Move, Next, Odd, Ready, Send
from bridge.engine import courtesy
from bridge.engine.groups import task_group
from bridge.engine.ports import Disconnected, Offer, Socket, Sockets, UpgradeRefused
from bridge.engine.vigil import SessionStatistics, Vigil

CONFIRMING = frozenset({"actioncable-v1-json"})
"""The sub-protocols whose servers say when they have begun to listen: nobody has to wait and hope."""
RESTART_FIRST_S = 1.0
RESTART_LONGEST_S = 60.0
"""The back-off for an operation that the server keeps ending. It starts over once one ran for the longest delay."""
HELD_S = RESTART_LONGEST_S
"""An operation that ran for so long has proved itself."""
UNSTEADY_ENDS = 3
"""An operation that was ended so often in a row is told of: whoever waits for its news must know."""
_ASK = "ask `bridged check --online`"

log = structlog.get_logger()


class GraphqlFeed:
    """Implements `Feed`. Frames are `{"operation": its name, "payload": the GraphQL response object}`.

    `numbers` gives the operations' ids and must be shared by all feeds of the process. `statistics` may be shared by
    sessions that follow one another. `roll` returns random numbers in [0, 1), for the back-off of operations.
    """

    def __init__(
        self,
        session: GraphqlSession,
        sockets: Sockets,
        numbers: Iterator[int],
        *,
        statistics: SessionStatistics | None = None,
        roll: Callable[[], float] = random.random,
    ) -> None:
        self.statistics = statistics or SessionStatistics()
        self._session = session
        self._sockets = sockets
        self._numbers = numbers
        self._roll = roll

    async def hold(self, offer: Offer, *, task_status: TaskStatus[None]) -> None:
        """Connect and subscribe, settle, `task_status.started()`, then offer every result until the session ends.

        Results are offered from the first start on. Never returns normally: raises Retry, Unauthorized or Refused,
        by what happens next. Once cancelled it says good-bye and closes the socket, within `courtesy.LEAVE_S`.
        """
        session = self._session
        try:
            async with self._sockets.connect(session) as socket:
                self.statistics.sessions += 1
                self.statistics.off = {}
                await _Holding(session, socket, offer, self.statistics, self._numbers, self._roll).run(task_status)
        except UpgradeRefused as error:
            raise closing.upgrade_refused(error.status, error.headers, error.subprotocol, session) from None


@dataclass(slots=True)
class _Run:
    """An operation under one id: from one start to the server's end of it."""

    operation: Operation
    backoff: Backoff
    id: str
    since: float
    settled: bool = False
    """Confirmed or ended."""
    ended: bool = False
    error: BridgeError | None = None
    tended: bool = True
    """Whether a task looks after it, which will see its end."""


class _Holding:
    """One open connection, from the greeting to the good-bye."""

    _group: TaskGroup

    def __init__(
        self,
        session: GraphqlSession,
        socket: Socket,
        offer: Offer,
        statistics: SessionStatistics,
        numbers: Iterator[int],
        roll: Callable[[], float],
    ) -> None:
        self._session = session
        self._socket = socket
        self._offer = offer
        self._statistics = statistics
        self._numbers = numbers
        self._roll = roll
        self._machine = machines.make(session)
        self._vigil = Vigil(session.beat_timeout_s, session.idle_timeout_s, statistics)
        self._log = log.bind(session=place(session.url))
        self._where = f"live session with {place(session.url)}"
        self._ready = False
        self._unanswered = 0
        self._news: anyio.Event | None = None
        """Set by whatever may end a wait; there only while somebody waits."""
        self._runs: dict[str, _Run] = {}
        self._off: set[str] = set()
        self._ending: Close | None = None
        self._gone = False

    async def run(self, task_status: TaskStatus[None]) -> None:
        """See `GraphqlFeed.hold`."""
        greeting = self._machine.opened()
        try:
            async with task_group() as group:
                self._group = group
                group.start_soon(self._subscribe, greeting, task_status)
                group.start_soon(self._watch)
                await self._read()
        finally:
            for run in self._runs.values():
                self._note_age(run)
            await self._leave()

    # --- the parts ---

    async def _subscribe(self, greeting: Sequence[Move], task_status: TaskStatus[None]) -> None:
        for move in greeting:
            await self._make(move, 0)
        await self._be_accepted()
        runs = [await self._start(operation) for operation in self._session.operations]
        await self._settle(runs)
        task_status.started()
        for run in runs:
            self._group.start_soon(self._tend, run)

    async def _read(self) -> None:
        session, machine, vigil = self._session, self._machine, self._vigil
        while True:
            try:
                frame, size, problem = await self._socket.receive()
            except Disconnected as gone:
                self._gone = True
                raise closing.closed(gone.code, gone.reason, session) from None
            vigil.heard(size)
            for move in machine.unreadable(problem) if problem else machine.received(frame):
                await self._make(move, size)
            # Answers that are waited for must not lie unread.
            if self._offer.crowded and not self._unanswered:
                await vigil.away(self._offer.room())

    async def _watch(self) -> None:
        raise marked(Retry(f"{self._where}: {await self._vigil.expire()}"), Ending.SILENT)

    async def _tend(self, run: _Run) -> None:
        """Start an operation again until it runs, unless it was refused."""
        name = run.operation.name
        while run.ended:
            error = run.error
            if isinstance(error, Refused):
                return
            if anyio.current_time() - run.since >= HELD_S:
                run.backoff.reset()
            delay_s = run.backoff.next(at_least=error.after if isinstance(error, Retry) else None)
            if run.backoff.failures >= UNSTEADY_ENDS:
                self._doubt(run)
            await anyio.sleep(delay_s)
            run = await self._start(run.operation, run.backoff)
            self._statistics.resubscriptions += 1
            await self._settle([run])
            if not run.ended:
                self._offer.missed(
                    f"{self._where}: the server ended operation {name} ({error or 'without a reason'}), "
                    "which has been started again"
                )
            if name in self._statistics.off:
                with anyio.move_on_after(max(0.0, run.since + HELD_S - anyio.current_time())):
                    await self._until(lambda run=run: run.ended)  # type: ignore[misc]
                if not run.ended:
                    del self._statistics.off[name]
                    self._log.info("session.operation_steady", operation=name)
        run.tended = False

    def _doubt(self, run: _Run) -> None:
        """The server ends an operation again and again: it is said once, and what is read must do meanwhile."""
        name, ends = run.operation.name, run.backoff.failures
        reason = f"the server has ended it {ends} times in a row: {run.error or 'without a reason'}"
        told = name in self._statistics.off
        self._statistics.off[name] = reason
        if not told:
            self._log.warning(
                "session.operation_unsteady", operation=name, reason=reason,
                advice=f"{_ASK}; it is started again all the same, at least once a minute",
            )  # fmt: skip
            self._offer.missed(f"{self._where}: operation {name} does not run: {reason}")

    # --- steps ---

    async def _be_accepted(self) -> None:
        patience_s = self._session.ack_timeout_s
        with anyio.move_on_after(patience_s), self._to_be_answered():
            await self._until(lambda: self._ready)
        if not self._ready:
            text = (
                f"{self._where}: the server has not accepted the session within {patience_s:g} s; "
                f"check that it speaks {self._session.subprotocol}"
            )
            raise marked(Retry(text), Ending.UNANSWERED)

    async def _start(self, operation: Operation, backoff: Backoff | None = None) -> _Run:
        if self._ending is not None:
            # The reader has just ended the session; this task has not been told yet.
            raise self._ending.error
        if backoff is None:
            backoff = Backoff(self._roll, first=RESTART_FIRST_S, longest=RESTART_LONGEST_S)
        run = _Run(operation, backoff, str(next(self._numbers)), anyio.current_time())
        # Known before it is sent: the answer may be read before sending returns.
        self._runs[run.id] = run
        for move in self._machine.start(run.id, operation):
            await self._make(move, 0)
        return run

    async def _settle(self, runs: Sequence[_Run]) -> None:
        """Wait until the server listens, or should."""
        if self._session.subprotocol not in CONFIRMING:
            await anyio.sleep(self._session.settle_s)
            return
        # Rails confirms some milliseconds before it listens, so the pause is needed here, too.
        with anyio.move_on_after(self._session.ack_timeout_s), self._to_be_answered():
            await self._until(lambda: all(run.settled for run in runs))
        missing = ", ".join(run.operation.name for run in runs if not run.settled)
        if missing:
            text = f"{self._where}: not confirmed within {self._session.ack_timeout_s:g} s: {missing}"
            raise marked(Retry(text), Ending.UNANSWERED)
        await anyio.sleep(self._session.settle_s)

    @contextmanager
    def _to_be_answered(self) -> Iterator[None]:
        self._unanswered += 1
        try:
            yield
        finally:
            self._unanswered -= 1

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that a move brings about."""
        while not condition():
            self._news = self._news or anyio.Event()
            await self._news.wait()

    def _tell(self) -> None:
        if self._news is not None:
            self._news.set()
            self._news = None

    async def _make(self, move: Move, size: int) -> None:
        """Do what a move says. `size`: of the frame that it came from."""
        match move:
            case Next():
                if (run := self._runs.get(move.id)) is not None:
                    self._offer({"operation": run.operation.name, "payload": move.payload}, size)
            case Beat():
                self._vigil.beat()
            case Send():
                await self._send(move)
            case Ready():
                self._ready = True
                self._tell()
            case Confirmed():
                if (run := self._runs.get(move.id)) is not None:
                    run.settled = True
                    self._tell()
            case Ended():
                if (run := self._runs.pop(move.id, None)) is not None:
                    self._end(run, move.error)
            case Odd():
                self._statistics.odd += 1
                self._log.debug("session.odd", what=move.what)
            case Close():
                self._ending = move
                raise move.error

    def _end(self, run: _Run, error: BridgeError | None) -> None:
        """The server has ended an operation. Raises what ends the session, too."""
        run.error = error
        run.settled = run.ended = True
        self._tell()
        name = run.operation.name
        self._note_age(run)
        if isinstance(error, Unauthorized):
            error = run.error = self._forbidden(name, error)
        if isinstance(error, Refused):
            self._off.add(name)
            self._statistics.off[name] = str(error)
            self._log.warning("session.operation_off", operation=name, reason=str(error), advice=_ASK)
            if len(self._off) == len(self._session.operations):
                raise Refused(f"{self._where}: every operation is refused, at last {name}: {error}", after=error.after)
        if not run.tended:
            run.tended = True
            self._group.start_soon(self._tend, run)

    def _forbidden(self, name: str, error: Unauthorized) -> Refused:
        """The token does not do for one operation. Raises what makes the engine renew it, unless that was no use.

        Then only this operation is refused, as long as there are others: they need not suffer for it.
        """
        others = len(self._off | {name}) < len(self._session.operations)
        if others and name in self._statistics.renewed_for:
            return Refused(f"{error}; and so with a new token: the credentials may not do this")
        self._statistics.renewed_for.update(operation.name for operation in self._session.operations)
        raise error

    def _note_age(self, run: _Run) -> None:
        """Whoever ran for long had a token that did; if it does no longer, it has merely expired."""
        if anyio.current_time() - run.since >= HELD_S:
            self._statistics.renewed_for.discard(run.operation.name)

    async def _send(self, move: Send) -> None:
        await courtesy.send(self._socket.send(move.frame), self._where)

    async def _leave(self) -> None:
        code = 1000 if self._ending is None else self._ending.code
        await courtesy.leave(self._socket, None if self._gone else self._say_goodbye, code)

    async def _say_goodbye(self) -> None:
        for move in self._machine.leave():
            if isinstance(move, Send):
                await self._socket.send(move.frame)
