"""Alerts of one stream: decided and delivered by whoever holds their lease, for ever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import anyio
import structlog

from bridge.core import own
from bridge.core.alerts.decision import Machine
from bridge.core.backoff import Backoff
from bridge.core.errors import Away, Unfit
from bridge.core.lease import LeaseLost
from bridge.core.span import Origin
from bridge.engine.alert_ports import Channel, Post, Trails
from bridge.engine.courier import Courier, CourierStatus
from bridge.engine.decider import Decider
from bridge.engine.groups import task_group
from bridge.engine.pulse import OPEN_S, STORE_S
from bridge.engine.source import World
from bridge.engine.tenancy import Lease, LeasedBook

NAME = "alerts"
"""The lease's, the owner record's and the cursor's. No source may be called so beside alerts."""
PROVEN_S = 600.0
"""Alerts that have run for this long start their back-off over, in seconds."""

UNFIT_S = 60.0
"""How long until alerts that came while others ran, and that the server lacks something for, are tried again."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alert: the machine that decides, and the channels that are told. Their names differ.

    `alone`: every decision about one event follows from that event alone, neither from others nor from the time.
    """

    machine: Machine
    channels: Sequence[Channel]
    alone: bool = False


class Alerts:
    """`run` never returns; it is cancelled. What befalls a channel costs no other anything."""

    def __init__(self, alarms: Sequence[Alarm], trails: Trails, post: Post, world: World) -> None:
        self._post = post
        self._world = world
        self._beat = world.pulse.of(NAME)
        self._tracer = None if world.tracing is None else world.tracing.of(Origin(own.VENDOR, NAME))
        alone = [alarm.machine.name for alarm in alarms if alarm.alone]
        self._decider = Decider([alarm.machine for alarm in alarms], trails, world, self._tracer, alone=alone)
        self._couriers = [
            Courier(
                alarm.machine.name,
                channel,
                post,
                wall=world.wall,
                roll=world.roll,
                masker=world.masker,
                beat=self._beat,
                tracer=self._tracer,
            )
            for alarm in alarms
            for channel in alarm.channels
        ]
        self._backoff = Backoff(world.roll, first=0.1, longest=5.0)
        self._bug_backoff = Backoff(world.roll, first=5.0, longest=300.0)
        self.holder = ""
        """Who holds the lease instead of us, as far as we know."""
        self.bugs = 0

    @property
    def decider(self) -> Decider:
        """What decides; for its counters."""
        return self._decider

    def statuses(self) -> list[CourierStatus]:
        """Every channel as it is, in the order of the configuration."""
        return [courier.status for courier in self._couriers]

    async def run(self) -> None:
        """Decide and deliver until cancelled, while the lease is ours, and stand by otherwise. Raises Unfit."""
        while True:
            started = anyio.current_time()
            try:
                await self._run()
            except Unfit:
                raise
            except Exception:
                self.bugs += 1
                if anyio.current_time() - started >= PROVEN_S:
                    self._bug_backoff.reset()
                pause = self._bug_backoff.next()
                log.exception("alerts.bug", restart_in_s=round(pause, 1), advice="please report this")
                await anyio.sleep(pause)

    async def run_beside(self) -> None:
        """The same for those that came while others ran: what only an operator can change is said, and ends nobody."""
        said = ""
        while True:
            try:
                await self.run()
            except Unfit as error:
                if str(error) != said:
                    said = str(error)
                    log.error("alerts.unfit", reason=said, again_every_s=UNFIT_S)  # noqa: TRY400 - no bug: a trace says nothing
                await anyio.sleep(UNFIT_S)

    async def _run(self) -> None:
        while True:
            try:
                lease = await self._world.tenancies.take(NAME, self._held)
                self.holder = ""
                try:
                    async with task_group() as group:
                        group.start_soon(lease.keep)
                        await self._own(lease)
                finally:
                    await lease.release()
            except LeaseLost as error:
                log.warning("alerts.lease_lost", reason=str(error))
            except Away as error:
                await self._away(error)

    def _held(self, holder: str) -> None:
        if holder != self.holder:
            log.info("alerts.standby", holder=holder)
        self.holder = holder

    async def _own(self, lease: Lease) -> None:
        """Work, through every absence of NATS that is shorter than the lease. Raises LeaseLost and Unfit."""
        while True:
            try:
                lease.check()
                with self._beat.busy("preparing its channels", STORE_S):
                    await self._prepare()
                break
            except LeaseLost:
                raise
            except Away as error:
                await self._away(error)
        async with task_group() as group:
            for courier in self._couriers:
                group.start_soon(courier.run)
            await self._decide(lease)

    async def _prepare(self) -> None:
        """Every channel has its place before the first decision is stored: none is missed by it."""
        for courier in self._couriers:
            async with self._post.deliveries(courier.status.alert, courier.status.channel):
                pass
        kept = [(courier.status.alert, courier.status.channel) for courier in self._couriers]
        if gone := await self._post.retain(kept):
            log.warning("alerts.let_go", consumers=list(gone), reason="the configuration no longer has these channels")

    async def _decide(self, lease: Lease) -> None:
        owner = {**self._world.owner, "since_ms": self._world.wall()}
        while True:
            try:
                lease.check()
                with self._beat.busy("reading what the stream knows", OPEN_S):
                    book = await self._world.ledger.open(own.VENDOR, NAME, owner)
                self._backoff.reset()
                await self._decider.run(LeasedBook(book, lease, beat=self._beat, tracer=self._tracer))
            except LeaseLost:
                raise
            except Away as error:
                await self._away(error)

    async def _away(self, error: Away) -> None:
        log.debug("alerts.away", reason=str(error))
        await anyio.sleep(self._backoff.next())
        await self._world.ledger.wait_ready()
