"""What alerts need from outside, as protocols: where events come from, where alerts wait, who tells them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from bridge.core.alerts.alert import Alert
from bridge.events import Event, NotAnEvent, parse


class Channel(Protocol):
    """One way to tell people: an Apprise URL, or a webhook. One object for the life of the process; it holds no queue.

    `name` tells it from the alert's other channels: what it is configured by (the secret's origin, the webhook's name),
    never the address itself, so it may be shown. It stays the same when the list is reordered.
    """

    name: str

    async def send(self, alert: Alert, *, timeout_s: float) -> None:
        """Returns when the other side has taken the alert. One at a time.

        Raises Retry when it has not, or may not have, with `after` where it says when to try again; Refused when it
        says no and would to the same again: the alert is kept and tried more rarely. Texts hold no secret and no part
        of the alert. Nothing takes longer than `timeout_s`, by much.
        """
        ...


@dataclass(frozen=True, slots=True)
class Passing:
    """One stored event as the stream shows it. `stored_ms`: when it was stored, milliseconds since the Unix epoch."""

    seq: int
    subject: str
    stored_ms: int
    headers: Mapping[str, str] = field(repr=False)
    payload: bytes = field(repr=False)

    def event(self) -> Event | None:
        """What it tells; None for what lies under an event's subject and is none of ours."""
        try:
            return parse(self.subject, self.headers, self.payload)
        except NotAnEvent:
            return None


class Trail(Protocol):
    """Reads a stream's events in order, each once, from where it was begun. See `Trails`."""

    lost: str
    """Why the reading did not go on where it was to: the stream is another, or shorter than it was. "": it did.

    Set once the trail goes on at the stream's end instead; whoever reads it says so and sets it back.
    """

    async def take(self, *, wait_s: float) -> Sequence[Passing]:
        """The next events, a bounded portion; waits up to `wait_s` for the first, then returns none.

        Raises Away: then the same events come with the next call.
        """
        ...

    @property
    def seq(self) -> int:
        """Everything up to this sequence was taken, or does not concern us."""
        ...

    @property
    def end(self) -> int:
        """The stream's last sequence when the trail was begun."""
        ...


class Trails(Protocol):
    """Begins trails in the ledger's stream."""

    def begin(self, subjects: Sequence[str], after: int | None) -> AbstractAsyncContextManager[Trail]:
        """Read what matches any of `subjects` and lies after sequence `after`; None: what comes from now on.

        A sequence older than the stream's first goes on with the first. Raises Away.
        """
        ...


class Delivery(Protocol):
    """One alert in the hands of a courier. It comes again, to whoever works then, unless it is acknowledged."""

    alert: Alert
    tries: int
    """How often it was handed out, this time included."""

    async def ack(self) -> None:
        """It was told. Best effort, at once: where the server does not hear of it, it comes again by the same id."""
        ...

    async def nak(self, delay_s: float) -> None:
        """Not now: it comes again after `delay_s`. Best effort."""
        ...

    async def in_progress(self) -> None:
        """It is still being worked on: do not hand it out again yet. Best effort."""
        ...


class Deliveries(Protocol):
    """What waits for one channel: a durable place in the stream that outlives this process."""

    async def next(self, *, wait_s: float) -> Delivery | None:
        """The next alert that waits, in order; None when none came within `wait_s`. Raises Away."""
        ...

    async def waiting(self) -> int:
        """How many alerts wait, the one in flight included. Raises Away."""
        ...


class Post(Protocol):
    """The places of all channels."""

    def deliveries(self, alert: str, channel: str) -> AbstractAsyncContextManager[Deliveries]:
        """The place of one channel of one alert; made if it is missing, at the stream's end. Raises Away, and Unfit."""
        ...

    async def retain(self, channels: Sequence[tuple[str, str]]) -> Sequence[str]:
        """Remove every place but these (alert, channel); returns the names of those removed. Raises Away."""
        ...
