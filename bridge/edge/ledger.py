"""The stream as memory and outlet: implements the engine's `Ledger` over one NATS connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import anyio

from bridge.core.errors import Away
from bridge.core.record import Json
from bridge.core.subject import owner_subject
from bridge.edge.book import KEPT, JetStreamBook
from bridge.edge.codec import encode
from bridge.edge.jetstream import STREAM_NOT_FOUND, ApiError, JetStream
from bridge.edge.layout import LedgerNames, check_version, establish, remove_view
from bridge.edge.line import STALE, Line, refusal
from bridge.edge.publisher import Outgoing, Publisher
from bridge.edge.recall import Recall, ViewLies
from bridge.engine.ports import Memory

if TYPE_CHECKING:
    from nats.aio.client import Client

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
        self._line.max_payload = nc.max_payload
        self._connected = anyio.Event()
        self._connected.set()
        self._verified = -1
        self._preparing = anyio.Lock()

    @property
    def max_payload(self) -> int:
        """See `Ledger.max_payload`. The stream's own `max_msg_size`, if it has one, counts too."""
        return self._line.max_payload

    @property
    def epoch(self) -> int:
        """Rises with every doubt: books opened in an earlier one are void."""
        return self._line.epoch

    def disconnected(self) -> None:
        """The connection is lost: every open book is void, and whoever waits for an answer learns it now."""
        if self._connected.is_set():
            self._connected = anyio.Event()
        self._line.connected = False
        self._line.doubt("the connection to NATS was lost")

    def reconnected(self) -> None:
        """The connection is back. What the server has is verified again before the next book is opened."""
        if self._line.connected:
            self._line.doubt("the connection to NATS was replaced")
        self._line.connected = True
        self._connected.set()

    async def prepare(self) -> None:
        """Make or verify stream and view, once per connection.

        Raises LayoutError (see `bridge.edge.layout`) for what only an operator can change; Away for the rest.
        """
        async with self._preparing:
            epoch = self._line.epoch
            if self._verified == epoch:
                return
            self._line.check(epoch)
            check_version(self._line.js.server_version)
            floor = self._line.highest
            layout = await establish(self._line.js, self._names)
            self._line.check(epoch)
            self._line.seen(layout.created, layout.last_seq, floor)
            limit = layout.max_msg_size
            self._line.max_payload = min(self._nc.max_payload, limit) if limit > 0 else self._nc.max_payload
            self._verified = self._line.epoch

    async def wait_ready(self) -> None:
        """See `Ledger.wait_ready`. Raises LayoutError."""
        while True:
            await self._connected.wait()
            try:
                await self.prepare()
            except Away:
                await anyio.sleep(RETRY_S)
            else:
                return

    async def open(self, vendor: str, source: str, owner: Mapping[str, Json]) -> JetStreamBook:
        """See `Ledger.open`. Raises LayoutError too."""
        await self.prepare()
        epoch, floor = self._verified, self._line.highest
        try:
            state = await self._line.js.state(self._names.stream)
            self._line.seen(state.created, state.last_seq, floor)
            self._line.check(epoch)
            memory = Memory(owner_seq=await self._own(source, owner))
            await Recall(self._line, vendor, source, patience_s=self._patience_s).read(memory)
        except ViewLies as error:
            await self._remake_view(epoch)
            raise Away(str(error)) from None
        except ApiError as error:
            if error.err_code == STREAM_NOT_FOUND:
                self._line.doubt(f"a stream is gone ({error.subject})")
            raise Away(f"the stream cannot be read now: {error}") from None
        self._line.check(epoch)
        return JetStreamBook(self._line, epoch, source, memory)

    async def _remake_view(self, epoch: int) -> None:
        """The view is a cache: where we may, it is removed, and made anew before the next opening."""
        async with self._preparing:
            if self._names.manage == "create" and epoch == self._line.epoch:
                await remove_view(self._line.js, self._names)
                self._line.doubt("the view held what the stream has lost, and is made anew")

    async def _own(self, source: str, owner: Mapping[str, Json]) -> int:
        message = Outgoing(owner_subject(source), KEPT, encode(dict(owner)))
        answer = (await self._line.publisher.publish([message]))[0]
        if answer is None or answer.err_code in STALE:
            raise Away(
                "the owner record was not acknowledged: NATS is slow or away, or bridge.owner.* is not permitted"
            )
        if answer.err_code:
            raise refusal(answer)
        return answer.seq
