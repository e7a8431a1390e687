"""Brings the alerts of one rule to one channel: in order, one at a time, each until the channel has taken it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import anyio
import anyio.lowlevel
import structlog

from bridge.core.alerts.alert import Alert
from bridge.core.alerts.patience import delay_s
from bridge.core.backoff import Backoff
from bridge.core.errors import Away, Refused, Retry
from bridge.core.event import timestamp
from bridge.core.secret import Masker
from bridge.engine.alert_ports import Channel, Deliveries, Delivery, Post
from bridge.engine.ports import Wall
from bridge.engine.pulse import SILENT, SLACK_S, Beat
from bridge.engine.tracing import Tracer

SEND_S = 15.0
"""How long a channel may take for one alert."""
GRACE_S = 5.0
"""How much longer it is given before it is given up from outside: it was to keep to its time by itself."""
PROGRESS_S = 2.0
"""How often the server is told that an alert is still in work."""
REMEMBERED = 1_000
"""So many alerts that were told last are known by their ids."""
IDLE_S = 30.0
"""How long one question for the next alert waits."""

log = structlog.get_logger()


@dataclass(slots=True)
class CourierStatus:
    """How one channel is. `failing_since_ms`: since when nothing gets through, milliseconds since the Unix epoch.

    `told`: how many alerts it has taken; `failures`: how many attempts in a row it has not, `failed`: how many in all;
    `reason`: why.
    """

    alert: str
    channel: str
    told: int = 0
    failures: int = 0
    failed: int = 0
    failing_since_ms: int | None = None
    reason: str = ""
    refused: bool = False


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: str
    refused: bool = False
    after: float | None = None


class Courier:
    """Of one channel. `run` never returns; it is cancelled. An attempt that was begun then still comes to its end."""

    def __init__(
        self,
        alert: str,
        channel: Channel,
        post: Post,
        *,
        wall: Wall,
        roll: Callable[[], float],
        masker: Masker,
        beat: Beat = SILENT,
        tracer: Tracer | None = None,
    ) -> None:
        self._alert = alert
        self._channel = channel
        self._post = post
        self._beat = beat
        self._tracer = tracer
        self._wall = wall
        self._roll = roll
        self._masker = masker
        self._backoff = Backoff(roll, first=0.1, longest=5.0)
        self._told: dict[str, None] = {}
        self._log = log.bind(alert=alert, channel=channel.name)
        self.status = CourierStatus(alert, channel.name)

    async def run(self) -> None:
        """Deliver for ever, through every absence of NATS. Raises Unfit."""
        while True:
            try:
                async with self._post.deliveries(self._alert, self._channel.name) as deliveries:
                    await self._work(deliveries)
            except Away as error:
                self._log.debug("alert.waits", reason=str(error))
                await anyio.sleep(self._backoff.next())

    async def _work(self, deliveries: Deliveries) -> None:
        while True:
            with self._beat.busy(f"asking what to tell {self._channel.name}", IDLE_S + SLACK_S):
                delivery = await deliveries.next(wait_s=IDLE_S)
            self._backoff.reset()
            if delivery is not None:
                # Whoever is told to stop finishes this one first: it would be told a second time.
                with anyio.CancelScope(shield=True):
                    await self._deliver(delivery)
            await anyio.lowlevel.checkpoint()

    async def _deliver(self, delivery: Delivery) -> None:
        id_ = delivery.alert.id
        if id_ not in self._told:
            if not await self._send(delivery):
                return
            self._well()
            self._told[id_] = None
            if len(self._told) > REMEMBERED:
                del self._told[next(iter(self._told))]
        # One that comes again has been told: the server has not heard of it, and only that has to be said again.
        await delivery.ack()

    async def _send(self, delivery: Delivery) -> bool:
        async with anyio.create_task_group() as group:
            group.start_soon(_progress, delivery)
            begun_ns = 0 if self._tracer is None else self._tracer.now_ns
            failure = await self._attempt(delivery.alert)
            if self._tracer is not None:
                error = "" if failure is None else "refused" if failure.refused else "undelivered"
                self._tracer.alerted(
                    self._alert,
                    self._channel.name,
                    delivery.alert.id,
                    delivery.tries,
                    delivery.alert.traceparent,
                    begun_ns=begun_ns,
                    error=error,
                )
            group.cancel_scope.cancel()
        if failure is None:
            return True
        wait_s = delay_s(delivery.tries, self._roll(), refused=failure.refused, after=failure.after)
        self._failed(self._masker.mask(failure.reason), failure.refused, wait_s)
        await delivery.nak(wait_s)
        return False

    async def _attempt(self, alert: Alert) -> _Failure | None:
        try:
            telling = self._beat.busy(f"telling {self._channel.name}", SEND_S + GRACE_S + SLACK_S)
            with telling, anyio.fail_after(SEND_S + GRACE_S):
                await self._channel.send(alert, timeout_s=SEND_S)
        except Retry as error:
            return _Failure(str(error), after=error.after)
        except Refused as error:
            return _Failure(str(error), refused=True, after=error.after)
        except TimeoutError:
            return _Failure(f"no answer within {SEND_S + GRACE_S:g} s")
        except Exception as error:  # noqa: BLE001 - it is logged once, and the alert is kept
            # Whatever a channel's library does, it costs nobody else anything.
            if not self.status.failures:
                self._log.exception("alert.bug", advice="please report this; the alert is kept and tried again")
            return _Failure(f"an error of ours ({type(error).__name__})")
        return None

    def _failed(self, reason: str, refused: bool, wait_s: float) -> None:
        status, now_ms = self.status, self._wall()
        news = not status.failures or (reason, refused) != (status.reason, status.refused)
        status.failures += 1
        status.failed += 1
        status.reason, status.refused = reason, refused
        if status.failing_since_ms is None:
            status.failing_since_ms = now_ms
        if news:
            self._log.warning(
                "alert.refused" if refused else "alert.undelivered",
                reason=reason,
                since=timestamp(status.failing_since_ms),
                again=timestamp(now_ms + round(wait_s * 1000)),
                advice="nothing is lost: it is tried again until the channel takes it",
            )

    def _well(self) -> None:
        status = self.status
        status.told += 1
        if status.failing_since_ms is not None:
            self._log.info("alert.delivered", since=timestamp(status.failing_since_ms), attempts=status.failures + 1)
        status.failures, status.failing_since_ms, status.reason, status.refused = 0, None, "", False


async def _progress(delivery: Delivery) -> None:
    while True:
        await anyio.sleep(PROGRESS_S)
        await delivery.in_progress()
