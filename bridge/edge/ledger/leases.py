"""The bucket of leases on JetStream: implements the engine's `Leases`, by compare-and-set on a key's last message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import anyio

from bridge.core.errors import Away
from bridge.core.event import EXPECTED
from bridge.core.lease import Claim, Seen, read_claim, time_to_live
from bridge.core.subject import token
from bridge.edge.codec import encode
from bridge.edge.ledger.layout import LedgerNames, establish_leases
from bridge.edge.ledger.line import NOT_SETTLED, STALE
from bridge.edge.ledger.publisher import Answer, Outgoing, Publisher
from bridge.edge.nats import wire
from bridge.edge.nats.jetstream import JetStream, Message, NoAnswer

if TYPE_CHECKING:
    from nats.aio.client import Client

GONE = {"KV-Operation": "DEL"}
"""Headers of a lease that was given up, as every KV client writes and reads them."""
MARKS = ("KV-Operation", "Nats-Marker-Reason")
"""Headers that tell a mark from a claim: ours, and the server's own when a lease has run out."""


class JetStreamLeases:
    """See `Leases`. `deadline_s` bounds each request, in seconds; the connection's callbacks call `disconnected`."""

    def __init__(self, nc: Client, names: LedgerNames | None = None, *, deadline_s: float = 2.0) -> None:
        self._names = names or LedgerNames()
        self._js = JetStream(nc, prefix=self._names.api, deadline_s=deadline_s)
        self._publisher = Publisher(nc, deadline_s=deadline_s)
        self._prepared = False
        self._preparing = anyio.Lock()

    def disconnected(self) -> None:
        """The connection is lost: whoever waits for an answer learns it now."""
        self._publisher.give_up()

    async def prepare(self) -> None:
        """Make or verify the bucket. Raises LayoutError for what only an operator can change; Away for the rest."""
        async with self._preparing:
            if not self._prepared:
                await establish_leases(self._js, self._names)
                self._prepared = True

    async def look(self, sources: Sequence[str]) -> Mapping[str, Seen]:
        """See `Leases.look`. Raises LayoutError too."""
        await self.prepare()
        try:
            return await look(self._js, self._names, sources)
        except NoAnswer:
            # Somebody may have removed the bucket: it is made anew at the next look.
            self._prepared = False
            raise

    async def put(self, source: str, claim: Claim, after: int) -> int | None:
        """See `Leases.put`."""
        headers = {"Nats-TTL": time_to_live(claim.lease_s)}
        answer = await self._write(source, headers, encode(claim.to_json()), after)
        return None if answer.err_code else answer.seq

    async def drop(self, source: str, after: int) -> bool:
        """See `Leases.drop`. The mark stays: one small message per source, which the next claim replaces."""
        return not (await self._write(source, GONE, b"", after)).err_code

    async def _write(self, source: str, headers: Mapping[str, str], payload: bytes, after: int) -> Answer:
        """Raises Away unless it is stored, or refused because something else lies there."""
        await self.prepare()
        message = Outgoing(self._subject(source), {**headers, EXPECTED: str(after)}, payload)
        answer = (await self._publisher.publish([message]))[0]
        if answer is None or answer.err_code in NOT_SETTLED:
            raise Away(f"the lease of source {source} was not acknowledged: NATS is slow or away")
        if answer.err_code and answer.err_code not in STALE:
            self._prepared = False
            raise Away(f"the lease of source {source} was not taken by NATS (error {answer.err_code})")
        return answer

    def _subject(self, source: str) -> str:
        """Where to publish. Beyond a domain's border `$KV` does not pass by itself: the API's prefix carries it."""
        subject = self._names.lease_subject(token(source))
        return subject if self._names.api == "$JS.API" else f"{self._names.api}.{subject}"


async def look(js: JetStream, names: LedgerNames, sources: Sequence[str]) -> Mapping[str, Seen]:
    """See `Leases.look`; makes nothing. Raises NoAnswer, at once where there is no bucket."""
    by_subject = {names.lease_subject(token(source)): source for source in sources}
    found = await js.last_of(names.lease_stream, list(by_subject))
    return {by_subject[message.subject]: _seen(message) for message in found if message.subject in by_subject}


def _seen(message: Message) -> Seen:
    if any(mark in message.headers for mark in MARKS):
        return Seen(message.seq)
    try:
        claim = read_claim(wire.decode(message.payload))
    except ValueError:
        claim = None
    return Seen(message.seq, held=True, claim=claim)
