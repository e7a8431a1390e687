"""The judge of a run: what is right passes, and each property fails for what breaks it, and for nothing else."""

from __future__ import annotations

import base64
import copy
import dataclasses
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.sandbox import oracle, pcvisit_view
from bridge.sandbox.pcvisit_world import World
from tests.chaos.effects import strange_times
from tests.chaos.judge import (
    CURRENT,
    HAPPENED,
    INVENTED,
    LOST,
    ORDERED,
    PROPERTIES,
    SECRET,
    SOUND,
    TWICE,
    WORKS,
    Effect,
    Evidence,
    judged,
)
from tests.chaos.sender import Sent
from tests.chaos.states import together
from tests.support.stream import EXPECTED, Stored

NOON_MS = 1_709_208_000_000
SECRETS = {"the password": "planted-0123456789/ä"}


@dataclass
class PlayedOne:
    """A vendor that nobody has to play."""

    vendor: str = "pcvisit"
    stores: Sequence[str] = ()
    started_ms: list[int] = field(default_factory=lambda: [0])
    subject: str = "events.pcvisit"


class Writer:
    """Makes a stream as the bridge does."""

    def __init__(self) -> None:
        self.events: list[Stored] = []

    def put(self, subject: str, id_: str, after: Any, at_ms: int) -> None:
        """The next event of its entity; `subject` lacks the id."""
        vendor, source, entity, _ = subject.split(".")
        own = [event for event in self.events if event.entity == (vendor, source, entity, id_)]
        seq = len(self.events) + 1
        headers = {"ce-id": f"{seq:032x}", EXPECTED: str(own[-1].seq if own else 0)}
        data = {"id": id_, "before": own[-1].data["after"] if own else None, "after": after}
        self.events.append(Stored(seq, f"events.{subject}.{id_}", at_ms, headers, data))


@pytest.fixture
def evidence() -> Evidence:
    """A small run in which everything was as it must be."""
    now = iter(range(NOON_MS, NOON_MS + 1_000_000, 1000))
    world = World(random.Random(5), lambda: next(now), companies=1, history=2, deletes=False, recent_samples=True)
    for _ in range(30):
        world.change()
    writer = Writer()
    before: dict[str, str] = {}
    for change in world.ledger.changes:
        after = {"id": change.id, **pcvisit_view.as_issued(change.record or {})}
        if before.get(change.id) != oracle.plain(after):
            kind = "updated" if change.id in before else "created"
            writer.put(f"pcvisit.support.session.{kind}", change.id, after, change.at_ms)
            before[change.id] = oracle.plain(after)
    sent = []
    for number in range(6):
        body = {"type": "payment", "amount": number}
        sent.append(Sent(f"msg_{number}", "payment", body, NOON_MS + number * 1000, NOON_MS + number * 1000 + 5))
        writer.put("webhook.shop.payment.occurred", f"msg_{number}", body, NOON_MS + number * 1000 + 4)
    for version in (1, 2, 3):
        body = {"type": "order", "order": {"id": "o1", "version": version}}
        sent.append(Sent(f"ord_{version}", "order", body, NOON_MS + version * 1000, NOON_MS + version * 1000 + 5))
        change_ = "created" if version == 1 else "updated"
        writer.put(f"webhook.shop.order.{change_}", "o1", body, NOON_MS + version * 1000 + 4)
    sent.append(Sent("psn_1", "poison", {"type": "order", "order": {"version": 9}}, NOON_MS, NOON_MS + 5))
    raw = '{"order":{"version":9},"type":"order"}'
    writer.put("bridge.shop.quarantine.occurred", "q1", {"raw": raw}, NOON_MS + 4)
    view = {
        ".".join(event.entity): {"after": event.data["after"]} for event in writer.events if event.change != "occurred"
    }
    return Evidence(
        changes={"support": world.ledger.changes},
        played={"support": PlayedOne()},
        sent=sent,
        events=writer.events,
        telemetry=[],
        view=view,
        recovery_s={"support": 1.5, "shop": 0.1},
        effects=[Effect("ways", "reset", 2, 3, "connections")],
        artefacts={"a log": "nothing to be seen here"},
        secrets=SECRETS,
        complaints=[],
    )


def test_what_is_right_is_found_right(evidence: Evidence) -> None:
    """Every property holds, and the rows say what there was."""
    verdict = judged(evidence)
    assert verdict.faithful, verdict.sentences()
    support, shop = verdict.rows
    assert support["changes"] >= 30
    assert (shop["changes"], shop["events"], shop["quarantined"]) == (6 + 3 + 1, 9, 1)


def _of(evidence: Evidence, part: str) -> list[int]:
    return [place for place, event in enumerate(evidence.events) if part in event.subject]


def _without(part: str) -> Callable[[Evidence], None]:
    def doctor(evidence: Evidence) -> None:
        del evidence.events[_of(evidence, part)[-1]]  # type: ignore[attr-defined]

    return doctor


def _altered(part: str, **after: Any) -> Callable[[Evidence], None]:
    def doctor(evidence: Evidence) -> None:
        place = _of(evidence, part)[-1]
        event = evidence.events[place]
        data = {**event.data, "after": {**event.data["after"], **after}}
        evidence.events[place] = dataclasses.replace(event, data=data)  # type: ignore[index]

    return doctor


def _doubled(evidence: Evidence) -> None:
    evidence.events.append(evidence.events[_of(evidence, "payment")[0]])  # type: ignore[attr-defined]


def _swapped(evidence: Evidence) -> None:
    first, second = _of(evidence, "shop.order")[:2]
    events = evidence.events
    events[first], events[second] = events[second], events[first]  # type: ignore[index]


def _again(part: str) -> Callable[[Evidence], None]:
    """The first event of that kind once more, under another name and rightly chained: only what it says is wrong."""

    def doctor(evidence: Evidence) -> None:
        places = _of(evidence, part)
        first, last = evidence.events[places[0]], evidence.events[places[-1]]
        chained = last if last.entity == first.entity else first
        headers = {"ce-id": "e" * 32, EXPECTED: str(chained.seq)}
        data = {**first.data, "before": chained.data["after"]}
        subject = first.subject.replace(".created.", ".updated.")
        evidence.events.append(Stored(999, subject, first.at_ms, headers, data))  # type: ignore[attr-defined]

    return doctor


def _foreign(evidence: Evidence) -> None:
    event = evidence.events[_of(evidence, "payment")[0]]
    data = {**event.data, "id": "msg_99"}
    headers = {**event.headers, "ce-id": "f" * 32}
    subject = event.subject.replace("msg_0", "msg_99")
    evidence.events.append(Stored(999, subject, event.at_ms, headers, data))  # type: ignore[attr-defined]


def _said(text: str) -> Callable[[Evidence], None]:
    return lambda evidence: evidence.artefacts.update({"a log": text})  # type: ignore[attr-defined]


DOCTORED: dict[str, tuple[str, Callable[[Evidence], None]]] = {
    "a payment is nowhere": (LOST, _without("payment")),
    "the last state of an order is nowhere": (LOST, _without("shop.order")),
    "the last state of a session is nowhere": (LOST, _without("session.updated")),
    "poison is not in quarantine": (LOST, _without("quarantine")),
    "an event is there twice": (TWICE, _doubled),
    "a payment is there twice under two names": (TWICE, _again("payment")),
    "an order goes back to its first version": (ORDERED, _again("shop.order")),
    "two versions have changed places": (ORDERED, _swapped),
    "a payload was altered": (INVENTED, _altered("payment", amount=77)),
    "a state was altered": (INVENTED, _altered("session.updated", name="else")),
    "a payment that nobody sent": (INVENTED, _foreign),
    "the view lacks an entity": (CURRENT, lambda one: one.view.pop("webhook.shop.order.o1")),  # type: ignore[attr-defined]
    "the view is behind": (CURRENT, lambda one: one.view["webhook.shop.order.o1"]["after"].update(type="x")),
    "the view has a phantom": (CURRENT, lambda one: one.view.update({"a.b.c.d": {"after": {}}})),  # type: ignore[attr-defined]
    "a source does not come back": (WORKS, lambda one: one.recovery_s.update(shop=None)),  # type: ignore[attr-defined]
    "a fault did nothing": (HAPPENED, lambda one: one.effects.append(Effect("ways", "cut", 3, 0, ""))),  # type: ignore[attr-defined]
    "a fault never came": (HAPPENED, lambda one: one.effects.append(Effect("ways", "cut", 0, 3, ""))),  # type: ignore[attr-defined]
    "a secret as it is": (SECRET, _said("password planted-0123456789/ä was wrong")),
    "a secret in a URL": (SECRET, _said("nats://x:planted-0123456789%2F%C3%A4@here")),
    "a secret in Base64": (SECRET, _said(base64.b64encode("ab:planted-0123456789/ä".encode()).decode())),
    "a token": (SECRET, _said("Bearer eyJhbGciOiJSUzI1NiIsInR5cCI6.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2ln")),
    "a bug in a log": (SOUND, lambda one: one.complaints.append("source.bug")),  # type: ignore[attr-defined]
}


@pytest.mark.parametrize("case", DOCTORED)
def test_what_is_doctored_is_found(evidence: Evidence, case: str) -> None:
    """The property fails that is about it; those that are not about streams fail for nothing else."""
    broken, doctor = DOCTORED[case]
    evidence.view = copy.deepcopy(evidence.view)
    doctor(evidence)
    verdict = judged(evidence)
    assert verdict.broken[broken]
    assert any(broken in sentence for sentence in verdict.sentences())
    also = {LOST, TWICE, ORDERED, INVENTED, CURRENT} if broken in (LOST, TWICE, ORDERED, INVENTED) else {broken}
    assert {name for name in PROPERTIES if verdict.broken[name]} <= also


def _gap(evidence: Evidence, from_ms: int, to_ms: int) -> None:
    after = {
        "feed": "stream",
        "reason": "",
        "from": datetime.fromtimestamp(from_ms / 1000, UTC).isoformat(),
        "to": datetime.fromtimestamp(to_ms / 1000, UTC).isoformat(),
    }
    last = evidence.events[-1].seq
    data = {"id": "g1", "before": None, "after": {**after, "to": None}}
    headers = {"ce-id": "a" * 32, EXPECTED: "0"}
    opened = Stored(last + 1, "events.bridge.shop.gap.opened.g1", to_ms, headers, data)
    headers = {"ce-id": "b" * 32, EXPECTED: str(last + 1)}
    closed = Stored(last + 2, "events.bridge.shop.gap.closed.g1", to_ms, headers, {**data, "after": after})
    evidence.events += [opened, closed]  # type: ignore[operator]


def test_what_is_lost_within_a_published_gap_is_not_lost_in_silence(evidence: Evidence) -> None:
    """It is counted apart; a gap of another time excuses nothing."""
    _without("payment")(evidence)
    _gap(evidence, NOON_MS + 4_900, NOON_MS + 5_100)
    verdict = judged(evidence)
    assert verdict.faithful, verdict.sentences()
    assert (verdict.rows[1]["missing"], verdict.rows[1]["within gaps"], verdict.rows[1]["gaps"]) == (0, 1, 1)
    del evidence.events[-2:]  # type: ignore[attr-defined]
    _gap(evidence, NOON_MS, NOON_MS + 4_900)
    assert judged(evidence).broken[LOST]


def test_the_longest_pause_is_that_between_two_events_or_at_an_end(evidence: Evidence) -> None:
    """Of one source alone, and of the time in which faults fell."""
    evidence.faults_ms = (NOON_MS, NOON_MS + 20_004)
    assert judged(evidence).rows[1]["longest pause s"] == 15.0


def test_a_source_is_as_the_instance_that_has_come_furthest() -> None:
    """Two instances, one of which dies: where the other stands by, the source is not live."""
    moves = [(1.0, "north", "opening"), (2.0, "north", "live"), (1.5, "south", "standby"), (5.0, "north", "")]
    assert together(moves) == [(1.0, "opening"), (2.0, "live"), (5.0, "standby")]


def test_lines_of_another_time_are_counted() -> None:
    """Those an hour away from the others, either way; not those that are minutes apart."""

    class Log:
        def lines(self) -> list[dict[str, str]]:
            times = ["12:00:00", "12:09:00", "13:05:00", "11:04:00", "12:10:00"]
            return [{"timestamp": f"2024-02-29T{time}.000000Z"} for time in times] + [{"event": "no time"}]

    assert strange_times(Log(), NOON_MS / 1000) == 2  # type: ignore[arg-type]
