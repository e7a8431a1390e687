"""The stream as memory and outlet: implements the engine's `Ledger` over one NATS connection."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import anyio
import structlog

from bridge.core.errors import Away
from bridge.core.record import Json
from bridge.core.subject import TELEMETRY, owner_subject
from bridge.edge.codec import encode
from bridge.edge.ledger.book import KEPT, JetStreamBook
from bridge.edge.ledger.confirm import confirmed
from bridge.edge.ledger.inspector import altered
from bridge.edge.ledger.layout import Layout, LayoutError, LedgerNames, check_version, establish, establish_telemetry
from bridge.edge.ledger.line import STALE, Line
from bridge.edge.ledger.publisher import Outgoing, Publisher
from bridge.edge.ledger.recall import Recall, ViewLies
from bridge.edge.ledger.shape import limits_of
from bridge.edge.nats.jetstream import STREAM_NOT_FOUND, ApiError, JetStream
from bridge.engine.ports import Memory

if TYPE_CHECKING:
    from nats.aio.client import Client

LOOK_EXTRA = 2_048
"""Bytes of an answer to a look around the event itself."""

log = structlog.get_logger()

OWN_TIMES = 12
"""Times the usual deadline for the owner record. For a rollup the server goes through all that was stored since the
former record: the whole stream, perhaps, after a long run. With 1.3 GB on a busy machine that was seen to take 12 s.
"""
RETRY_S = 1.0
"""Between attempts to verify the layout while JetStream does not answer."""


class JetStreamLedger:
    """See `Ledger`. `nc` is connected and reconnects by itself; its callbacks call `disconnected`, `reconnected`.

    `deadline_s` bounds every publish and request, in seconds; `patience_s`: how long the view may stand still
    behind the stream before an opening is given up.
    """

    def __init__(
        self,
        nc: Client,
        names: LedgerNames | None = None,
        *,
        deadline_s: float = 5.0,
        patience_s: float = 30.0,
    ) -> None:
        self._nc = nc
        self._names = names or LedgerNames()
        self._patience_s = patience_s
        js = JetStream(nc, prefix=self._names.api, deadline_s=deadline_s)
        self._line = Line(js, Publisher(nc, deadline_s=deadline_s), self._names)
        self._line.max_payload = self._limit(-1)
        self._aside = Line(js, self._line.publisher, self._names.telemetry, TELEMETRY)
        self._connected = anyio.Event()
        self._connected.set()
        self._verified = -1
        self._admitted = False
        self._telemetry = False
        self._said = ""
        self._view_created = ""
        self._preparing = anyio.Lock()

    @property
    def max_payload(self) -> int:
        """See `Ledger.max_payload`. The stream's own `max_msg_size`, if it has one, counts too."""
        return self._line.max_payload

    def retention_s(self, *, telemetry: bool = False) -> float:
        """See `Ledger.retention_s`."""
        return (self._names.telemetry_max_age_s if telemetry else self._names.max_age_s) or math.inf

    @property
    def epoch(self) -> int:
        """Rises with every doubt: books opened in an earlier one are void."""
        return self._line.epoch

    def disconnected(self) -> None:
        """The connection is lost: every open book is void, and whoever waits for an answer learns it now."""
        if self._connected.is_set():
            self._connected = anyio.Event()
        for line in (self._line, self._aside):
            line.connected = False
            line.doubt("the connection to NATS was lost")

    def reconnected(self) -> None:
        """The connection is back. What the server has is verified again before the next book is opened."""
        for line in (self._line, self._aside):
            if line.connected:
                line.doubt("the connection to NATS was replaced")
            line.connected = True
        self._connected.set()

    async def prepare(self) -> None:
        """Make or verify stream and view, once per connection.

        Raises LayoutError (see `bridge.edge.ledger.layout`) for what only an operator can change; Away for the rest,
        and for that, too, once all was well: who has altered it can put it back.
        """
        try:
            await self._prepare()
        except LayoutError as error:
            if not self._admitted:
                raise
            raise Away(str(error)) from None
        self._admitted = True

    async def inspect(self) -> None:
        """See whether somebody has altered a stream that is in use. If so every open book is void, and says why.

        Raises Away where nobody answers, which says nothing.
        """
        epoch = self._line.epoch
        if self._verified != epoch:
            return
        why = await altered(self._line.js, self._names, telemetry=self._telemetry)
        if why and self._line.epoch == epoch:
            for line in (self._line, self._aside):
                line.doubt(why)

    async def _prepare(self) -> None:
        async with self._preparing:
            epoch = self._line.epoch
            if self._verified == epoch:
                return
            self._line.check(epoch)
            check_version(self._line.js.server_version)
            floor = self._line.highest
            layout = await establish(
                self._line.js, self._names, lambda: self._line.evidence.lost(self._line.js), self._view_created
            )
            self._line.check(epoch)
            if layout.lost:
                self._line.evidence.drop()
            self._view_created = layout.view_created
            self._line.seen(layout.created, layout.last_seq, floor)
            self._line.max_payload = self._limit(layout.max_msg_size)
            self._verified = self._line.epoch

    def _limit(self, max_msg_size: int) -> int:
        limit: int = self._nc.max_payload if max_msg_size <= 0 else min(self._nc.max_payload, max_msg_size)
        # The leader's answer to a look holds the event in base64. Where it crosses a leaf node, one that exceeds the
        # limit makes the server cut that connection, for everybody.
        return limit * 3 // 4 - LOOK_EXTRA if self._line.js.elsewhere else limit

    async def wait_ready(self) -> None:
        """See `Ledger.wait_ready`. Raises LayoutError."""
        while True:
            await self._connected.wait()
            try:
                await self.prepare()
            except Away as error:
                # All sources wait here at once, and it is one piece of news.
                if str(error) != self._said:
                    self._said = str(error)
                    log.warning("jetstream.away", reason=self._said, action="trying on")
                await anyio.sleep(RETRY_S)
            else:
                if self._said:
                    self._said = ""
                    log.info("jetstream.ready")
                return

    async def open(self, vendor: str, source: str, owner: Mapping[str, Json]) -> JetStreamBook:
        """See `Ledger.open`. Raises LayoutError where `prepare` would."""
        await self.prepare()
        epoch, floor = self._verified, self._line.highest
        try:
            state = await self._line.js.state(self._names.stream)
            self._line.seen(state.created, state.last_seq, floor)
            if why := await altered(self._line.js, self._names, state.config):
                self._line.doubt(why)
            look = partial(self._line.evidence.lost, self._line.js, source)
            if lost := await confirmed(look, state.config):
                # `prepare` finds the same, and makes the view anew where it may.
                self._line.doubt(lost)
            self._line.check(epoch)
            self._line.limits = limits_of(state.config)
            memory = Memory(owner_seq=await self._own(source, owner))
            self._line.evidence.owns(source)
            await Recall(self._line, vendor, source, patience_s=self._patience_s).read(memory)
        except ViewLies as error:
            # `prepare` finds the same, and makes the view anew where it may.
            self._line.doubt("the view knows what the stream has lost")
            raise Away(str(error)) from None
        except ApiError as error:
            if error.err_code == STREAM_NOT_FOUND:
                self._line.doubt(f"a stream is gone ({error.subject})")
            raise Away(f"the stream cannot be read now: {error}") from None
        self._line.check(epoch)
        return JetStreamBook(self._line, epoch, source, memory, self._open_telemetry)

    async def _open_telemetry(self, source: str) -> JetStreamBook:
        line = self._aside
        epoch, floor = line.epoch, line.highest
        try:
            layout = await self._verify_telemetry()
            line.seen(layout.created, layout.last_seq, floor)
            line.check(epoch)
            line.max_payload = self._limit(layout.max_msg_size)
            memory = Memory()
            await Recall(line, "", source, patience_s=self._patience_s).cursors(memory)
        except ApiError as error:
            raise Away(f"the telemetry stream cannot be read now: {error}") from None
        line.check(epoch)
        return JetStreamBook(line, epoch, source, memory, self._open_telemetry)

    async def _verify_telemetry(self) -> Layout:
        try:
            layout = await establish_telemetry(self._aside.js, self._names)
        except LayoutError as error:
            if not self._telemetry:
                raise
            raise Away(str(error)) from None
        self._telemetry = True
        return layout

    async def _own(self, source: str, owner: Mapping[str, Json]) -> int:
        message = Outgoing(owner_subject(source), KEPT, encode(dict(owner)))
        answer = (await self._line.publisher.publish([message], times=OWN_TIMES))[0]
        if answer is None or answer.err_code in STALE:
            raise Away(
                "the owner record was not acknowledged: NATS is slow or away, or bridge.owner.* is not permitted"
            )
        if answer.err_code:
            raise self._line.refusal(answer)
        return answer.seq
