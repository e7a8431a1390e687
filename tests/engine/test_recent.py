"""What was stored lately, and how much in each minute."""

from __future__ import annotations

from bridge.core.event import Event
from bridge.core.record import Key
from bridge.engine.counts import Counts
from bridge.engine.recent import Recent, Tape

MINUTE = 60_000
START = 1_000_000 * MINUTE


class Clock:
    """A wall clock that is set by hand."""

    def __init__(self) -> None:
        self.ms = START

    def __call__(self) -> int:
        return self.ms


def event(id_: str, source: str = "acme") -> Event:
    return Event(Key("sim", source, "thing", id_), "created", id_, None, "", 0, {}, b"{}", 2, "")


def test_the_last_fifty_without_their_ids() -> None:
    """The newest first, numbered from the start, of all sources; nothing that names the entity is kept."""
    recent, clock = Recent(), Clock()
    one, two = Tape(clock, recent), Tape(clock, recent)
    for number in range(1, 61):
        (one if number % 2 else two).store([event(f"secret-{number}", "odd" if number % 2 else "even")], [number * 10])
    rows = recent.after(0)
    assert [row.number for row in rows] == list(range(60, 10, -1))
    assert (rows[0].source, rows[0].vendor, rows[0].entity, rows[0].change) == ("even", "sim", "thing", "created")
    assert (rows[0].seq, rows[0].at_ms) == (600, START)
    assert [row.number for row in recent.after(58)] == [60, 59]
    assert recent.after(60) == []
    assert recent.total == 60
    assert "secret" not in repr(rows) + repr(recent._rows)


def test_events_are_counted_by_the_minute() -> None:
    """Sixty minutes, the oldest first, the last is under way; minutes in which nothing came are zero."""
    clock = Clock()
    counts = Counts(tape=Tape(clock, Recent()))
    assert list(counts.rate()) == [0] * 60
    for _ in range(3):
        counts.store([event("a")], [1])
    clock.ms += 2 * MINUTE
    counts.store([event("a")], [1])
    assert list(counts.rate())[-4:] == [0, 3, 0, 1]
    assert counts.last_minute == 0
    clock.ms += MINUTE
    assert list(counts.rate())[-4:] == [3, 0, 1, 0]
    assert counts.last_minute == 1
    clock.ms += 56 * MINUTE
    assert list(counts.rate())[:2] == [3, 0]
    clock.ms += MINUTE
    assert list(counts.rate())[:3] == [0, 1, 0]
    clock.ms += 1000 * MINUTE
    assert list(counts.rate()) == [0] * 60


def test_a_clock_that_is_set_back_costs_nothing() -> None:
    """By a little: the minute goes on. By hours: it begins anew. Nothing is ever counted twice, or lost from a list."""
    clock = Clock()
    tape = Tape(clock, Recent())
    tape.store([event("a")], [1])
    clock.ms -= 30 * MINUTE
    tape.store([event("a")], [2])
    assert list(tape.rate())[-2:] == [0, 2]
    clock.ms -= 60 * MINUTE
    tape.store([event("a")], [3])
    assert list(tape.rate()) == [0] * 59 + [1]


def test_a_batch_counts_as_its_events_do() -> None:
    """However many there are, and over the turn of a minute: rows, numbers and rates are those of one after another."""
    clock = Clock()
    singly, together = Recent(), Recent()
    one, all_ = Counts(tape=Tape(clock, singly)), Counts(tape=Tape(clock, together))
    for size in (3, 50, 70, 1):
        events = [event(f"{size}-{number}") for number in range(size)]
        for number, each in enumerate(events):
            one.store([each], [number])
        all_.store(events, range(size))
        clock.ms += MINUTE
    assert (all_.stored, all_.by_change, together.total) == (124, {"created": 124}, 124)
    assert together.after(0) == singly.after(0)
    assert list(all_.rate())[-5:] == list(one.rate())[-5:] == [3, 50, 70, 1, 0]
