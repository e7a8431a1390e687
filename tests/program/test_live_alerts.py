"""Alerts of a real daemon, told through Apprise and as signed webhooks to a real receiver: killed at random moments,
with a channel that is away for a while. `BRIDGED_ALERT_KILLS` says how often, `BRIDGED_LIVE_SEED` repeats its chances.
"""

from __future__ import annotations

import json
import os
import random
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support.alert_receiver import Receiver, alert_receiver
from tests.support.live_scene import LiveScene, live_scene
from tests.support.program import elapse
from tests.support.stream import Stored
from tests.support.waiting import wait_until

KILLS = int(os.environ.get("BRIDGED_ALERT_KILLS", "2"))
SEED = int(os.environ.get("BRIDGED_LIVE_SEED") or 151)
THROTTLE_S = 3
PLANT: dict[str, Any] = {"objects": 4, "history": 6, "deletes": False}
ALERTS = f"""
[[alert]]
name = "each"
subjects = ["platform.>"]
where = "change != 'never'"
title = "{{ce_id}}"
notify = [{{ env = "ALERT_URL" }}]
[[alert.webhook]]
name = "hook"
url = "HOOK"
secret = {{ env = "ALERT_KEY" }}

[[alert]]
name = "few"
subjects = ["platform.>"]
throttle = "{THROTTLE_S}s"
group_by = ["entity"]
[[alert.webhook]]
name = "hook"
url = "FEW"
secret = {{ env = "ALERT_KEY" }}
"""

pytestmark = pytest.mark.anyio


@pytest.mark.timeout(300 + 20 * KILLS)
async def test_every_event_is_told_whatever_befalls_the_daemon(tmp_path: Path) -> None:
    """Daemon and broker are killed. None is missing, in order; twice is told what was in flight at a kill, by the same
    id; the throttle holds."""
    async with alert_receiver() as receiver, live_scene(tmp_path, {"plant": ("platform", PLANT)}, seed=SEED) as scene:
        await started(scene, receiver)
        (plant,) = scene.vendors
        await plant.rate(8)
        dice = random.Random(SEED)
        for number in range(KILLS):
            await plant.changed(10)
            if number == 0:
                receiver.down.add("/hook")
                await wait_until(lambda: receiver.refused >= 1, what="the channel to have refused one")
                before = len(receiver.told["/apprise"])
                await wait_until(lambda told=before: len(receiver.told["/apprise"]) > told + 10, what="the other")
                failing = await channel(scene, "each", "hook")
                assert failing["waiting"] > 5
                assert failing["failing"]
                assert "has not taken it" in failing["problem"]
            await elapse(dice.uniform(0, 1))
            if number % 3 == 1:
                await scene.broker.restart()
            else:
                scene.daemon.kill()
                await plant.changed(10)
                scene.daemon.start()
                await scene.all_live()
            receiver.down.clear()
        await plant.changed(10)
        await scene.calm()
        (await scene.verdict(passes=1)).must_be_faithful()
        await all_told(scene, receiver)
        judge(await scene.reader.events(), begun_after(scene), receiver)
        assert (await channel(scene, "each", "hook"))["problem"] == ""
        assert await scene.daemon.terminate() == 0


async def started(scene: LiveScene, receiver: Receiver) -> None:
    """The daemon runs, and its alerts have begun."""
    rarely = dict.fromkeys(("stores_every_s", "journal_every_s", "packets_every_s"), 3.0)
    scene.listen("main", scene.vendors[0], stores=["objects"], **rarely)
    scene.also(ALERTS.replace("HOOK", receiver.url("/hook")).replace("FEW", receiver.url("/few")))
    key = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"
    await scene.begin(ALERT_URL=receiver.url("/apprise", "json"), ALERT_KEY=key)
    await wait_until(lambda: scene.daemon.said("alerts.begin"), what="the alerts to begin")


def begun_after(scene: LiveScene) -> int:
    """What lies behind this sequence is news."""
    after: int = scene.daemon.said("alerts.begin", 0)[0]["after"]
    return after


async def channel(scene: LiveScene, alert: str, name: str) -> dict[str, Any]:
    """A channel as `bridged status` tells of it."""
    done = await scene.command("status", "--json")
    assert done.code == 0, done.err
    (told,) = [one for one in json.loads(done.out)["alerts"] if one["name"] == alert]
    (found,) = [one for one in told["channels"] if one["name"] == name]
    return dict(found)


async def all_told(scene: LiveScene, receiver: Receiver) -> None:
    """Returns when every alert that is stored has reached all its channels, and every event is one of them."""

    async def done() -> bool:
        events = await scene.reader.events()
        each = {event.headers["ce-id"] for event in alerts(events, "each")}
        news = told_of(events, begun_after(scene))
        heard = {id_ for id_, _ in receiver.told["/hook"]}
        return len(each) >= len(news) and each <= heard and len(titles(receiver)) >= len(each)

    await wait_until(done, what="every alert to be told")


def titles(receiver: Receiver) -> set[str]:
    return {body["title"] for _, body in receiver.told["/apprise"]}


def alerts(events: list[Stored], name: str) -> list[Stored]:
    return [event for event in events if event.tokens[1:4] == ["bridge", name, "alert"]]


def told_of(events: list[Stored], after: int) -> list[str]:
    """The events that must alert."""
    vendors = [event for event in events if event.tokens[1] == "platform" and event.change != "snapshot"]
    return [event.headers["ce-id"] for event in vendors if event.seq > after]


def judge(events: list[Stored], after: int, receiver: Receiver) -> None:
    """Fails with what is wrong."""
    news, each, few = told_of(events, after), alerts(events, "each"), alerts(events, "few")
    assert len(news) > 10 * KILLS
    assert [event.data["after"]["events"][0]["ce_id"] for event in each] == news, "decided not once, or not in order"
    stored = [event.headers["ce-id"] for event in each]
    heard = [id_ for id_, _ in receiver.told["/hook"]]
    assert list(dict.fromkeys(heard)) == stored, "not told, or not in order"
    assert len(heard) - len(stored) <= KILLS, "told twice without having been in flight at a kill"
    said = [body["title"] for _, body in receiver.told["/apprise"]]
    assert list(dict.fromkeys(said)) == news
    assert len(said) - len(news) <= KILLS
    by_id = {event.headers["ce-id"]: event for event in each}
    for id_, body in receiver.told["/hook"]:
        assert (body["id"], body["data"]["title"]) == (id_, by_id[id_].data["after"]["title"])
    assert sum(event.data["after"]["count"] for event in few) <= len(news)
    decided: dict[str, list[int]] = defaultdict(list)
    for event in few:
        decided[event.data["after"]["group"]].append(event.at_ms)
    assert decided
    for at in decided.values():
        # Decided by the daemon's clock, and stored a moment later or sooner than the next.
        assert all(later - earlier > THROTTLE_S * 1000 - 500 for earlier, later in pairwise(at)), decided
