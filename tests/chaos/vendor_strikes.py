"""What vendors and senders do wrong, and what becomes of it there."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from tests.chaos.parts import ENOUGH, LESS
from tests.chaos.schedule import Blow
from tests.chaos.sender import Sender
from tests.support.live_scene import LiveVendor
from tests.support.program import elapse
from tests.support.waiting import wait_until

FELT_S: Final = 45.0
"""So much longer a fault lasts that has struck nothing yet: while the broker is away vendors are not asked."""
FAULTS: Final[dict[str, list[dict[str, Any]]]] = {
    "storm": [
        {"kind": "http_503", "probability": 0.4, "seconds": 1},
        {"kind": "http_502", "probability": 0.4},
        {"kind": "http_500", "probability": 0.8},
    ],
    "poison": [{"kind": "unreadable", "probability": 0.5}],
    "withheld": [{"kind": "withheld", "probability": 0.5}],
    "doubled": [{"kind": "pushed_twice", "probability": 0.7}],
    "reordered": [{"kind": "reordered", "probability": 0.7, "shape": "same"}],
    "quota cut": [{"kind": "http_429", "seconds": 1}],
}
TELLS_IN_TIME: Final = ("office",)
"""Whose every answer tells what is left: who heeds that is never refused, unless the vendor is wrong about it."""
SERVED: Final[dict[str, tuple[str, ...]]] = {
    "storm": ("http_500", "http_502", "http_503"),
    "poison": ("unreadable",),
    "withheld": ("withheld",),
    "doubled": ("pushed_twice",),
    "reordered": ("reordered",),
    "quota cut": ("http_429",),
}
"""By what a vendor counts that a fault has struck."""


def refused(counters: Mapping[str, Any]) -> int:
    """How many requests were refused because there were too many."""
    return int(counters.get("rate_limited", 0) + counters["faults"].get("http_429", 0))


async def strike_vendor(vendor: LiveVendor, blow: Blow) -> tuple[Counter[str], bool]:
    """Misbehave for the blow's time, and then until it has done something.

    Returns what the vendor itself does not count, and whether anything came of it.
    """
    did: Counter[str] = Counter()
    match blow.kind:
        case "quota cut" if vendor.name in LESS:
            await vendor.call("POST", "options", LESS[vendor.name])
            if vendor.name in TELLS_IN_TIME:
                await vendor.fault("http_429", times=None, seconds=1, probability=0.3)
            came = await _until_more(vendor, blow.seconds, refused)
            await vendor.call("POST", "options", ENOUGH[vendor.name])
            await vendor.call("DELETE", "faults")
        case "revoked":
            await vendor.call("POST", "revoke")
            came = await _until_more(vendor, blow.seconds, lambda counters: counters.get("logins", 0))
            did[f"{vendor.name}: logins after"] += came
        case "dropped":
            # While nobody listens there is nothing to drop.
            await _until_more(vendor, blow.seconds, lambda counters: counters.get("sockets", 0), least=0)
            came = (await vendor.call("POST", "drop", {"code": 1012}))["dropped"]
            did[f"{vendor.name}: sockets"] += came
        case _:
            for fault in FAULTS[blow.kind]:
                await vendor.fault(**{"times": None, **fault})
            came = await _until_more(vendor, blow.seconds, lambda counters: _served(counters, blow.kind))
            await vendor.call("DELETE", "faults")
    return did, came > 0


def _served(counters: Mapping[str, Any], kind: str) -> int:
    return sum(counters["faults"].get(name, 0) for name in SERVED[kind])


async def _until_more(
    vendor: LiveVendor, seconds: float, count: Callable[[Mapping[str, Any]], int], least: int | None = None
) -> int:
    """So many seconds, and at most `FELT_S` more until the count has grown (over `least`); by how much it has."""
    before = count(await vendor.counters()) if least is None else least
    await elapse(seconds)
    after = before

    async def grown() -> bool:
        nonlocal after
        after = count(await vendor.counters())
        return after > before

    with contextlib.suppress(AssertionError):
        await wait_until(grown, FELT_S)
    return after - before


async def strike_sender(sender: Sender, blow: Blow) -> bool:
    """The same of the sender of webhooks."""
    before = sender.did[blow.kind]
    flag = {"withheld": "withhold", "doubled": "double", "reordered": "reorder", "poison": "poison"}[blow.kind]
    setattr(sender, flag, True)
    await elapse(blow.seconds)
    if flag != "poison":
        setattr(sender, flag, False)
    return sender.did[blow.kind] > before
