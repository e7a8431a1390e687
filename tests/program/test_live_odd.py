"""Live sessions and frames, answers and sockets that no server should give: each strikes a source of its own.

One daemon with two dozen sources on one played vendor that misbehaves, and one on a vendor that does not. `make test`
has each of them at a session alone: tests/core/wire/test_scenarios.py, tests/edge/test_graphql_session.py,
tests/edge/test_websocket_wire.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge.sandbox.odd import ENDING, SHAPES
from tests.support.live_scene import LiveScene, LiveVendor, figures, live_scene
from tests.support.waiting import wait_until

MESSAGE_MB = 0.25

IN_STREAM: list[dict[str, Any]] = [
    *({"kind": "odd_frame", "shape": shape} for shape in (*SHAPES, *ENDING)),
    {"kind": "errors_pushed"},
    {"kind": "errors_pushed", "shape": "partial"},
    {"kind": "null_pushed"},
    {"kind": "failure_pushed"},
    {"kind": "completed"},
    {"kind": "huge_push", "size": 1_000_000},
]
"""What comes instead of a push, before it or with it: one push has one of them."""

AT_THE_DOOR: list[dict[str, Any]] = [
    {"kind": "upgrade_refused", "status": 401},
    {"kind": "upgrade_refused", "status": 429, "seconds": 1},
    {"kind": "upgrade_refused", "status": 503},
    {"kind": "upgrade_refused", "status": 503, "seconds": 1},
    {"kind": "subprotocol", "shape": "none"},
    {"kind": "subprotocol", "shape": "wrong"},
    {"kind": "init_refused"},
]

SOURCES = [f"bad-{number}" for number in range(len(IN_STREAM) + 1)]
"""One more, that is never told that it was let in: it gives up after ten seconds, while the others are struck."""

PROTOCOLS: dict[str, tuple[str, dict[str, Any], dict[str, Any], int]] = {
    # The vendor, its options, the sources' settings, and how many of IN_STREAM cannot be read, and are kept.
    "graphql-ws": ("pcvisit", {"companies": 1, "history": 3, "recent_samples": True}, {}, 5),
    "graphql-transport-ws": (
        "pcvisit",
        {"companies": 1, "history": 3, "recent_samples": True},
        {"ws_subprotocol": "graphql-transport-ws"},
        5,
    ),
    # A message without a result is none for a channel, so two fewer come as far as being read; but the failure of a
    # vendor that has no other word for it is errors, and an empty list of errors is a result without data: two more.
    "actioncable": ("x_assist", {"history": 3}, {"transport": "actioncable"}, 5),
}

RARELY: dict[str, dict[str, float]] = {
    "pcvisit": {"history_fast_every_s": 5.0, "history_slow_every_s": 5.0},
    "x_assist": {"recent_every_s": 5.0, "by_id_every_s": 5.0, "all_every_s": 5.0},
}
"""Sessions are the subject: so many sources that read all the time would be most of the work."""

pytestmark = [pytest.mark.anyio, pytest.mark.chaos, pytest.mark.timeout(400)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_nothing_a_server_sends_or_refuses_ends_a_source(tmp_path: Path, protocol: str) -> None:
    """Every odd frame, failure and refusal, each at another source: all live on, everything is stored once, what
    cannot be read is in quarantine once, `status` shows it, and the other vendor's source notices nothing."""
    kind, options, settings, unreadable = PROTOCOLS[protocol]
    vendors = {
        "bad": (kind, {**options, "requests_per_hour": None} if kind == "x_assist" else options),
        "good": ("pcvisit", {"companies": 1, "history": 3, "recent_samples": True}),
    }
    async with live_scene(tmp_path, vendors, seed=101) as scene:
        bad, good = scene.vendors
        for name in SOURCES:
            scene.listen(name, bad, **RARELY[kind], **settings, ws_max_message_mb=MESSAGE_MB)
        scene.listen("good", good)
        await bad.fault("ack_withheld")
        scene.start()
        await all_but_one_live(scene)
        assert await bad.served("ack_withheld") == 1
        await good.rate(5)
        await struck_in_stream(bad)
        # What a session has not looked at when it is cut is gone.
        await wait_until(lambda: kept_of(scene, unreadable), what=f"{unreadable} payloads in quarantine")
        await bad.call("POST", "change", {"n": 3, "kind": "renamed"})
        await all_but_one_live(scene)
        await struck_at_the_door(scene, bad)
        blocked = {name for name, state in scene.states().items() if state == "blocked"}
        await bad.call("POST", "change", {"n": 3, "kind": "renamed"})
        await scene.all_live(but=blocked)
        verdict = await scene.verdict()
        print(figures(verdict.reports["bad-0"]), await bad.counters())
        verdict.must_be_faithful()

        kept = [event for name in SOURCES for event in verdict.of(name, entity="quarantine")]
        assert len(kept) == unreadable
        assert len({event.tokens[2] for event in kept}) == unreadable
        assert not verdict.of("good", entity="quarantine")
        assert not scene.told("good", "source.waiting")
        assert len(scene.told("good", "source.live")) == 1

        # The two where the sub-protocol was not agreed on wait for a human, and are polled meanwhile.
        assert len(blocked) == 2
        assert {event.tokens[2] for event in verdict.events if event.change == "blocked"} == blocked
        shown: dict[str, Any] = {}

        async def settled() -> bool:
            # On a busy machine a reading may just be late, and then that is a problem, too.
            status = (await scene.command("status", "--json")).json
            shown.update({source["name"]: source for source in status["sources"]})
            return {name for name, source in shown.items() if source["problems"]} == blocked

        await wait_until(settled, 60, "the two to be the only ones with a problem")
        assert all("ws_subprotocol" in shown[name]["problems"][0] for name in blocked)
        assert {name for name, source in shown.items() if source["quarantined"]} == {e.tokens[2] for e in kept}


async def kept_of(scene: LiveScene, wanted: int) -> bool:
    """Whether so many payloads are in quarantine."""
    return sum(event.tokens[3] == "quarantine" for event in await scene.reader.events()) >= wanted


async def all_but_one_live(scene: LiveScene) -> None:
    """Returns when no more than one source is not live."""
    await wait_until(
        lambda: list(scene.states().values()).count("live") >= len(SOURCES), 60, f"live sources:\n{scene.daemon.tail()}"
    )


async def struck_in_stream(vendor: LiveVendor) -> None:
    """One change, pushed to as many sources as there are faults: each push has another."""
    for fault in IN_STREAM:
        await vendor.fault(**fault)
    await vendor.call("POST", "change", {"n": 1, "kind": "renamed"})

    async def all_struck() -> bool:
        return not (await vendor.call("GET", "faults"))["planned"]

    await wait_until(all_struck, 60, "every fault of the stream to strike")


async def struck_at_the_door(scene: LiveScene, vendor: LiveVendor) -> None:
    """Every socket is cut, and of those that come back some are turned away, each in another way."""
    for fault in AT_THE_DOOR:
        await vendor.fault(**fault)
    await vendor.call("POST", "drop", {"code": 1006})

    async def all_struck() -> bool:
        planned = (await vendor.call("GET", "faults"))["planned"]
        return not planned and list(scene.states().values()).count("blocked") == 2

    await wait_until(all_struck, 60, "every fault at the door to strike")
