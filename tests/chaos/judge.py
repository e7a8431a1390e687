"""The judge of a run: what the vendors and the sender know against stream and view, and what the run was put through.

Pure: everything is in the evidence, so that a test can doctor it.
"""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from bridge.sandbox import oracle
from bridge.sandbox.ledger import Change
from bridge.sandbox.oracle import Report
from bridge.sandbox.oracle_once import Issued, Once, once
from tests.chaos.schedule import SHOP
from tests.chaos.sender import ORDER, PAYMENT, POISON, Sent
from tests.support.live_scene import Played, judge
from tests.support.stream import Stored, chain_faults

LOST: Final = "nothing is lost in silence: it is in the stream, within a published gap, or in quarantine"
TWICE: Final = "nothing is there twice"
ORDERED: Final = "what happened to one entity is in its order"
INVENTED: Final = "nothing is invented, every payload is what the vendor said"
CURRENT: Final = "the view is the current state"
WORKS: Final = "every source works again after the faults"
HAPPENED: Final = "every kind of fault really happened"
SECRET: Final = "no secret is in any artefact"
SOUND: Final = "no bug was logged, nothing ended by itself"
PROPERTIES: Final = (LOST, TWICE, ORDERED, INVENTED, CURRENT, WORKS, HAPPENED, SECRET, SOUND)

JWT: Final = re.compile(r"eyJ[\w-]{15,}\.eyJ[\w-]{15,}")
"""What vendors hand out while it runs: nobody has planted it, but it is as secret."""
STATES: Final = ("created", "updated", "snapshot")


@dataclass(frozen=True, slots=True)
class Effect:
    """What a kind of fault did: in which lane, how often it was struck, how much came of it, and of what."""

    lane: str
    kind: str
    struck: int
    came: int
    of: str


@dataclass(slots=True)
class Evidence:
    """All there is to judge. Times are milliseconds since the Unix epoch.

    `changes`: the vendors' ledgers by source; `played`: whose they are. `events`, `telemetry`: the streams, in order.
    `recovery_s`: from the end of the faults to the first event, by source; None: none came. `artefacts`: what the run
    left behind, by name, as text; `secrets`: what must not be in them, by name. `complaints`: what logs must not hold.
    """

    changes: Mapping[str, Sequence[Change]]
    played: Mapping[str, Played]
    sent: Sequence[Sent]
    events: Sequence[Stored]
    telemetry: Sequence[Stored]
    view: Mapping[str, Any]
    recovery_s: Mapping[str, float | None]
    effects: Sequence[Effect]
    artefacts: Mapping[str, str]
    secrets: Mapping[str, str]
    complaints: Sequence[str]
    faults_ms: tuple[int, int] = (0, 0)
    """From when to when faults fell."""


@dataclass(slots=True)
class Verdict:
    """What a run has come to. `broken`: by property, what breaks it, in words; without one it holds."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    broken: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in PROPERTIES})

    @property
    def faithful(self) -> bool:
        """Whether every property holds."""
        return not any(self.broken.values())

    def sentences(self, most: int = 12) -> list[str]:
        """Why not, at most so many for each property."""
        found = []
        for name, problems in self.broken.items():
            found += [f"not so: {name} ({len(problems)})"] if problems else []
            found += [f"  {problem}" for problem in problems[:most]]
        return found


def judged(evidence: Evidence) -> Verdict:
    """Hold everything against everything."""
    verdict = Verdict()
    for source, report in reports(evidence).items():
        _judge_source(source, report, evidence, verdict)
    for stream in (evidence.events, evidence.telemetry):
        for fault in chain_faults(stream):
            verdict.broken[TWICE if "appears" in fault else ORDERED].append(fault)
    verdict.broken[CURRENT] += view_differs(evidence.events, evidence.view)
    verdict.broken[WORKS] += [f"{name}: no event" for name, after_s in evidence.recovery_s.items() if after_s is None]
    verdict.broken[HAPPENED] += [
        f"{effect.lane}: {effect.kind} was struck {effect.struck} times, and did nothing ({effect.of})"
        for effect in evidence.effects
        if not (effect.struck and effect.came)
    ]
    verdict.broken[SECRET] += secrets_in(evidence.artefacts, evidence.secrets)
    verdict.broken[SOUND] += evidence.complaints
    return verdict


def reports(evidence: Evidence) -> dict[str, Report]:
    """Each source's events against its vendor's ledger; the shop's against the sender's."""
    everything = [*evidence.events, *evidence.telemetry]
    found = {
        source: judge(evidence.changes[source], everything, source, played)
        for source, played in evidence.played.items()
    }
    return {**found, SHOP: judge_sent(evidence.sent, everything)}


def judge_sent(sent: Iterable[Sent], events: Iterable[Stored]) -> Report:
    """Each confirmed payment once; of each order its versions one after the other, and the last at last; each confirmed
    delivery that nobody can read once in quarantine. Lost is lost since the confirmation."""
    sent = list(sent)
    own = [event for event in events if event.tokens[2] == SHOP]
    payments = [
        Issued((PAYMENT, each.id), each.confirmed_ms or each.made_ms, each.body, optional=not each.confirmed_ms)
        for each in sent
        if each.kind == PAYMENT
    ]
    paid = [
        Once((PAYMENT, event.data["id"]), event.change, event.data["after"], event.at_ms, event.headers["ce-id"])
        for event in own
        if event.tokens[1] == "webhook" and event.tokens[3] != ORDER
    ]
    orders = [
        Change(number, each.confirmed_ms or each.made_ms, ORDER, each.body["order"]["id"], "updated", "", each.body)
        for number, each in enumerate((each for each in sent if each.kind == ORDER), 1)
    ]
    ordered = [
        oracle.Seen(event.data["id"], event.change, event.data["after"], event.at_ms, event.headers["ce-id"])
        for event in own
        if event.tokens[1] == "webhook" and event.tokens[3] == ORDER
    ]
    kept = Report()
    kept_ones = (event for event in own if event.tokens[3] == "quarantine")
    raws = Counter(_as_plain(event.data["after"].get("raw", "")) for event in kept_ones)
    for each in sent:
        if each.kind != POISON or not each.confirmed_ms:
            continue
        times = raws[oracle.plain(each.body)]
        kept.changes += 1
        kept.missing += times == 0
        kept.duplicates += times > 1
        if times != 1:
            kept.found(f"{each.id}: cannot be read, and is in quarantine {times} times")
        if not times:
            kept.lost.append((each.id, each.confirmed_ms))
    happened = once(payments, paid, carries=lambda after, body: oracle.plain(after) == oracle.plain(body))
    return oracle.total([happened, oracle.compare(orders, ordered, view=dict, expects_deletes=False), kept])


def gaps(events: Iterable[Stored], source: str) -> list[tuple[int, int]]:
    """The published gaps of a source, from when to when. One that was never closed has no end."""
    found: dict[str, tuple[int, int]] = {}
    for event in events:
        if event.tokens[1:4] == ["bridge", source, "gap"]:
            after = event.data["after"]
            found[event.tokens[5]] = (_ms(after["from"]), _ms(after["to"]) if after["to"] else 1 << 62)
    return list(found.values())


def silent(source: str, report: Report, events: Iterable[Stored]) -> list[tuple[str, int]]:
    """What of a source is missing, and within no gap that was published."""
    published = gaps(events, source)
    return [lost for lost in report.lost if not any(begin <= lost[1] <= end for begin, end in published)]


def view_differs(events: Iterable[Stored], view: Mapping[str, Any]) -> list[str]:
    """Where the view is not what the last event of each entity left, in words."""
    last = {".".join(event.entity): event for event in events if event.change in (*STATES, "deleted")}
    wanted = {key: oracle.plain(event.data["after"]) for key, event in last.items() if event.change in STATES}
    found = {key: oracle.plain(value["after"]) for key, value in view.items()}
    return [
        f"view: {key} {'is absent' if key not in found else 'is unknown' if key not in wanted else 'differs'}"
        for key in sorted(wanted.keys() | found.keys())
        if wanted.get(key) != found.get(key)
    ]


def secrets_in(artefacts: Mapping[str, str], secrets: Mapping[str, str]) -> list[str]:
    """Which secret is in which artefact, as it is, in Base64 at any place of a triple, or as in URLs; and tokens."""
    found = [f"a token (JWT) is in {where}" for where, text in artefacts.items() if JWT.search(text)]
    for name, secret in secrets.items():
        spellings = {secret, urllib.parse.quote(secret, safe=""), *_base64(secret)}
        found += [f"{name} is in {where}" for where, text in artefacts.items() if any(one in text for one in spellings)]
    return found


def _base64(secret: str) -> list[str]:
    """What is the same whatever stands before and after it."""
    whole = [base64.b64encode(b" " * shift + secret.encode()).decode().rstrip("=") for shift in range(3)]
    return [text[4 if shift else 0 : -2] for shift, text in enumerate(whole)]


def _judge_source(source: str, report: Report, evidence: Evidence, verdict: Verdict) -> None:
    missing = silent(source, report, evidence.events)
    for name, problems in (
        (LOST, [f"{source}: {id_} of {at_ms} ms is nowhere" for id_, at_ms in missing]),
        (TWICE, [f"{source}: {report.duplicates} times"] if report.duplicates else []),
        (ORDERED, [f"{source}: {report.out_of_order} times"] if report.out_of_order else []),
        (INVENTED, [f"{source}: {report.invented} times"] if report.invented else []),
    ):
        verdict.broken[name] += problems
        if problems and name != LOST:
            verdict.broken[name] += [f"{source}: {finding}" for finding in report.findings]
    kept = [event for event in evidence.events if event.tokens[1:4] == ["bridge", source, "quarantine"]]
    verdict.rows.append(
        {
            "source": source,
            "changes": report.changes,
            "events": report.events,
            "missing": len(missing),
            "twice": report.duplicates,
            "out of order": report.out_of_order,
            "invented": report.invented,
            "superseded": report.superseded + report.lapsed,
            "gaps": len(gaps(evidence.events, source)),
            "within gaps": len(report.lost) - len(missing),
            "quarantined": len(kept),
            "p50 ms": report.percentile(50),
            "longest pause s": longest_pause_s(evidence, source),
            "recovery s": _rounded(evidence.recovery_s.get(source)),
        }
    )


def _as_plain(raw: str) -> str:
    try:
        return oracle.plain(json.loads(raw))
    except ValueError:
        return raw


def longest_pause_s(evidence: Evidence, source: str) -> float:
    """For how long nothing of a source was stored while faults fell, at most; what was rolled back was not."""
    begin_ms, end_ms = evidence.faults_ms
    stored = [*evidence.events, *evidence.telemetry]
    times = sorted(event.at_ms for event in stored if event.tokens[2] == source and event.tokens[1] != "bridge")
    marks = [begin_ms, *(at_ms for at_ms in times if begin_ms < at_ms < end_ms), end_ms]
    return round(max(after - before for before, after in pairwise(marks)) / 1000, 1)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
