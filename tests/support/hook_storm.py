"""A sender on a bad day: deliveries several times, in any order, to whichever instance; and what must come of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from random import Random
from typing import NamedTuple

import anyio

from bridge.adapter import Json
from bridge.engine.ports import Incoming
from tests.support.hook_rig import Instance, order, signed

ORDERS = 5
TRIES = 200


class Told(NamedTuple):
    """One event, wherever it was read."""

    entity: str
    change: str
    id: str
    version: str | None


def deliveries(count: int, random: Random) -> list[tuple[str, Json]]:
    """What is to be delivered: notices, and ever newer states of a few orders."""
    versions: dict[int, int] = defaultdict(int)
    found: list[tuple[str, Json]] = []
    for number in range(count):
        if random.random() < 0.5:
            found.append((f"msg_{number}", {"type": "ping", "n": number}))
            continue
        which = random.randrange(ORDERS)
        versions[which] += 1
        # Few states, so that one returns, and now and then the end: nothing but the version tells which is newer.
        gone = {"gone": True} if random.random() < 0.1 else {}
        found.append((f"msg_{number}", order(f"o{which}", versions[which], f"state {random.randrange(2)}", **gone)))
    return found


async def rage(
    instances: Sequence[Instance], what: Sequence[tuple[str, Json]], random: Random, *, at_once: int
) -> None:
    """Deliver each until it is confirmed, and one in three once more; the instance is picked anew for each attempt."""
    repeated = [*what, *(one for one in what if random.random() < 0.3)]
    random.shuffle(repeated)
    waiting = iter(repeated)

    async def sender() -> None:
        for id_, body in waiting:
            for _ in range(TRIES):
                request: Incoming = signed(id_, body)
                reply = await random.choice(instances)(request)
                if reply.status == 202:
                    break
                assert reply.status in (429, 503), reply
                await anyio.sleep(random.random() * 0.2)
            else:
                raise AssertionError(f"{id_} was refused {TRIES} times")

    async with anyio.create_task_group() as group:
        for _ in range(at_once):
            group.start_soon(sender)


def judge(what: Iterable[tuple[str, Json]], told: Sequence[Told]) -> None:
    """Each notice once; of each order only newer states, one after the other, the newest at last."""
    what = list(what)
    pings = sorted(id_ for id_, body in what if body["type"] == "ping")
    assert sorted(one.id for one in told if one.entity == "ping") == pings
    newest: dict[str, Json] = {}
    for _, body in what:
        if body["type"] == "order" and body["version"] > newest.get(body["id"], {"version": 0})["version"]:
            newest[body["id"]] = body
    history: dict[str, list[Told]] = defaultdict(list)
    for one in told:
        if one.entity == "order":
            history[one.id].append(one)
    assert history.keys() == newest.keys()
    for id_, events in history.items():
        versions = [int(one.version or 0) for one in events]
        assert all(before < after for before, after in pairwise(versions)), versions
        assert versions[-1] == newest[id_]["version"]
        assert (events[-1].change == "deleted") == ("gone" in newest[id_]), events
        for before, after in pairwise(["deleted", *(one.change for one in events)]):
            assert after == "deleted" or after == ("created" if before == "deleted" else "updated"), events
