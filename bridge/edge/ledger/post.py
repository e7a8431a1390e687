"""Where alerts wait for their channels: durable consumers of the ledger's stream. Implements the engine's `Post`.

Each is a pull consumer with explicit acknowledgements and one message out at a time: so alerts come in order, and what
was not acknowledged comes again, to whichever process works then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import nats.errors
import structlog

from bridge.core.alerts.alert import Alert, read_alert
from bridge.core.errors import Away
from bridge.core.record import Json
from bridge.edge.codec import encode
from bridge.edge.ledger.confirm import confirmed
from bridge.edge.ledger.consumers import (
    CONSUMER_NOT_FOUND,
    ConsumerDiffers,
    ConsumerMissing,
    beginning,
    consumer_config,
    consumer_differences,
    consumer_name,
    is_ours,
)
from bridge.edge.ledger.shape import LedgerNames
from bridge.edge.nats.answers import NoAnswer
from bridge.edge.nats.jetstream import ApiError, JetStream, StreamState
from bridge.edge.nats.pull import Pull
from bridge.events import NotAnEvent, parse

if TYPE_CHECKING:
    from nats.aio.client import Client

DEADLINE_S = 5.0

log = structlog.get_logger()


class JetStreamPost:
    """See `Post`. One per connection, whose callbacks call `disconnected`."""

    def __init__(self, nc: Client, names: LedgerNames | None = None) -> None:
        self._nc = nc
        self._names = names or LedgerNames()
        self._js = JetStream(nc, prefix=self._names.api, deadline_s=DEADLINE_S)
        self._pulls: set[Pull] = set()
        self._floors: dict[str, _Floor] = {}

    def disconnected(self) -> None:
        """The connection is lost: whoever waits for an alert learns it now, and asks anew."""
        for pull in self._pulls:
            pull.give_up()

    @asynccontextmanager
    async def deliveries(self, alert: str, channel: str) -> AsyncIterator[JetStreamDeliveries]:
        """See `Post.deliveries`. Raises ConsumerMissing and ConsumerDiffers too."""
        name = consumer_name(alert, channel)
        pull = Pull(self._nc, f"{self._names.api}.CONSUMER.MSG.NEXT.{self._names.stream}.{name}")
        floor = self._floors.setdefault(name, _Floor())
        place = JetStreamDeliveries(self._nc, self._js, self._names, pull, floor, alert, channel)
        await place.establish()
        async with pull:
            self._pulls.add(pull)
            try:
                yield place
            finally:
                self._pulls.discard(pull)

    async def retain(self, channels: Sequence[tuple[str, str]]) -> Sequence[str]:
        """See `Post.retain`. Removes nothing unless `manage = "create"`."""
        if self._names.manage != "create":
            return []
        kept = {consumer_name(alert, channel) for alert, channel in channels}
        gone = [name for name in await self._consumers() if is_ours(name) and name not in kept]
        for name in gone:
            await self._js.drop_consumer(self._names.stream, name)
        return gone

    async def _consumers(self) -> list[str]:
        found: list[str] = []
        total = 1
        while len(found) < total:
            page = await _call(self._js, f"CONSUMER.NAMES.{self._names.stream}", {"offset": len(found)})
            more = page.get("consumers") or []
            if not more:
                break
            found += more
            total = page.get("total", 0)
        return found


@dataclass(slots=True)
class _Floor:
    """What this process knows of a consumer: in which life of the stream, and what it has told last."""

    created: str = ""
    seq: int = 0


class JetStreamDeliveries:
    """See `Deliveries`."""

    def __init__(
        self,
        nc: Client,
        js: JetStream,
        names: LedgerNames,
        pull: Pull,
        floor: _Floor,
        alert: str,
        channel: str,
    ) -> None:
        self._nc = nc
        self._js = js
        self._names = names
        self._pull = pull
        self._alert = alert
        self._config = consumer_config(alert, channel)
        self._name: str = self._config["name"]
        self._floor = floor
        self._ready = False

    async def establish(self) -> None:
        """Make the consumer if it is missing (`manage = "create"`), and verify it.

        One that vanished while it was used goes on behind what was told last. Raises Away, ConsumerMissing and
        ConsumerDiffers.
        """
        stream, name = self._names.stream, self._name
        life = await self._life()
        if self._names.manage == "create" and (wrong := await confirmed(self._beyond, life.config)):
            log.warning("alert.consumer_remade", consumer=name, reason=wrong)
            await self._js.drop_consumer(stream, name)
            self._floor.seq = 0
        found = await self._look()
        if found is None:
            if self._names.manage != "create":
                raise ConsumerMissing(
                    f'consumer {name} of stream {stream} is missing and nats.manage is "verify": create it as '
                    '`bridged nats-config` prints it, or set nats.manage to "create"'
                )
            start: dict[str, Json] = {}
            if self._floor.created == life.created and self._floor.seq:
                start = {"deliver_policy": "by_start_sequence", "opt_start_seq": self._floor.seq + 1}
                log.warning("alert.consumer_remade", consumer=name, reason="it was removed", after=self._floor.seq)
            else:
                log.info("alert.consumer_made", consumer=name, begins="with what comes from now on")
            found = await self._make({**self._config, **start})
        elif differing := consumer_differences(name, self._config, found["config"]):
            if self._names.manage != "create":
                raise ConsumerDiffers(differing)
            found = await self._make({**self._config, **beginning(found["config"])})
        self._floor.created, self._floor.seq, self._ready = life.created, found["ack_floor"]["stream_seq"], True

    async def next(self, *, wait_s: float) -> JetStreamDelivery | None:
        """See `Deliveries.next`. What is none of our alerts is passed over."""
        if not self._ready:
            await self.establish()
        while True:
            try:
                taken = await self._pull.next(wait_s=wait_s)
            except NoAnswer:
                self._ready = False
                raise
            if taken is None:
                return None
            numbers = _numbers(taken.reply)
            try:
                event = parse(taken.subject, taken.headers, taken.payload)
            except NotAnEvent as error:
                log.warning("alert.unreadable", consumer=self._name, seq=numbers.seq, reason=str(error))
                await self.acknowledge(taken.reply, numbers.seq)
                continue
            at_ms = round(event.observed.timestamp() * 1000)
            alert = read_alert(event.ce_id, self._alert, event.after, traceparent=event.traceparent, at_ms=at_ms)
            return JetStreamDelivery(self, self._nc, alert, numbers, taken.reply)

    async def waiting(self) -> int:
        """See `Deliveries.waiting`."""
        found = await self._look()
        return 0 if found is None else found["num_pending"] + found["num_ack_pending"]

    async def acknowledge(self, reply: str, seq: int) -> None:
        """See `Delivery.ack`. Returns once the kernel has it: a process that is killed then has said it."""
        self._floor.seq = max(self._floor.seq, seq)
        with suppress(nats.errors.Error):
            await self._nc.publish(reply, b"+ACK")
            await self._nc._flush_pending(force_flush=True)

    async def _look(self) -> Json:
        try:
            return await self._js.call(f"CONSUMER.INFO.{self._names.stream}.{self._name}")
        except ApiError as error:
            if error.err_code == CONSUMER_NOT_FOUND:
                return None
            raise Away(f"consumer {self._name} cannot be looked at now: {error}") from None

    async def _beyond(self) -> str:
        """How the consumer shows that the stream has lost its end; "" where it does not."""
        found = await self._look()
        at, end = 0 if found is None else found["delivered"]["stream_seq"], (await self._life()).last_seq
        return f"it has come to {at} in a stream that ends at {end}" if at > end else ""

    async def _life(self) -> StreamState:
        try:
            return await self._js.state(self._names.stream)
        except ApiError as error:
            raise Away(f"the stream cannot be read now: {error}") from None

    async def _make(self, config: dict[str, Json]) -> Json:
        stream = self._names.stream
        subject = f"CONSUMER.CREATE.{stream}.{self._name}.{config['filter_subject']}"
        return await _call(self._js, subject, {"stream_name": stream, "config": config}, walks=True)


class JetStreamDelivery:
    """See `Delivery`."""

    def __init__(self, place: JetStreamDeliveries, nc: Client, alert: Alert, numbers: _Numbers, reply: str) -> None:
        self._place = place
        self._nc = nc
        self._reply = reply
        self._seq = numbers.seq
        self.alert = alert
        self.tries = numbers.tries

    async def ack(self) -> None:
        """See `Delivery.ack`."""
        await self._place.acknowledge(self._reply, self._seq)

    async def nak(self, delay_s: float) -> None:
        """See `Delivery.nak`."""
        await self._say(b"-NAK " + encode({"delay": int(delay_s * 1e9)}))

    async def in_progress(self) -> None:
        """See `Delivery.in_progress`."""
        await self._say(b"+WPI")

    async def _say(self, what: bytes) -> None:
        # Without it the alert comes again after ACK_WAIT_S.
        with suppress(nats.errors.Error):
            await self._nc.publish(self._reply, what)


class _Numbers(NamedTuple):
    tries: int
    seq: int


def _numbers(reply: str) -> _Numbers:
    """How often a message was handed out, and its sequence in the stream: from its reply subject.

    That is `$JS.ACK.<stream>.<consumer>.<tries>.<seq>.<consumer seq>.<time>.<pending>`, or with domain and account
    hash after `ACK`, and a random token at the end.
    """
    tokens = reply.split(".")
    at = 4 if len(tokens) == 9 else 6
    return _Numbers(int(tokens[at]), int(tokens[at + 1]))


async def _call(js: JetStream, subject: str, body: Json, *, walks: bool = False) -> Json:
    try:
        return await js.call(subject, body, walks=walks)
    except ApiError as error:
        raise Away(f"JetStream refuses what alerts need now: {error}") from None
