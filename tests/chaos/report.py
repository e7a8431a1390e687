"""A run as data, and as a table for a terminal."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from tests.chaos.judge import PROPERTIES
from tests.chaos.run import Run

PROGRAM: Final = "python -m tests.chaos"


def as_json(run: Run) -> dict[str, Any]:
    """Everything, with moments in seconds since the first blow might fall."""

    def since(at_s: float) -> float:
        return round(at_s - run.begun_s, 2)

    evidence, verdict = run.evidence, run.verdict
    per_second = Counter(int(since(event.at_ms / 1000)) for event in [*evidence.events, *evidence.telemetry])
    return {
        "faithful": verdict.faithful,
        "seed": run.plan.seed,
        "seconds": run.plan.seconds,
        "replicas": run.plan.replicas,
        "repeat": repeat(run),
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "processors": os.cpu_count(),
            "python": platform.python_version(),
        },
        "begun_s": round(run.begun_s, 3),
        "healed_s": since(run.healed_s),
        "ended_s": since(run.ended_s),
        "properties": {
            name: {"holds": not verdict.broken[name], "problems": verdict.broken[name][:200]} for name in PROPERTIES
        },
        "sentences": verdict.sentences(),
        "sources": verdict.rows,
        "faults": [asdict(effect) for effect in evidence.effects],
        "schedule": run.plan.to_json()["lanes"],
        "struck": [
            {
                "lane": blow.lane,
                "kind": blow.kind,
                "target": blow.target,
                "begin_s": since(blow.begin_s),
                "end_s": since(blow.end_s),
            }
            for blow in run.struck
        ],
        "events_per_s": [[second, per_second[second]] for second in sorted(per_second)],
        "states": {source: [[since(at_s), state] for at_s, state in moves] for source, moves in run.states.items()},
    }


def repeat(run: Run) -> str:
    """The command that strikes the same blows again."""
    minutes = f"{run.plan.seconds / 60:g}"
    return f"{PROGRAM} --minutes {minutes} --seed {run.plan.seed} --replicas {run.plan.replicas}"


def as_text(report: dict[str, Any]) -> str:
    """For programs."""
    return json.dumps(report, ensure_ascii=False, indent=1) + "\n"


def as_table(report: dict[str, Any]) -> str:
    """For a terminal: the sources, the faults, the properties, and if one fails what and how to repeat it."""
    faults = [
        {"lane": one["lane"], "fault": one["kind"], "struck": one["struck"], "did": f"{one['came']} {one['of']}"}
        for one in report["faults"]
    ]
    properties = [f"{'holds ' if it['holds'] else 'FAILS '} {name}" for name, it in report["properties"].items()]
    why = [] if report["faithful"] else ["", *report["sentences"], "", f"repeat it: {report['repeat']}"]
    return "\n".join(
        ["", *columns(report["sources"]), "", *columns(faults, left=("lane", "fault", "did")), "", *properties, *why]
    )


def columns(rows: Sequence[dict[str, Any]], left: Sequence[str] = ("source",)) -> list[str]:
    """Columns as wide as they need to be; numbers stand to the right."""
    names = list(rows[0])
    cells = [names, *([("-" if row[name] is None else str(row[name])) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if name in left else cell.rjust(width)
            for name, cell, width in zip(names, line, widths, strict=True)
        ).rstrip()
        for line in cells
    ]
