"""A rule: which events are told, in which words, and how often."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from bridge.core.alerts.condition import ConditionFailed
from bridge.core.alerts.rule import Rule
from bridge.core.alerts.settings import QuietHours
from bridge.core.alerts.windows import MOST_GROUPS
from tests.support.happenings import HOUR, MINUTE, NOON_MS, Desk, happening, own, settings


def test_an_event_is_told_at_once() -> None:
    """With its texts, its place in the stream, its time and its trace; and only that one."""
    rule = Rule(settings(title="{after.name} {change}", body="{after | -}", severity="warning"))
    desk = Desk(rule)
    desk.see(happening(7, traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01"), NOON_MS)
    (decision,) = desk.decisions
    assert decision.data() == {
        "alert": "ops",
        "group": "",
        "title": "Printer 7 updated",
        "body": '{"name":"Printer 7","site":"north"}',
        "severity": "warning",
        "count": 1,
        "held": 0,
        "events": [{"subject": "events.pcvisit.acme.session.updated.7", "ce_id": f"{7:032x}", "seq": 7}],
        "first": "2024-02-29T12:00:00.000Z",
        "last": "2024-02-29T12:00:00.000Z",
    }
    assert decision.traceparent == "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
    assert len(decision.id) == 32
    assert set(decision.id) <= set("0123456789abcdef")
    assert rule.next_ms(desk.state, NOON_MS) is None


def test_without_texts_no_content_is_told() -> None:
    """Channels are other people's: what an event holds is told only where the configuration says so."""
    desk = Desk(Rule(settings(title=None)))
    desk.see(happening(7), NOON_MS)
    assert desk.titles == ["acme: session 7 updated"]
    assert desk.decisions[0].body == "de.pcvisit.session.updated\n2024-02-29T12:00:00.000Z"


@pytest.mark.parametrize(
    ("subjects", "told"),
    [
        (["events.>"], True),
        (["pcvisit.>"], True),
        (["events.*.acme.session.updated.*"], True),
        (["events.other.>", "events.pcvisit.*.*.*.7"], True),
        (["events.pcvisit.acme.session.created.*"], False),
        (["events.pcvisit.acme.>", "events.>"], True),
        (["bridge.>"], False),
    ],
)
def test_filters_select(subjects: list[str], told: bool) -> None:
    """Any of them; `events.` in front may be left out."""
    desk = Desk(Rule(settings(subjects=subjects)))
    desk.see(happening(7), NOON_MS)
    assert bool(desk.decisions) is told


def test_old_news_and_alerts_are_never_told() -> None:
    """A snapshot says what was there before; an alert that told of alerts would never end."""
    desk = Desk(Rule(settings(subjects=["events.>"])))
    desk.see(happening(1, change="snapshot"), NOON_MS)
    desk.see(own(2, "alert", "occurred", source="ops"), NOON_MS)
    assert desk.decisions == []


def test_a_condition_selects() -> None:
    """It is asked with the event's variables."""

    def north(variables: Mapping[str, Any]) -> bool:
        return bool(variables["after"]["site"] == "north")

    desk = Desk(Rule(settings(), north))
    desk.see(happening(1), NOON_MS)
    desk.see(happening(2, after={"name": "x", "site": "south"}), NOON_MS)
    assert desk.titles == ["Printer 1"]


def test_a_condition_that_fails_is_told_once_an_hour() -> None:
    """The event is alarmed as such and the rule lives on; what fails meanwhile is counted and told afterwards."""

    def picky(variables: Mapping[str, Any]) -> bool:
        if variables["id"] != "9":
            raise ConditionFailed("the event lacks a field it names: price")
        return True

    desk = Desk(Rule(settings(throttle="1m"), picky))
    history = [(NOON_MS + n * MINUTE, happening(n)) for n in (1, 2, 3, 9)]
    decisions = desk.run(history, NOON_MS + 3 * HOUR)
    assert [(one.kind, one.title, one.count) for one in decisions] == [
        ("failed", "ops: the condition failed on an event", 1),
        ("event", "Printer 9", 1),
        ("failed", "ops: the condition failed on an event (and 1 more)", 2),
    ]
    assert decisions[0].body.splitlines() == [
        "the event lacks a field it names: price",
        "events.pcvisit.acme.session.updated.1",
        f"ce-id {1:032x}, sequence 1",
    ]
    assert decisions[0].severity == "warning"


def test_a_throttle() -> None:
    """The first at once; what follows within the time is told together when it ends, and so on from then."""
    desk = Desk(Rule(settings(throttle="10m")))
    minutes = (0, 1, 2, 11, 40)
    decisions = desk.run([(NOON_MS + n * MINUTE, happening(n + 1)) for n in minutes], NOON_MS + HOUR)
    assert [((at - NOON_MS) // MINUTE, one.kind, one.count, one.held) for at, one in desk.told] == [
        (0, "event", 1, 0),
        (10, "held", 2, 2),
        (20, "held", 1, 1),
        (40, "event", 1, 0),
    ]
    assert decisions[1].title == "Printer 3 (and 1 more)"
    assert decisions[1].body == "- Printer 2\n- Printer 3"
    assert decisions[2].title == "Printer 12"
    assert decisions[2].body == "de.pcvisit.session.updated\n2024-02-29T12:00:00.000Z"
    assert desk.machine.next_ms(desk.state, NOON_MS + HOUR) is None


def test_what_was_held_is_told_with_the_next_event_if_nobody_was_there_at_the_end() -> None:
    """After an outage of the daemon: one message, not two."""
    rule = Rule(settings(throttle="10m"))
    desk = Desk(rule)
    for n in (1, 2, 3):
        desk.see(happening(n), NOON_MS)
    desk.see(happening(4), NOON_MS + HOUR)
    assert desk.titles == ["Printer 1", "Printer 4 (2 held back before)"]
    last = desk.decisions[-1]
    assert (last.count, last.held, [one.seq for one in last.events]) == (3, 2, [2, 3, 4])
    assert last.body.splitlines()[-3:] == ["Held back since 2024-02-29T12:00:00.000Z:", "- Printer 2", "- Printer 3"]


def test_a_digest() -> None:
    """The first event starts its time; one message at its end has a line for each, twenty at most, and counts all."""
    desk = Desk(Rule(settings(digest="10m")))
    decisions = desk.run([(NOON_MS + n * 10_000, happening(n + 1)) for n in range(30)], NOON_MS + HOUR)
    (decision,) = decisions
    assert desk.told[0][0] == NOON_MS + 10 * MINUTE
    assert (decision.kind, decision.count, decision.held, len(decision.events)) == ("digest", 30, 0, 20)
    assert decision.title == "Printer 30 (and 29 more)"
    assert decision.body.splitlines() == [*(f"- Printer {n}" for n in range(1, 21)), "and 10 more"]


def test_a_digest_that_ended_unseen_is_told_before_the_next_begins() -> None:
    """The next event has a time of its own."""
    desk = Desk(Rule(settings(digest="10m")))
    desk.see(happening(1), NOON_MS)
    desk.see(happening(2), NOON_MS + HOUR)
    desk.wait(NOON_MS + 2 * HOUR, NOON_MS + HOUR)
    assert [((at - NOON_MS) // MINUTE, one.title) for at, one in desk.told] == [(60, "Printer 1"), (70, "Printer 2")]


def test_groups_are_throttled_by_themselves() -> None:
    """A group is what the values of its paths are; one that is missing is a value, too."""
    desk = Desk(Rule(settings(throttle="10m", group_by=["source", "after.site"])))
    desk.see(happening(1), NOON_MS)
    desk.see(happening(2), NOON_MS)
    desk.see(happening(3, source="other"), NOON_MS)
    desk.see(happening(4, after={"name": "x", "site": "a\nb"}), NOON_MS)
    desk.see(happening(5, after={"name": "y"}), NOON_MS)
    assert [(one.title, one.group) for one in desk.decisions] == [
        ("Printer 1", "acme / north"),
        ("Printer 3", "other / north"),
        ("x", "acme / a b"),
        ("y", "acme / -"),
    ]


def test_quiet_hours_hold_everything_for_one_message_afterwards() -> None:
    """Also what a throttle was about to tell; a failure does not break them."""
    quiet = QuietHours(begin="13:00", end="14:30", zone="Europe/Berlin")
    desk = Desk(Rule(settings(throttle="30m", quiet=quiet, severity="failure")))
    # Noon is 13:00 in Berlin.
    minutes = (-3, -2, -1, 5, 6, 7, 89, 95)
    desk.run([(NOON_MS + n * MINUTE, happening(n + 10)) for n in minutes], NOON_MS + 3 * HOUR)
    assert [((at - NOON_MS) // MINUTE, one.kind, one.count) for at, one in desk.told] == [
        (-3, "event", 1),
        (90, "quiet", 6),
        (95, "event", 1),
    ]
    assert desk.decisions[1].body.splitlines() == [f"- Printer {n}" for n in (15, 16, 17, 8, 9, 99)]
    assert desk.decisions[1].held == 6


def test_a_clock_that_goes_back_loses_nothing() -> None:
    """The throttle ends its length after the new now at the latest, and nothing is told twice."""
    rule = Rule(settings(throttle="10m"))
    desk = Desk(rule)
    desk.see(happening(1), NOON_MS)
    desk.see(happening(2), NOON_MS - 24 * HOUR)
    desk.wait(NOON_MS - 23 * HOUR, NOON_MS - 24 * HOUR)
    assert [((at - NOON_MS) // MINUTE, one.title) for at, one in desk.told] == [
        (0, "Printer 1"),
        (-24 * 60 + 10, "Printer 2"),
    ]


def test_a_digest_survives_a_clock_that_goes_back() -> None:
    """It comes at most its length after the moment in which that was noticed, a minute later."""
    desk = Desk(Rule(settings(digest="10m")))
    desk.see(happening(1), NOON_MS)
    desk.wait(NOON_MS - 20 * HOUR, NOON_MS - 24 * HOUR)
    assert [(at - NOON_MS) // MINUTE for at, _ in desk.told] == [-24 * 60 + 11]


def test_the_state_is_bounded() -> None:
    """A thousand groups, and few bytes: the oldest is let go, and what it held is told at once."""
    rule = Rule(settings(throttle="1d", group_by=["id"]))
    desk = Desk(rule, restarts=False)
    for n in range(MOST_GROUPS + 200):
        desk.see(happening(n), NOON_MS + n)
    assert len(desk.decisions) == 1200
    assert len(desk.state["groups"]) <= 1000
    assert len(json.dumps(desk.state)) <= 100_000
    for n in range(1200):
        desk.see(happening(5000 + n, id=f"{n}", after={"name": "é" * 400}), NOON_MS + 5000 + n)
    assert len(json.dumps(desk.state, ensure_ascii=False).encode()) <= 100_000
    desk.wait(NOON_MS + 100 * 24 * HOUR, NOON_MS + 10_000)
    assert sum(one.count for one in desk.decisions) == 2400


def test_what_is_let_go_is_told() -> None:
    """Beyond a thousand groups the oldest digest comes early; none is lost."""
    desk = Desk(Rule(settings(digest="1d", group_by=["id"], title="x")), restarts=False)
    for n in range(1500):
        desk.see(happening(n, id=f"{n}"), NOON_MS + n)
    early = len(desk.decisions)
    assert early >= 500
    assert [one.events[0].seq for one in desk.decisions] == list(range(early))
    assert len(json.dumps(desk.state)) <= 100_000
    desk.wait(NOON_MS + 48 * HOUR, NOON_MS + 1500)
    assert sum(one.count for one in desk.decisions) == 1500


def test_the_same_decision_has_the_same_id() -> None:
    """Others have others: by group, by event, and where an erased event came again."""
    ids: list[str] = []
    for n, seq in ((1, 1), (1, 1), (1, 9), (2, 2)):
        desk = Desk(Rule(settings()))
        desk.see(happening(n), NOON_MS + len(ids), seq)
        ids.append(desk.decisions[0].id)
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert Rule(settings(name="other")).seen({}, happening(1), 1, NOON_MS)[0].id not in ids


def test_a_state_of_another_version_is_begun_anew() -> None:
    """Rather than misread."""
    desk = Desk(Rule(settings(throttle="10m")), state={"version": 0, "groups": 5})
    desk.see(happening(1), NOON_MS)
    assert desk.titles == ["Printer 1"]


def test_a_rule_that_was_configured_anew_goes_on_with_its_state() -> None:
    """What a throttle held is told though there is none any more; a digest that is a throttle now ends in its time."""
    desk = Desk(Rule(settings(throttle="1d")))
    desk.see(happening(1), NOON_MS)
    desk.see(happening(2), NOON_MS)
    plain = Desk(Rule(settings()), state=desk.state)
    plain.see(happening(3), NOON_MS + 1)
    plain.wait(NOON_MS + MINUTE, NOON_MS + 1)
    assert plain.titles == ["Printer 3", "Printer 2"]
    digest = Desk(Rule(settings(digest="10m")))
    digest.see(happening(1), NOON_MS)
    throttled = Desk(Rule(settings(throttle="5m")), state=digest.state)
    throttled.see(happening(2), NOON_MS + 1)
    throttled.wait(NOON_MS + HOUR, NOON_MS + 1)
    assert throttled.titles == ["Printer 2 (and 1 more)"]


def test_all_can_be_told_now() -> None:
    """For whoever cannot keep what a rule remembers."""
    rule = Rule(settings(throttle="1d", group_by=["source"]))
    desk = Desk(rule)
    for n in (1, 2, 3):
        desk.see(happening(n), NOON_MS)
        desk.see(happening(10 + n, source="other"), NOON_MS)
    assert [one.count for one in rule.flush(desk.state)] == [2, 2]
    assert rule.next_ms(desk.state, NOON_MS) is None


def test_missing_fields_are_reported() -> None:
    """To be counted and logged; the text says so in its place."""
    desk = Desk(Rule(settings(title="{after.name}: {after.price}", body="{after.price} {before.x} {version}")))
    desk.see(happening(1), NOON_MS)
    assert desk.titles == ["Printer 1: (no after.price)"]
    assert desk.decisions[0].missing == ("after.price", "before.x")
