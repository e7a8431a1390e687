"""AgyleTime held for simulated days: edits, deletes, faults, kills; the stream is what the vendor's ledger says."""

from __future__ import annotations

from random import Random
from typing import Any

import anyio
import pytest

from tests.support.agyletime_rig import AgyletimeRig
from tests.support.engine import on_virtual_clock
from tests.support.thorough import tries

PACE: dict[str, dict[str, Any]] = {
    "shifts": {"every_s": 1_800.0, "page_size": 9},
    "tasks": {"every_s": 1_200.0, "slow_every_s": 5_400.0, "page_size": 25},
    "users": {"every_s": 3_600.0, "page_size": 7},
    "business-roles": {"every_s": 21_600.0},
    "system-roles": {"every_s": 21_600.0},
    "definitions": {"every_s": 21_600.0},
}
FAULTS: list[dict[str, Any]] = [
    {"kind": kind, "times": None, "probability": tries(0.03, 0.01), **more}
    for kind, more in dict[str, dict[str, Any]]({
        "http_500": {}, "http_502": {}, "http_429": {"seconds": 20.0}, "html": {}, "cut": {}, "truncated": {},
        "failure": {}, "revoked": {}, "garbage_token": {"on": "login"}, "cursor_refused": {}, "stuck": {},
        "repeat": {}, "overlap": {}, "doubled": {}, "retyped": {}, "misshapen": {}, "unreadable": {},
    }).items()
]  # fmt: skip
BEHAVIOURS: dict[str, dict[str, Any]] = {
    "as described": {},
    # Nothing that is only inferred holds: no single records, tokens that tell no life, a clock an hour off.
    "as unhelpful as may be": {
        "single": False, "token_says": "", "token_exp": False, "token_s": 400, "clock_off_s": -3600, "page_token_s": 1,
        "etag": True,
    },
}  # fmt: skip


@pytest.mark.parametrize(("behaviour", "days"), list(zip(BEHAVIOURS, (tries(1, 4), tries(1, 2)), strict=True)))
def test_for_days(behaviour: str, days: int) -> None:
    """Nothing that polling can see is lost, nothing is told deleted that is not, nothing comes twice, and what was
    there at the start was no news."""

    async def main() -> None:
        options = {"seed": 9, "users": 20, "shifts": 25, "tasks": 60, "most_per_page": 20, **BEHAVIOURS[behaviour]}
        # An operator whose vendor finds nobody by id says so: two looks then have to do.
        pace = PACE if options.get("single", True) else {name: {**table, "one": ""} for name, table in PACE.items()}
        rig, dice = AgyletimeRig(options, pace), Random(9)

        async def script() -> None:
            await anyio.sleep(7_200)
            assert {event.change for event in rig.stored()} == {"snapshot"}
            for fault in FAULTS:
                rig.sandbox.faults.plan(**fault)
            for hour in range(days * 24):
                rig.sandbox.make_change(4)
                if hour % 11 == 3:
                    await anyio.sleep(dice.uniform(0, 600))
                    rig.kill()
                await anyio.sleep(dice.uniform(1_800, 5_400))
            rig.sandbox.faults.clear()
            # The rarest are read every six hours, and a departure is looked at twice.
            await anyio.sleep(50_000)

        await rig.during(script)
        counters, report = rig.sandbox.counters(), rig.report()
        assert report.faithful, (report, counters)
        assert not rig.false_deletes()
        assert rig.lives > days
        assert len(counters["faults"]) >= 10, counters["faults"]
        assert sum(event.change == "deleted" for event in rig.stored()) > tries(5, 10)
        started = {change.id for change in rig.sandbox.ledger.changes if change.kind == "initial"}
        created = [e.data["id"] for e in rig.stored() if e.change == "created" and e.data["id"] in started]
        assert not created, created

    on_virtual_clock(main)


def test_its_limit_is_never_exceeded() -> None:
    """A vendor that allows 100 requests in 30 seconds never has to refuse one, however much there is to read."""

    async def main() -> None:
        options = {"users": 400, "shifts": 300, "tasks": 900, "most_per_page": 5, "requests_per_30s": 100}
        rig = AgyletimeRig(options, {"tasks": {"every_s": 30.0}, "users": {"every_s": 30.0}}, requests_per_30s=100)

        async def hour() -> None:
            await anyio.sleep(tries(400, 1_200))

        await rig.during(hour)
        counters = rig.sandbox.counters()
        assert counters["pages"] > tries(900, 1_500)
        assert "rate_limited" not in counters

    on_virtual_clock(main)


def test_what_is_forbidden_does_not_hold_up_the_others() -> None:
    """403 for one collection: it is reported and asked for again now and then, never in a loop; the others are read."""

    async def main() -> None:
        rig = AgyletimeRig({"forbidden": "users"}, PACE)

        async def hours() -> None:
            await anyio.sleep(4 * 3_600)

        await rig.during(hours)
        counters = rig.sandbox.counters()
        assert 1 <= counters["forbidden"] <= 10
        assert counters["logins"] < 40, "a new token was asked for again and again"
        assert {event.tokens[3] for event in rig.stored()} >= {"shift", "time-entry", "task-definition"}
        own = [entry.payload for entry in rig.ledger.events if entry.subject.startswith("events.bridge.")]
        assert any(b"walk users" in payload and b"permission" in payload for payload in own)
        assert all(rig.sandbox.secret.encode() not in entry.payload for entry in rig.ledger.events)

    on_virtual_clock(main)


def test_a_vendor_that_refuses_nothing_but_hands_out_no_token_is_asked_patiently() -> None:
    """A token endpoint that answers 200 with an error, hour after hour: back-off, no hang, no event about things; and
    once it works all is read."""

    async def main() -> None:
        rig = AgyletimeRig({}, PACE)
        rig.sandbox.faults.plan("failure", times=None, on="login", error="InternalError")

        async def hours() -> None:
            await anyio.sleep(2 * 3_600)
            assert not rig.stored()
            assert 2 < rig.sandbox.faults.served["failure"] < 200
            rig.sandbox.faults.clear()
            await anyio.sleep(3_600)

        await rig.during(hours)
        assert {event.change for event in rig.stored()} == {"snapshot"}

    on_virtual_clock(main)
