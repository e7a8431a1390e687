"""What a rule decides to tell, and what it has to be asked for it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from bridge.core.alerts.settings import Severity
from bridge.core.record import Json

MOST_EVENTS = 20
"""So many events a decision names; `count` counts all of them."""

State = dict[str, Json]
"""What a rule has to remember: JSON, and `{}` to begin with. Whoever keeps it need not understand it."""

Kind = Literal["event", "held", "digest", "quiet", "failed", "broken", "healed"]
"""Why something is told: one event; what a throttle held back; what a digest collected; what was not sent in quiet
hours; that the condition failed; and of the preset `health`: that something broke, that it healed.
"""


class Reference(NamedTuple):
    """Names an event: its subject, its `ce-id` and its sequence in the stream."""

    subject: str
    ce_id: str
    seq: int


class Happening(Protocol):
    """What a rule has to know of an event; `bridge.events.Event` is one."""

    @property
    def vendor(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def entity(self) -> str: ...
    @property
    def change(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def ce_id(self) -> str: ...
    @property
    def traceparent(self) -> str | None: ...

    def variables(self) -> Mapping[str, Json]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One alert that is to be sent. `id` (32 hex digits) names it for good: the same decision has the same.

    `alert` is the rule's name. `title` is one line of at most 250 characters, `body` at most 8 KiB of text with line
    feeds, both without other control characters; texts are not in the `repr`. `group`: the values of `group_by`, "" if
    there is none. `count`: how many events it tells of; `held`: how many of them had been held back. Over all decisions
    of a rule each event that matched is counted once. `events`: up to 20 of them, in their order. `first` and `last`:
    when the first and the last of all happened, RFC 3339. `traceparent`: that of the last. `missing`: the fields that a
    template named and the event lacks.
    """

    id: str
    alert: str
    kind: Kind
    title: str = field(repr=False)
    body: str = field(repr=False)
    severity: Severity
    group: str = field(repr=False)
    count: int
    held: int
    events: tuple[Reference, ...]
    first: str
    last: str
    traceparent: str | None = None
    missing: tuple[str, ...] = ()

    def data(self) -> dict[str, Json]:
        """The `after` of the event that it is stored as."""
        return {
            "alert": self.alert,
            "group": self.group,
            "title": self.title,
            "body": self.body,
            "severity": self.severity,
            "count": self.count,
            "held": self.held,
            "events": [one._asdict() for one in self.events],
            "first": self.first,
            "last": self.last,
        }


class Machine(Protocol):
    """A rule. Pure: all it remembers is in the state that is passed in, and altered there."""

    @property
    def name(self) -> str:
        """The alert's name."""
        ...

    @property
    def subjects(self) -> tuple[str, ...]:
        """The subject filters, whole (`events.…`): nothing else needs to be shown to it."""
        ...

    def seen(self, state: State, event: Happening, seq: int, now_ms: int) -> list[Decision]:
        """What an event means; usually nothing. To be called once for each, in the order of the stream.

        `now_ms`: the time by the clock, milliseconds since the Unix epoch. It may go back.
        """
        ...

    def due(self, state: State, now_ms: int) -> list[Decision]:
        """What time alone has brought: the end of a digest, of a throttle with something held, of quiet hours."""
        ...

    def next_ms(self, state: State, now_ms: int) -> int | None:
        """When to call `due` next, never more than a minute ahead, since clocks are set; None: nothing waits."""
        ...

    def flush(self, state: State) -> list[Decision]:
        """Everything that waits, told now, quiet or not; the state is small then."""
        ...


def identity(alert: str, kind: str, group: str, first: str, last: str, seq: int) -> str:
    """The id of a decision: 32 hex digits of its rule and group and the events that it tells of first and last.

    `seq` is the last one's sequence: an event that was erased and came again has its old `ce-id`, and is news.
    """
    text = "\0".join(f"{len(part)}:{part}" for part in (alert, kind, group, first, last, str(seq)))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
