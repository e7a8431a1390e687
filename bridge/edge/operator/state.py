"""Reads current state from the view, and follows its changes. Leaves nothing on the server, and holds little itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from nats.aio.client import Client

from bridge.core.subject import LIVE
from bridge.edge.ledger.shape import LedgerNames, origin
from bridge.edge.nats.jetstream import JetStream, Message
from bridge.edge.operator.tail import DEADLINE_S, Tail, stream_state
from bridge.events import Event, NotAnEvent, parse

GONE = ("DEL", "PURGE")


@dataclass(frozen=True, slots=True)
class Entry:
    """The last event of one entity. `seq`: the event's sequence in the ledger's stream. `deleted`: it is gone."""

    key: str = field(repr=False)
    seq: int
    deleted: bool
    event: Event = field(repr=False)


class View:
    """The view of one ledger. Keys are `<vendor>.<source>.<entity>.<id>`, as tokens; filters may hold wildcards.

    `unreadable` counts entries that were left out, since somebody else wrote them.
    """

    def __init__(self, nc: Client, names: LedgerNames) -> None:
        self._nc = nc
        self._names = names
        self._js = JetStream(nc, prefix=names.api, deadline_s=DEADLINE_S)
        self._prefix = names.state_subject("")
        self.unreadable = 0

    async def named(self, keys: Sequence[str]) -> list[Entry]:
        """The entries with these keys, of those that are there. Raises StreamMissing, JetStreamOff and NoAnswer."""
        await stream_state(self._js, self._names.state_stream)  # says why, if nobody answers
        found = await self._js.last_of(self._names.state_stream, [self._prefix + key for key in keys])
        return self.entries(found)

    def reading(self, keys: str) -> Reading:
        """All entries whose keys match a filter, and afterwards those that change."""
        names, kinds = self._names, keys.split(".")
        # Of a key the change is missing that the live subject has before the id.
        if len(kinds) == 4:
            kinds = [*kinds[:3], "*", kinds[3]]
        tail = Tail(
            self._nc,
            stream=names.state_stream,
            prefix=names.api,
            subjects=self._prefix + keys,
            news=f"{LIVE}.{'.'.join(kinds)}",
        )
        return Reading(tail, self)

    def entries(self, messages: Sequence[Message]) -> list[Entry]:
        """Messages of the view's stream as entries."""
        found = []
        for message in messages:
            seq, subject = origin(message.headers)
            try:
                event = parse(subject, message.headers, message.payload)
            except NotAnEvent:
                self.unreadable += 1
                continue
            gone = message.headers.get("KV-Operation", "") in GONE
            found.append(Entry(message.subject.removeprefix(self._prefix), seq, gone, event))
        return found


class Reading:
    """`take` returns entries in the order of their last change. An async context manager, for following changes.

    One that changes while all are read may come twice: its newer state comes later.
    """

    def __init__(self, tail: Tail, view: View) -> None:
        self._tail = tail
        self._view = view

    @property
    def remade(self) -> int:
        """How often the view was made anew meanwhile: then all of it comes again."""
        return self._tail.remade

    async def __aenter__(self) -> Reading:
        await self._tail.__aenter__()
        return self

    async def __aexit__(self, *ended: object) -> None:
        await self._tail.__aexit__(None, None, None)

    async def take(self, *, wait_s: float = 0.0) -> list[Entry]:
        """The next entries, some hundreds at most; [] when there are no more, after `wait_s` seconds of waiting.

        Raises StreamMissing, JetStreamOff, and NoAnswer: then the same come with the next call.
        """
        while messages := await self._tail.take_stored(wait_s=wait_s):
            if found := self._view.entries(messages):
                return found
        return []
