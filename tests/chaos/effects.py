"""What the faults did, counted by what came of them and not by what was asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from tests.chaos.judge import Effect
from tests.chaos.parts import LESS, Parts
from tests.chaos.schedule import SHOP, STEP_S, WINDOW_S, Schedule, kinds
from tests.chaos.strikes import FULL, Strikes
from tests.chaos.vendor_strikes import SERVED, refused
from tests.support.program import Child
from tests.support.stream import STREAM, Stored

OTHER_TIME_S: Final = STEP_S / 2
"""A moment that is so far off was read from a clock that had stepped."""


def effects(
    parts: Parts,
    strikes: Strikes,
    plan: Schedule,
    counters: Mapping[str, Mapping[str, Any]],
    events: Sequence[Stored],
) -> list[Effect]:
    """One for each kind of each lane. `counters`: the vendors'; `events`: the stream's."""
    struck = Counter((blow.lane, blow.kind) for blow in strikes.struck)
    came = {
        **_instances(parts, strikes),
        **_ways(strikes),
        **_brokers(parts, strikes, events),
        **_vendors(parts, strikes, counters),
        **_sender(parts, events),
    }
    return [
        Effect(lane, kind, struck[lane, kind], *came[lane, kind])
        for lane, given in kinds(plan.replicas).items()
        for kind in given
    ]


Came = dict[tuple[str, str], tuple[int, str]]


def _instances(parts: Parts, strikes: Strikes) -> Came:
    daemons = parts.daemons.values()
    begun_s = min((blow.begin_s for blow in strikes.struck), default=0.0)
    strange = sum(strange_times(daemon, begun_s) for daemon in daemons)
    return {
        ("instances", "killed"): (sum(daemon.kills for daemon in daemons), "processes gone by SIGKILL"),
        ("instances", "paused"): (sum(daemon.pauses for daemon in daemons), "processes that stood still"),
        ("instances", "stopped"): (sum(daemon.terms for daemon in daemons), "processes gone by SIGTERM"),
        ("instances", "clock stepped"): (
            strange + parts.sender.answers["401"],
            "log lines of another time, and webhooks refused for their time",
        ),
    }


def strange_times(daemon: Child, begun_s: float) -> int:
    """How many lines of its log are of a time that is not the run's."""
    times = [moment_s(line) for line in daemon.lines()]
    return sum(1 for at_s in times if at_s and not -OTHER_TIME_S < at_s - begun_s < _longest(times) + OTHER_TIME_S)


def _longest(times: Sequence[float]) -> float:
    """A run lasts for minutes, and a clock steps by an hour: what is not strange lies close together."""
    known = sorted(at_s for at_s in times if at_s)
    middle = known[len(known) // 2] if known else 0.0
    near = [at_s for at_s in known if abs(at_s - middle) < OTHER_TIME_S]
    return near[-1] - near[0] if near else 0.0


def moment_s(line: Mapping[str, Any]) -> float:
    """When a line was logged, in seconds since the Unix epoch, by the clock of the one that logged it; 0: no idea."""
    try:
        return datetime.fromisoformat(str(line["timestamp"])).timestamp()
    except (KeyError, ValueError):
        return 0.0


def _ways(strikes: Strikes) -> Came:
    words = {
        "refused": "listeners closed",
        "delayed": "chunks delayed",
        "trickled": "pieces",
        "cut": "connections ended in the middle of a message",
        "half-closed": "connections",
        "reset": "connections",
        "silent": "connections that said nothing",
        "deaf": "connections that heard nothing",
    }
    return {("ways", kind): (strikes.did[kind], of) for kind, of in words.items()}


def _brokers(parts: Parts, strikes: Strikes, events: Sequence[Stored]) -> Came:
    did = strikes.did
    logs = [server.log_path.read_text("utf-8", "replace") for server in parts.servers]
    said = [daemon.text() for daemon in parts.daemons.values()]
    times = [event.at_ms / 1000 for event in events]
    silences = sum(after - before > WINDOW_S for before, after in pairwise(times))
    full = sum(text.count(FULL) for text in logs) + sum(text.count("limits are reached") for text in said)
    elected = sum(text.count(f"> {STREAM}'") for text in logs if "new stream leader" in text)
    return {
        ("broker", "killed"): (did["broker killed"], "servers gone by SIGKILL"),
        ("broker", "frozen"): (did["broker frozen"], "servers that stood still"),
        ("broker", "away"): (silences, f"times that nothing was stored for {WINDOW_S:g} s"),
        ("broker", "full"): (full, "complaints about it, by broker and instances"),
        ("broker", "rolled back"): (did["broker rolled back"], "messages lost"),
        ("broker", "deposed"): (min(did["broker deposed"], elected), "leaders that stepped down"),
    }


def _vendors(parts: Parts, strikes: Strikes, counters: Mapping[str, Mapping[str, Any]]) -> Came:
    found: Came = {}
    for name in parts.vendors:
        served, did = counters[name]["faults"], strikes.did
        for kind, names in SERVED.items():
            found[name, kind] = (sum(served.get(one, 0) for one in names), ", ".join(names))
        if name in LESS:
            found[name, "quota cut"] = (refused(counters[name]), "requests refused")
        found[name, "revoked"] = (did[f"{name}: logins after"], "new logins")
        found[name, "dropped"] = (did[f"{name}: sockets"], "sockets")
    return found


def _sender(parts: Parts, events: Sequence[Stored]) -> Came:
    did = parts.sender.did
    kept = sum(event.tokens[1:4] == ["bridge", SHOP, "quarantine"] for event in events)
    return {
        (SHOP, "withheld"): (did["withheld"], "times that something waited"),
        (SHOP, "doubled"): (did["doubled"], "deliveries sent again"),
        (SHOP, "reordered"): (did["reordered"], "deliveries that overtook others"),
        (SHOP, "poison"): (kept, "deliveries in quarantine"),
    }
