"""ProSonata, polled by the whole program: a quota in short blocks, unstable types, rows that move, hide and go, every
fault, daemon and broker killed. Reading again makes up for all of it.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.support.live_prosonata import paged
from tests.support.live_scene import LiveScene, figures, live_scene
from tests.support.program import elapse
from tests.support.stream import stream_reader

AGENCY: dict[str, Any] = {"size": 6, "flips": 0.4, "nulls": "mixed", "quota": 400, "block_s": 2.0, "others": 40}
ALWAYS: list[dict[str, Any]] = [
    {"kind": "overlap", "probability": 0.3},
    {"kind": "total_lies", "probability": 0.1, "rows": 7},
    {"kind": "total_lies", "probability": 0.1, "rows": -7},
    {"kind": "doubled", "probability": 0.1},
    {"kind": "unreadable", "probability": 0.1},
]
ONCE = ("http_503", "repeat", "html", "truncated", "data_object", "cut")
SLOW_S = 240.0
"""Of a machine that takes a second for a request, which has been seen: a deletion is told after two or three passes of
everything, some forty requests each."""

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(1_200)]


async def test_killed_in_its_first_reading_and_struck_by_everything_the_stream_equals_the_ledger(
    tmp_path: Path,
) -> None:
    """What there was is told as `snapshot` only, nothing that polling can see is lost, nothing is told deleted that is
    there or only hides, nothing comes twice."""
    async with live_scene(tmp_path, {"agency": ("prosonata", AGENCY)}, seed=71) as scene:
        (vendor,) = scene.vendors
        scene.listen("agency", vendor, resource=paged(12))
        # Some later page is never answered: however slow the machine, the first reading is not over.
        await vendor.fault("hang", times=None, on="next page", probability=0.3, seconds=600)
        scene.start()
        await vendor.struck(["hang"], SLOW_S)
        scene.daemon.kill()
        assert "live" not in scene.states().values()
        await vendor.call("DELETE", "faults")
        scene.daemon.start()
        await scene.all_live()
        assert scene.daemon.said("pass.resumed", -1)
        await _nothing_was_news(scene)

        for fault in ALWAYS:
            await vendor.fault(**{"times": None, **fault})
        await vendor.rate(12)
        dice = random.Random(71)
        for blow, *once in (("daemon", *ONCE[:3]), ("broker", *ONCE[3:])):
            for kind in once:
                await vendor.fault(kind)
            await vendor.asked(30, SLOW_S)
            await elapse(dice.uniform(0, 1))
            if blow == "daemon":
                scene.daemon.kill()
                await vendor.changed(5)
                scene.daemon.start()
            else:
                await scene.broker.restart()
        await vendor.changed(20)
        await vendor.struck({fault["kind"] for fault in ALWAYS} | set(ONCE), SLOW_S)
        (await scene.verdict(passes=0, settle_s=SLOW_S)).must_be_faithful()
        # Of rows that were all told, and of which nothing else is told any more.
        for kind in ("contacts-deactivate", "addresses-deactivate", "projecttimes-delete", "crmevents-delete"):
            await vendor.call("POST", "change", {"n": 2, "kind": kind})
        # Whom the first pass asks for by id is answered for before the second is over.
        verdict = await scene.verdict(passes=2, settle_s=SLOW_S)
        counters = await vendor.counters()
        print(figures(verdict.reports["agency"]), counters)
        verdict.must_be_faithful()
        assert "keys_in_urls" not in counters
        assert {event.tokens[3] for event in verdict.of("agency", change="deleted")} >= {"time-entry", "crm-event"}
        hidden = [
            event
            for entity in ("contact", "address")
            for event in verdict.of("agency", entity=entity, change="updated")
            if event.data["changed"] == ["active"] and event.data["after"]["active"] is False
        ]
        assert hidden
        private = ("sickness", "holiday", "kunde.example", "EXAMDEFF", "Lindenweg 1")
        texts = [f"{event.data}" for event in verdict.events if event.tokens[1] == "prosonata"]
        assert not [text for text in texts for word in private if word in text]


async def _nothing_was_news(scene: LiveScene) -> None:
    # With a reader of its own, as a broker that restarts forgets who has read.
    async with stream_reader(scene.broker.url) as reader:
        events = [event for event in await reader.events() if event.tokens[1] == "prosonata"]
    assert len(events) >= 90
    assert {event.change for event in events} == {"snapshot"}
    assert len({event.entity for event in events}) == len(events)
