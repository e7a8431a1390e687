"""Alerts on a virtual clock: decided once, told at least once, whatever happens to the process, NATS or a channel."""

from __future__ import annotations

import os
from collections import defaultdict
from itertools import pairwise
from random import Random
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from bridge.core.alerts.settings import AlertSettings
from bridge.core.errors import Refused, Retry
from tests.support.alert_rig import Recorder, Rig, Rule
from tests.support.engine import on_virtual_clock
from tests.support.thorough import tries

HOUR = 3600.0
SEEDS = range(int(os.environ.get("BRIDGED_ALERT_DAYS", "1")))
HAPPENINGS = tries(90, 250)


def rule(name: str = "ops", *channels: Recorder, **settings: Any) -> Rule:
    return Rule(AlertSettings(name=name, **{"subjects": ["events.acme.>"], "title": "{id}", **settings}), channels)


def play(rig: Rig, script: Any) -> None:
    on_virtual_clock(lambda: rig.during(script))


def test_what_happens_is_told() -> None:
    """In the words of the rule, at once, once, in order; what was there before is no news."""
    hook = Recorder("hook")
    rig = Rig(rule("ops", hook, title="{id} is {after.n}", body="of {source}", severity="failure"))

    async def script() -> None:
        rig.happen("a")
        rig.happen("b")
        rig.happen("c", "snapshot")
        await anyio.sleep(10)

    async def main() -> None:
        rig.happen("before")
        await rig.during(script)

    on_virtual_clock(main)
    assert [(one.alert.title, one.alert.body, one.alert.severity) for one in hook.told] == [
        ("a is 2", "of main", "failure"),
        ("b is 3", "of main", "failure"),
    ]
    assert hook.told[0].at < 1
    assert [entry.ce_id for entry in rig.stored("ops")] == hook.ids()


def test_an_alert_is_no_event_that_alerts() -> None:
    """A rule that wants everything does not hear of itself, nor of another."""
    one, two = Recorder("one"), Recorder("two")
    rig = Rig(rule("a", one, subjects=["events.>"]), rule("b", two, subjects=["events.bridge.>", "events.acme.>"]))

    async def script() -> None:
        rig.happen("x")
        await anyio.sleep(HOUR)

    play(rig, script)
    assert len(one.told) == len(two.told) == 1


def test_a_dead_channel_holds_up_nobody_and_loses_nothing() -> None:
    """Hours later it is told everything, in order; it is complained of once, and once it is said that all is well."""
    dead, well = Recorder("dead", down=Retry("no answer")), Recorder("well")
    other = Recorder("other")
    rig = Rig(rule("ops", dead, well), rule("more", other))

    async def script() -> None:
        for n in range(30):
            rig.happen(f"e{n}")
            await anyio.sleep(300)
        assert len(well.told) == len(other.told) == 30
        assert not dead.told
        (status, *_) = rig.running.statuses()
        assert (status.channel, status.reason, status.failing_since_ms is not None) == ("dead", "no answer", True)
        assert status.failures == status.failed == dead.attempts
        dead.down = None
        await anyio.sleep(200)

    with capture_logs() as logs:
        play(rig, script)
    assert [told.alert.title for told in dead.told] == [f"e{n}" for n in range(30)]
    assert [log["event"] for log in logs if log.get("channel") == "dead"] == ["alert.undelivered", "alert.delivered"]
    (status, *_) = rig.running.statuses()
    assert (status.failures, status.failed, status.told) == (0, dead.attempts - 30, 30)
    # A growing pause: two and a half hours are neither a busy loop nor a handful of attempts.
    assert 75 < dead.attempts - 30 < 170


def test_a_channel_that_refuses_is_asked_more_rarely() -> None:
    """What the other side will never take is kept, said, and tried every quarter of an hour."""
    hook = Recorder("hook", down=Refused("410: gone"))
    rig = Rig(rule("ops", hook))

    async def script() -> None:
        rig.happen("a")
        await anyio.sleep(24 * HOUR)
        assert rig.running.statuses()[0].refused
        hook.down = None
        await anyio.sleep(1000)

    with capture_logs() as logs:
        play(rig, script)
    assert [told.alert.title for told in hook.told] == ["a"]
    assert 24 * 4 < hook.attempts < 24 * 8 + 10
    (warning,) = [log for log in logs if log["event"] == "alert.refused"]
    assert warning["reason"] == "410: gone"


def test_a_channel_is_waited_for_as_it_asks_to() -> None:
    """`Retry-After` counts, up to an hour."""
    hook = Recorder("hook", down=Retry("429", after=600.0))
    rig = Rig(rule("ops", hook))

    async def script() -> None:
        rig.happen("a")
        await anyio.sleep(2 * HOUR)
        assert 10 <= hook.attempts <= 13
        hook.down = Retry("429", after=1e9)
        await anyio.sleep(660)
        before = hook.attempts
        await anyio.sleep(4000)
        assert hook.attempts == before + 1

    play(rig, script)


def test_a_bug_of_a_channel_costs_the_others_nothing() -> None:
    """A library that raises anything at all, or never comes back, is tried again like a channel that is away."""
    broken, hanging, well = Recorder("broken", down=KeyError("x")), Recorder("hanging", takes_s=1e6), Recorder("well")
    rig = Rig(rule("ops", broken, hanging, well))

    async def script() -> None:
        rig.happen("a")
        await anyio.sleep(60)
        assert len(well.told) == 1
        reasons = {status.channel: status.reason for status in rig.running.statuses()}
        assert reasons == {"broken": "an error of ours (KeyError)", "hanging": "no answer within 20 s", "well": ""}
        broken.down, hanging.takes_s = None, 0.01
        await anyio.sleep(300)

    play(rig, script)
    assert len(broken.told) == len(hanging.told) == 1


def test_whoever_stops_finishes_what_was_begun() -> None:
    """An orderly stop in the middle of an attempt: it comes to its end, and the next process does not repeat it."""
    hook = Recorder("hook", takes_s=3.0)
    rig = Rig(rule("ops", hook))

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(rig.run)
            await rig.begun()
            rig.happen("a")
            await anyio.sleep(1)
            assert hook.attempts == 1
            group.cancel_scope.cancel()
        assert len(hook.told) == 1
        await rig.during(lambda: anyio.sleep(60))

    on_virtual_clock(main)
    assert hook.attempts == 1


def test_an_acknowledgement_that_was_lost_is_no_second_telling() -> None:
    """NATS goes away while a channel is told: when it is back, only that has to be said."""
    hook = Recorder("hook", takes_s=2.0)
    rig = Rig(rule("ops", hook))

    async def script() -> None:
        rig.happen("a")
        await anyio.sleep(1)
        rig.ledger.go_away()
        await anyio.sleep(30)
        assert len(hook.told) == 1
        rig.ledger.come_back()
        await anyio.sleep(30)
        rig.happen("b")
        await anyio.sleep(30)

    play(rig, script)
    assert [told.alert.title for told in hook.told] == ["a", "b"]


def test_nats_away_is_waited_for() -> None:
    """What happened meanwhile is told when it is back."""
    hook = Recorder("hook")
    rig = Rig(rule("ops", hook))

    async def script() -> None:
        rig.ledger.go_away()
        await anyio.sleep(HOUR)
        rig.ledger.come_back()
        rig.happen("a")
        await anyio.sleep(30)
        rig.ledger.drop_connection()
        rig.happen("b")
        await anyio.sleep(30)

    play(rig, script)
    assert [told.alert.title for told in hook.told] == ["a", "b"]


def test_a_stream_that_went_back_is_gone_on_with_at_its_end() -> None:
    """It is said; nothing old is told, and nothing that comes then is missed."""
    hook = Recorder("hook")
    rig = Rig(rule("ops", hook))

    async def script() -> None:
        for n in range(5):
            rig.happen(f"e{n}")
        await anyio.sleep(30)
        rig.ledger.lose_tail(2)
        await anyio.sleep(30)
        rig.happen("new")
        await anyio.sleep(30)

    with capture_logs() as logs:
        play(rig, script)
    assert [told.alert.title for told in hook.told] == ["e0", "e1", "e2", "e3", "e4", "new"]
    assert [log["event"] for log in logs if log["log_level"] == "warning"] == [
        "alerts.stream_lost",
        "alerts.begin",
    ]


def test_a_cursor_beyond_the_end_is_of_another_stream() -> None:
    """It is said, and alerts go on at the end."""
    hook = Recorder("hook")
    rig = Rig(rule("ops", hook))
    far = {"seq": 10**6, "rules": {"ops": {"after": 10**6, "state": {}}}}

    async def script() -> None:
        rig.ledger.overwrite_cursor("alerts", "decisions", far)
        rig.ledger.drop_connection()
        rig.happen("a")
        await anyio.sleep(30)
        rig.happen("b")
        await anyio.sleep(30)

    with capture_logs() as logs:
        play(rig, script)
    assert [told.alert.title for told in hook.told][-1:] == ["b"]
    assert "alerts.stream_lost" in [log["event"] for log in logs if log["log_level"] == "warning"]


def test_new_and_removed_alerts() -> None:
    """A new one begins with now, also while the others are behind; one that was removed leaves nothing."""
    a, b = Recorder("a"), Recorder("b")
    rig = Rig(rule("old", a))

    async def first() -> None:
        rig.happen("x")
        await anyio.sleep(30)

    async def second() -> None:
        await anyio.sleep(30)
        rig.happen("z")
        await anyio.sleep(30)

    async def main() -> None:
        await rig.during(first)
        rig.happen("y")
        rig.rules.append(rule("new", b))
        await rig.during(second)
        del rig.rules[0]
        await rig.during(second)

    on_virtual_clock(main)
    assert [told.alert.title for told in a.told] == ["x", "y", "z"]
    assert [told.alert.title for told in b.told] == ["z", "z"]
    assert list(rig.post.places) == [("new", "b")]
    assert list(rig.ledger.cursor("alerts", "decisions")["rules"]) == ["new"]


def test_a_silent_stream_is_left_alone() -> None:
    """Where nothing happens nothing is written; where nothing matches, the cursor follows now and then."""
    hook = Recorder("hook")
    rig = Rig(rule("ops", hook, subjects=["events.acme.*.thing.created.a", "events.acme.*.thing.created.b"]))

    async def script() -> None:
        await anyio.sleep(60)
        before = rig.ledger.last_seq
        await anyio.sleep(HOUR)
        assert rig.ledger.last_seq == before
        for n in range(100):
            rig.happen(f"c{n}")
            await anyio.sleep(0.5)
        await anyio.sleep(10)
        assert 9 <= rig.ledger.last_seq - before - 100 <= 12

    play(rig, script)
    assert not hook.told


def test_a_field_that_is_missing_is_said_once() -> None:
    """The alert says so in its text, the log says so once, and it is counted."""
    hook = Recorder("hook")
    rig = Rig(rule("ops", hook, title="{after.name}"))

    async def script() -> None:
        for _ in range(3):
            rig.happen()
        await anyio.sleep(30)
        assert rig.running.decider.missing == {"ops": 3}

    with capture_logs() as logs:
        play(rig, script)
    assert [told.alert.title for told in hook.told] == ["(no after.name)"] * 3
    assert [log["field"] for log in logs if log["event"] == "alert.field_missing"] == ["after.name"]


def test_more_alerts_at_once_than_one_write_takes() -> None:
    """Hundreds of events that nobody looked at for a while: each is told, once."""
    hook = Recorder("hook", takes_s=0.0)
    rig = Rig(rule("ops", hook))

    async def main() -> None:
        await rig.during(lambda: anyio.sleep(1))
        ids = [rig.happen() for _ in range(450)]
        await rig.during(rig.silence)
        assert hook.events() == ids

    on_virtual_clock(main)
    assert len(hook.told) == 450


@pytest.mark.parametrize("seed", SEEDS)
def test_a_day_of_alerts_under_restarts(seed: int) -> None:
    """Hours, or a day, of processes that die at any step. Every event is told to every channel, in order; what was
    told twice was in flight when a process died; throttles and digests do not notice that anybody has died."""
    plain, dead = Recorder("plain"), Recorder("dead")
    throttled, digest = Recorder("throttled"), Recorder("digest")
    rig = Rig(
        rule("each", plain, dead),
        rule("few", throttled, throttle="30m", group_by=["source"]),
        rule("summary", digest, digest="2h"),
        seed=seed,
    )
    dice = Random(seed)
    happened: dict[str, list[str]] = defaultdict(list)

    async def script() -> None:
        rig.chance = 0.004
        for n in range(HAPPENINGS):
            await anyio.sleep(dice.expovariate(1 / 330))
            source = dice.choice(["north", "south"])
            happened[source].append(rig.happen(source=source))
            if dice.random() < 0.1:
                rig.happen(f"s{n}", "snapshot")
            if n in (HAPPENINGS // 4, HAPPENINGS // 2):
                dead.down = Retry("away") if n == HAPPENINGS // 4 else None
            if n == HAPPENINGS * 3 // 4:
                rig.ledger.go_away()
                await anyio.sleep(100)
                rig.ledger.come_back()
        await anyio.sleep(3 * HOUR)
        rig.chance = 0.0
        await rig.silence()

    play(rig, script)
    assert rig.deaths > HAPPENINGS // 5, "too few deaths to prove anything"
    everything = sorted(id_ for ids in happened.values() for id_ in ids)
    for channel, name in ((plain, "each"), (dead, "each"), (throttled, "few"), (digest, "summary")):
        assert channel.ids() == [entry.ce_id for entry in rig.stored(name)], "missing, or out of order"
        # Among all channels a death costs at most one repetition each.
        assert channel.repeated() <= rig.deaths
    assert sum(channel.repeated() for channel in (plain, dead, throttled, digest)) > 0, "nobody died in flight"
    assert sorted(plain.events()) == sorted(dead.events()) == everything
    for name in ("few", "summary"):
        assert sum(entry.data["after"]["count"] for entry in rig.stored(name)) == len(everything)
    for source in happened:
        decided = [entry.at for entry in rig.stored("few") if entry.data["after"]["group"] == source]
        assert len(decided) > HAPPENINGS // 25
        assert min(later - earlier for earlier, later in pairwise(decided)) >= 1800 - 1
    at = [entry.at for entry in rig.stored("summary")]
    assert min(later - earlier for earlier, later in pairwise(at)) >= 7200 - 1
