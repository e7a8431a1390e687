"""What all books of one ledger share: the way to the server, and whether what they know of it still holds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bridge.core.errors import Away
from bridge.core.record import Json
from bridge.core.subject import MAIN, Lane
from bridge.edge.ledger.batch import Batches
from bridge.edge.ledger.evidence import Evidence
from bridge.edge.ledger.layout import LedgerNames
from bridge.edge.ledger.publisher import Answer, Publisher
from bridge.edge.nats.jetstream import ApiError, JetStream, Message

STALE = frozenset({10071, 10164})
"""Another event follows the expected one already; or another write is in flight. Both mean: look again."""
NOT_SETTLED = frozenset({-1, 10176})
"""An answer that is none; a batch of which something was lost on the way. Both mean: look whether it is stored."""

FULL = 10077

_REFUSALS = {
    10002: "the NATS account's JetStream limits are reached: raise its max_file (disk) or lower max_age",
    503: "nobody takes messages for the stream: JetStream is starting, has no leader, or the stream is gone",
    10008: "JetStream is not available for the moment",
    10023: "the server's own JetStream limits are reached: raise max_file_store (disk), or free space",
    10039: "JetStream is not enabled for this account",
    10047: "the server has not enough storage left",
    10054: "a message exceeds the stream's max_msg_size",
    10074: "JetStream has no quorum for the moment",
    10076: "JetStream is not enabled on the server",
    FULL: "the stream is full: its limits refuse new messages; raise them or lower max_age",
    10210: "too many atomic batches are open on the stream",
}


class Line:
    """The connection's state. `epoch` rises with every doubt: books opened before it are void.

    `stepped_down`: when the view's leader was last asked to step down, in seconds of the event loop's clock.
    """

    def __init__(self, js: JetStream, publisher: Publisher, names: LedgerNames, lane: Lane = MAIN) -> None:
        self.lane = lane
        self.js = js
        self.publisher = publisher
        self.batches = Batches(publisher)
        self.names = names
        self.evidence = Evidence(names)
        self.epoch = 0
        self.max_payload = 0
        self.connected = True
        self.limits = ""
        self.stepped_down = -math.inf
        self._why = ""
        self._created = ""
        self._highest = 0

    def doubt(self, why: str) -> None:
        """Everything known so far is in doubt: every open book is void."""
        self.epoch += 1
        self._why = why
        self.publisher.give_up()

    def check(self, epoch: int) -> None:
        """Raises Away when there has been a doubt since `epoch`, or there is no connection."""
        if epoch != self.epoch:
            raise Away(f"{self._why}: what was known of the stream is void, it is read again")
        if not self.connected:
            raise Away("NATS is not connected")

    def seen(self, created: str, last_seq: int, floor: int) -> None:
        """What the stream said of itself when asked while `floor` was the highest sequence known.

        A doubt if it is another stream than before, or has lost its end.
        """
        if self._created and created != self._created:
            self.doubt(f"stream {self.names.stream} was made anew at {created}")
        elif last_seq < floor:
            self.doubt(f"stream {self.names.stream} went back from sequence {floor} to {last_seq}")
        else:
            self._highest = max(self._highest, last_seq)
            self._created = created
            return
        self._created, self._highest = created, last_seq

    @property
    def highest(self) -> int:
        """The highest sequence known to be stored. What is stored from now on lies above it."""
        return self._highest

    def stored_at(self, first: int, last: int, floor: int) -> None:
        """Messages published when `floor` was the highest lie from `first` to `last`. Raises Away if that cannot be."""
        if first <= floor:
            self.doubt(f"stream {self.names.stream} went back: it stored a message at {first} after {floor}")
            raise Away(f"{self._why}: what was known of the stream is void, it is read again")
        self._highest = max(self._highest, last)

    def refusal(self, answer: Answer) -> Away:
        """Why a message was refused, and by which limit."""
        return refusal(answer, self.limits)

    async def get(self, query: Mapping[str, Json], stream: str | None = None) -> Message | None:
        """One message asked of the leader. Raises Away."""
        try:
            return await self.js.get(stream or self.names.stream, query)
        except ApiError as error:
            raise Away(f"the stream cannot be read now: {error}") from None

    async def direct(self, query: Mapping[str, Json], stream: str | None = None) -> Message | None:
        """One message, asked of any replica first and of the leader if that has none. Raises Away."""
        return await self.js.direct(stream or self.names.stream, query) or await self.get(query, stream)

    async def last_of(self, subjects: Sequence[str], up_to: int = 0) -> list[Message]:
        """The last message of each subject that has one. Any replica may answer. Raises Away."""
        return await self.js.last_of(self.names.stream, subjects, up_to)


def refusal(answer: Answer, limits: str = "") -> Away:
    """Why a message was refused, in our words: the server's may quote the message."""
    known = _REFUSALS.get(answer.err_code, "the stream refuses messages")
    if answer.err_code == FULL and limits:
        known = f"{known} (it has {limits})"
    return Away(f"NATS takes no events now: {known} (error {answer.err_code})")
