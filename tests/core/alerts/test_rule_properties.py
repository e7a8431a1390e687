"""What holds of a rule whatever happens: nothing is lost, nothing is told twice, no group is told too often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bridge.core.alerts.condition import ConditionFailed
from bridge.core.alerts.health import Health
from bridge.core.alerts.rule import Rule
from bridge.core.alerts.settings import AlertSettings, QuietHours
from bridge.events import Event
from tests.support.happenings import HOUR, MINUTE, NOON_MS, Desk, happening, settings
from tests.support.thorough import tries

# The clocks in Berlin are put forward on 2024-03-31 at 02:00 and back on 2024-10-27 at 03:00.
BEFORE_SPRING_MS = 1_711_821_600_000
BEFORE_AUTUMN_MS = 1_729_965_600_000
DAY = 24 * HOUR

LENGTHS = {"1m": MINUTE, "20m": 20 * MINUTE, "3h": 3 * HOUR}

QUIET = st.sampled_from(
    (
        None,
        QuietHours(begin="22:00", end="06:30", zone="Europe/Berlin"),
        QuietHours(begin="02:15", end="02:45", zone="Europe/Berlin"),
        QuietHours(begin="12:00", end="12:30", days=["thu", "sun"]),
        QuietHours(begin="00:01", end="00:00", zone="Asia/Kathmandu"),
    )
)
RULES = st.builds(
    lambda rhythm, length, quiet, group_by: settings(
        **({rhythm: length} if rhythm else {}), quiet=quiet, group_by=group_by
    ),
    st.sampled_from(("", "throttle", "digest")),
    st.sampled_from(sorted(LENGTHS)),
    QUIET,
    st.sampled_from(([], ["source"], ["source", "after.site"])),
)
STEPS = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 2 * MINUTE), st.integers(0, 5 * HOUR)),
        st.sampled_from(("acme", "other", "third")),
        st.sampled_from(("updated", "updated", "updated", "snapshot")),
        st.sampled_from(("Printer", "fails", "no")),
    ),
    min_size=8,
    max_size=25,
)
STARTS = st.sampled_from((NOON_MS, BEFORE_SPRING_MS, BEFORE_AUTUMN_MS))


def condition(variables: Mapping[str, Any]) -> bool:
    """Fails for some, holds for some."""
    name = variables["after"]["name"]
    if name == "fails":
        raise ConditionFailed("it fails")
    return bool(name == "Printer")


def history(start_ms: int, steps: list[tuple[int, str, str, str]]) -> list[tuple[int, Event]]:
    """Events one after the other."""
    events, now_ms = [], start_ms
    for seq, (wait_ms, source, change, name) in enumerate(steps, 1):
        now_ms += wait_ms
        events.append((now_ms, happening(seq, at_ms=now_ms, source=source, change=change, after={"name": name})))
    return events


@hypothesis_settings(max_examples=tries(15, 50))
@given(RULES, STEPS, STARTS)
def test_every_event_is_counted_once(
    rule: AlertSettings, steps: list[tuple[int, str, str, str]], start_ms: int
) -> None:
    """Over throttles, digests, quiet hours and clock changes; what is named is named once, and ids are unique."""
    desk = Desk(Rule(rule, condition), restarts=False)
    events = history(start_ms, steps)
    decisions = desk.run(events, (events[-1][0] if events else start_ms) + 3 * DAY)
    news = [event for _, event in events if event.change != "snapshot" and event.after["name"] != "no"]
    assert sum(one.count for one in decisions) == len(news)
    named = Counter(one.seq for decision in decisions for one in decision.events)
    assert set(named) <= {int(event.ce_id, 16) for event in news}
    assert all(count == 1 for count in named.values())
    if len(news) <= 20:
        assert len(named) == len(news)
    assert len({one.id for one in decisions}) == len(decisions)
    assert desk.machine.next_ms(desk.state, start_ms + 100 * DAY) is None


@hypothesis_settings(max_examples=tries(15, 50))
@given(RULES, STEPS, STARTS)
def test_restarts_change_nothing(rule: AlertSettings, steps: list[tuple[int, str, str, str]], start_ms: int) -> None:
    """The state goes through JSON after every single step, and the decisions are the same."""
    events = history(start_ms, steps)
    end_ms = (events[-1][0] if events else start_ms) + 3 * DAY
    straight = Desk(Rule(rule, condition), restarts=False)
    straight.run(events, end_ms)
    broken = Desk(Rule(rule, condition), restarts=True)
    broken.run(events, end_ms)
    assert broken.told == straight.told


@hypothesis_settings(max_examples=tries(15, 50))
@given(RULES, STEPS, STARTS)
def test_no_group_is_told_too_often(rule: AlertSettings, steps: list[tuple[int, str, str, str]], start_ms: int) -> None:
    """At most one message in the throttle's or digest's time; what follows quiet hours comes beside it."""
    desk = Desk(Rule(rule, condition))
    events = history(start_ms, steps)
    desk.run(events, (events[-1][0] if events else start_ms) + 3 * DAY)
    length = LENGTHS.get(rule.throttle or rule.digest or "", 0)
    times: dict[str, list[int]] = {}
    for at_ms, decision in desk.told:
        if decision.kind == "failed":
            times.setdefault("the condition", []).append(at_ms)
        elif decision.kind != "quiet":
            times.setdefault(f"group {decision.group}", []).append(at_ms)
    for name, at in times.items():
        least = HOUR if name == "the condition" else length
        assert all(later - earlier >= least for earlier, later in pairwise(at))


@hypothesis_settings(max_examples=tries(15, 50))
@given(QUIET, STEPS, STARTS)
def test_nothing_is_told_in_quiet_hours(
    quiet: QuietHours | None, steps: list[tuple[int, str, str, str]], start_ms: int
) -> None:
    """None at all, and the message afterwards comes within a minute of their end."""
    from bridge.core.alerts.quiet import Quiet

    desk = Desk(Rule(settings(throttle="20m", quiet=quiet), condition))
    events = history(start_ms, steps)
    desk.run(events, (events[-1][0] if events else start_ms) + 3 * DAY)
    if quiet is None:
        assert all(decision.kind != "quiet" for decision in desk.decisions)
        return
    hours = Quiet(quiet)
    assert not any(hours.on(at_ms) for at_ms, _ in desk.told)
    for at_ms, decision in desk.told:
        if decision.kind == "quiet":
            assert hours.on(at_ms - MINUTE)


@hypothesis_settings(max_examples=tries(15, 50))
@given(RULES, STEPS, st.lists(st.integers(-DAY, DAY), min_size=25, max_size=25))
def test_a_clock_that_jumps_loses_nothing(
    rule: AlertSettings, steps: list[tuple[int, str, str, str]], jumps: list[int]
) -> None:
    """Forwards and backwards, before every event."""
    desk = Desk(Rule(rule, condition))
    now_ms = NOON_MS
    for (_, event), jump in zip(history(NOON_MS, steps), jumps, strict=False):
        now_ms += jump
        desk.see(event, now_ms)
        at = desk.machine.next_ms(desk.state, now_ms)
        if at is not None and at <= now_ms:
            desk.put(now_ms, desk.machine.due(desk.state, now_ms))
    desk.wait(now_ms + 3 * DAY, now_ms)
    news = [one for one in steps if one[2] != "snapshot" and one[3] != "no"]
    assert sum(one.count for one in desk.decisions) == len(news)
    assert len({one.id for one in desk.decisions}) == len(desk.decisions)


ODD = st.text(st.sampled_from('a.ä\ud800\x00\n\u202e"{}'), max_size=6)


@hypothesis_settings(max_examples=tries(25, 100))
@given(st.lists(st.tuples(ODD, ODD, ODD, ODD), min_size=1, max_size=6), st.sampled_from(("throttle", "digest")))
def test_what_is_told_and_remembered_can_be_stored(odd: list[tuple[str, str, str, str]], rhythm: str) -> None:
    """As JSON in UTF-8, whoever wrote the event: half pairs, control characters, anything."""
    rule = settings(**{rhythm: "1m"}, title="{id} {after}", body="{source}", group_by=["entity", "after.name"])
    machines = (Rule(rule), Health(AlertSettings(name="health", preset="health")))
    for machine in machines:
        desk = Desk(machine)
        for seq, (source, id_, ce_id, name) in enumerate(odd):
            given_: dict[str, Any] = {"source": source, "id": id_, "ce_id": ce_id, "traceparent": name}
            desk.see(happening(seq, entity=name, **given_, after={"name": name}), NOON_MS, seq)
            for entity, change in (("source", "lost"), ("gap", "opened"), ("quarantine", "occurred")):
                event = happening(seq, vendor="bridge", entity=entity, change=change, **given_, after={"reason": name})
                desk.see(event, NOON_MS, seq)
        msgspec.json.encode(desk.state)
        desk.wait(NOON_MS + HOUR * 3, NOON_MS)
        for decision in desk.decisions:
            msgspec.json.encode(decision.data())
            assert "\n" not in decision.title
            assert len(decision.title) <= 250
