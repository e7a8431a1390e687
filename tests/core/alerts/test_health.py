"""The preset `health`: once when something breaks, once when it heals."""

from __future__ import annotations

import json

from bridge.core.alerts.health import Health
from bridge.core.alerts.machine import machine
from bridge.core.alerts.settings import AlertSettings, QuietHours
from tests.support.happenings import HOUR, MINUTE, NOON_MS, Desk, happening, own


def health(quiet: QuietHours | None = None) -> Desk:
    """A rule of the preset."""
    found = machine(AlertSettings(name="bridge-health", preset="health", quiet=quiet))
    assert isinstance(found, Health)
    return Desk(found)


def test_a_source_breaks_and_heals() -> None:
    """One message each, whatever is said of it in between."""
    desk = health()
    events = [
        own(1, "source", "connected"),
        own(2, "source", "lost", half="live", reason="closed with 1006", failing_since="2024-02-29T11:59:00.000Z"),
        own(3, "source", "lost", half=""),
        own(4, "source", "lost", half="reading"),
        own(5, "source", "recovered"),
        own(6, "source", "connected"),
    ]
    for event in events:
        desk.see(event, NOON_MS)
    broke, healed = desk.decisions
    assert broke.data() == {
        "alert": "bridge-health",
        "group": "acme",
        "title": "acme: the live session with pcvisit is down, it is only polled",
        "body": "closed with 1006\nFailing since 2024-02-29T11:59:00.000Z",
        "severity": "failure",
        "count": 1,
        "held": 0,
        "events": [{"subject": "events.bridge.acme.source.lost.acme", "ce_id": f"{2:032x}", "seq": 2}],
        "first": "2024-02-29T12:00:00.000Z",
        "last": "2024-02-29T12:00:00.000Z",
    }
    assert (broke.kind, healed.kind) == ("broken", "healed")
    assert (healed.title, healed.severity) == ("acme: all is well again", "success")
    assert desk.state["broken"] == {}


def test_who_is_lost_and_then_refused_is_told_again() -> None:
    """Since then a human is needed; the way back is no news, and neither is the same once more."""
    desk = health()
    for n, (change, half) in enumerate(
        [
            ("lost", ""),
            ("blocked", ""),
            ("lost", ""),
            ("blocked", "reading"),
            ("connected", ""),
            ("blocked", ""),
            ("lost", ""),
        ],
        1,
    ):
        desk.see(own(n, "source", change, half=half), NOON_MS + n)
    assert desk.titles == [
        "acme: pcvisit cannot be reached",
        "acme: pcvisit refuses everything, a human is needed",
        "acme: all is well again",
        "acme: pcvisit refuses everything, a human is needed",
    ]


def test_deletes_that_are_held_back_are_told_beside_a_refusal() -> None:
    """Each of the two waits for somebody."""
    desk = health()
    desk.see(own(1, "source", "blocked", half="reading", walks=["a"]), NOON_MS)
    held = [{"walk": "a", "entity": "session", "count": 40}]
    desk.see(own(2, "source", "blocked", half="deletes", held=held), NOON_MS)
    desk.see(own(3, "source", "blocked", half="reading", held=held), NOON_MS)
    assert desk.titles == [
        "acme: pcvisit refuses some of what is read, a human is needed",
        "acme: deletes are held back and wait for an operator",
    ]


def test_what_was_never_told_broken_is_not_told_healed() -> None:
    """A first connection, or the end of a trouble from before the alert was configured."""
    desk = health()
    desk.see(own(1, "source", "connected"), NOON_MS)
    desk.see(own(2, "source", "recovered"), NOON_MS)
    desk.see(own(3, "gap", "closed", id_="g1"), NOON_MS)
    assert desk.decisions == []


def test_sources_are_told_apart() -> None:
    """One that heals heals itself only."""
    desk = health()
    desk.see(own(1, "source", "lost"), NOON_MS)
    desk.see(own(2, "source", "lost", source="other"), NOON_MS)
    desk.see(own(3, "source", "recovered", source="other"), NOON_MS)
    assert [(one.kind, one.group) for one in desk.decisions] == [
        ("broken", "acme"),
        ("broken", "other"),
        ("healed", "other"),
    ]


def test_gaps() -> None:
    """Of a source: told when the first opens, and when the last is closed."""
    desk = health()
    since = {"from": "2024-02-29T11:00:00.000Z", "feed": "live", "reason": "the live session was down"}
    desk.see(own(1, "gap", "opened", id_="g1", **since), NOON_MS)
    desk.see(own(2, "gap", "opened", id_="g2", **since), NOON_MS)
    desk.see(own(3, "gap", "closed", id_="g1", to="2024-02-29T11:30:00.000Z", **since), NOON_MS)
    desk.see(own(4, "gap", "closed", id_="g2", to="2024-02-29T11:40:00.000Z", **since), NOON_MS)
    assert [(one.kind, one.title) for one in desk.decisions] == [
        ("broken", "acme: changes may have been missed since 2024-02-29T11:00:00.000Z"),
        ("healed", "acme: changes may have been missed until 2024-02-29T11:40:00.000Z, no more since"),
    ]
    assert desk.decisions[1].body.splitlines() == [
        "the live session was down",
        "Feed: live",
        "From 2024-02-29T11:00:00.000Z",
        "To 2024-02-29T11:40:00.000Z",
    ]


def test_quarantine_is_told_once_an_hour() -> None:
    """Of each source, with how many there were since."""
    desk = health()
    history = [(NOON_MS + n * MINUTE, own(n, "quarantine", "occurred", id_=f"q{n}", feed="live")) for n in (1, 2, 3)]
    history.append((NOON_MS + 4 * MINUTE, own(4, "quarantine", "occurred", source="other", id_="q4")))
    desk.run(history, NOON_MS + 3 * HOUR)
    assert [((at - NOON_MS) // MINUTE, one.group, one.kind, one.count, one.severity) for at, one in desk.told] == [
        (1, "acme", "event", 1, "warning"),
        (4, "other", "event", 1, "warning"),
        (61, "acme", "held", 2, "warning"),
    ]


def test_what_healed_in_quiet_hours_is_told_as_one_line_afterwards() -> None:
    """What is still broken is told as such, and its end when it comes."""
    desk = health(QuietHours(begin="13:00", end="15:00"))
    start = NOON_MS + HOUR
    history = [
        (start + 10 * MINUTE, own(1, "source", "lost")),
        (start + 20 * MINUTE, own(2, "source", "recovered")),
        (start + 30 * MINUTE, own(3, "source", "lost")),
        (start + 40 * MINUTE, own(4, "source", "connected")),
        (start + 50 * MINUTE, own(5, "source", "blocked", source="other")),
        (start + 55 * MINUTE, own(6, "quarantine", "occurred", source="third", id_="q1")),
        (start + 56 * MINUTE, own(7, "quarantine", "occurred", source="third", id_="q2")),
        (start + 3 * HOUR, own(8, "source", "recovered", source="other")),
    ]
    desk.run(history)
    morning, healed = desk.decisions
    assert desk.told[0][0] == NOON_MS + 3 * HOUR
    assert (morning.kind, morning.severity, morning.count) == ("quiet", "failure", 7)
    assert morning.title == "In quiet hours: 3 broke or failed, 1 of them still to be mended"
    assert morning.body.splitlines() == [
        "- 2024-02-29 13:10 acme: pcvisit cannot be reached (2 times); well again 2024-02-29 13:40",
        "- 2024-02-29 13:50 other: pcvisit refuses everything, a human is needed",
        "- 2024-02-29 13:55 third: something could not be read and was set aside (2 times)",
    ]
    assert (healed.kind, healed.group) == ("healed", "other")


def test_one_thing_in_quiet_hours_is_the_title() -> None:
    """Nobody has to open the message; what broke before and healed meanwhile is good news."""
    desk = health(QuietHours(begin="13:00", end="15:00"))
    desk.run(
        [(NOON_MS, own(1, "source", "lost")), (NOON_MS + 90 * MINUTE, own(2, "source", "recovered"))],
        NOON_MS + 5 * HOUR,
    )
    assert [(one.title, one.severity) for one in desk.decisions] == [
        ("acme: pcvisit cannot be reached", "failure"),
        ("2024-02-29 13:30 acme: all is well again", "success"),
    ]


def test_vendors_and_alerts_are_none_of_its_business() -> None:
    """Nor is what somebody else wrote under its subjects."""
    desk = health()
    desk.see(happening(1, entity="source", change="lost"), NOON_MS)
    desk.see(own(2, "alert", "occurred"), NOON_MS)
    desk.see(own(3, "source", "unheard-of"), NOON_MS)
    desk.see(happening(4, vendor="bridge", entity="source", change="lost", after=[1]), NOON_MS)
    assert desk.titles == ["acme: the vendor cannot be reached"]


def test_the_state_is_bounded() -> None:
    """Whatever breaks, and wherever."""
    desk = Desk(health(QuietHours(begin="13:00", end="15:00")).machine, restarts=False)
    for n in range(1500):
        source = "x" * 50 + f"{n}"
        at_ms = NOON_MS + (HOUR if n > 700 else 0)
        desk.see(own(4 * n, "source", "lost", source=source), at_ms)
        desk.see(own(4 * n + 1, "gap", "opened", source=source, id_=f"{n:024x}"), at_ms)
        desk.see(own(4 * n + 2, "gap", "opened", source="one", id_=f"{n:024x}"), at_ms)
        desk.see(own(4 * n + 3, "quarantine", "occurred", source=source, id_=f"{n:024x}"), at_ms)
    assert len(json.dumps(desk.state)) <= 100_000
