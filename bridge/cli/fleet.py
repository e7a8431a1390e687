"""The instances that run, as `bridged status` shows them: asked over NATS, one line each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import anyio

from bridge.cli import output
from bridge.cli.plain import plain
from bridge.core.errors import Away
from bridge.core.micro import joined
from bridge.core.report.ages import age, span
from bridge.core.report.version import VERSION
from bridge.edge.nats.connection import NatsConnection
from bridge.edge.operator.instances import WHO, Found, Instances, Unanswered

Json = dict[str, Any]

STATUS_S = 10.0
"""The longest silence while an instance answers, in seconds."""


@dataclass(slots=True)
class Fleet:
    """Who answered. `answered`: who told how it is, with its report; `silent`: who did not, and why not.

    `note`: why nobody could be asked, or who is there and does not answer; "" where there is nothing to say.
    """

    answered: list[tuple[Found, Json]] = field(default_factory=list)
    silent: list[tuple[Found, str]] = field(default_factory=list)
    note: str = ""

    def as_json(self) -> list[Json]:
        """Every instance, told or silent, by name."""
        found = [
            {
                **_instance(one),
                **report["instance"],
                **{key: report.get(key) for key in ("headline", "ok", "webhooks", "nats")},
                "conditions": report.get("conditions") or [],
            }
            for one, report in self.answered
        ]
        found += [{**_instance(one), "problem": why} for one, why in self.silent]
        return sorted(found, key=lambda one: (one["name"], str(one["host"]), one["pid"] or 0))

    @property
    def told(self) -> list[tuple[str, Json]]:
        """Name and report of each that told how it is."""
        return [(one.instance, report) for one, report in self.answered]

    @property
    def alerts(self) -> list[Json]:
        """Those of all instances, each once."""
        found = {one["name"]: one for _, report in self.told for one in report.get("alerts") or [] if "name" in one}
        return list(found.values())

    @property
    def stream(self) -> Json | None:
        """What an instance tells of the stream, if any does."""
        return next((report["stream"] for _, report in self.told if report.get("stream")), None)


async def gather(connection: NatsConnection, instance: str | None = None) -> Fleet:
    """Ask every instance, or those of one name, how they are. Raises nothing but what ends the connection."""
    instances = Instances(connection)
    fleet = Fleet()
    try:
        found = await instances.find()
    except Away as error:
        return Fleet(note=str(error))
    if WHO in instances.denied:
        fleet.note = f"NATS denies this user publish on {WHO}: the instances cannot be asked, only the stream"
    elif instances.silent:
        fleet.note = "somebody listens and does not answer: does an instance stand still?"
    told: dict[str, Json] = {}
    silent: dict[str, str] = {}

    async def ask(one: Found) -> None:
        try:
            told[one.id] = _checked(await instances.ask(one, "status", STATUS_S))
        except (Unanswered, Away) as error:
            silent[one.id] = str(error)

    async with anyio.create_task_group() as group:
        for one in found:
            if instance is None or one.instance == instance:
                group.start_soon(ask, one)
    fleet.answered = [(one, told[one.id]) for one in found if one.id in told]
    fleet.silent = [(one, silent[one.id]) for one in found if one.id in silent]
    return fleet


def _instance(one: Found) -> Json:
    """What is known of an instance before it has told anything."""
    return {
        "name": one.instance, "host": one.host, "pid": one.pid,
        "build": one.build, "since": None, "now": None, "phase": None, "refused": None, "headline": None,
        "ok": False,
        "conditions": [], "webhooks": None, "nats": None, "problem": None,
    }  # fmt: skip


def _checked(parts: Sequence[Any]) -> Json:
    whole = all(isinstance(part, dict) and part.get("version") == VERSION for part in parts)
    if not whole or not isinstance(parts[0].get("instance"), dict):
        raise Unanswered("its answer is no report: it is another build")
    return joined(parts)


def show(instances: Sequence[Json], now: datetime) -> None:
    """One line each, and below it what keeps it from being ready."""
    for one in instances:
        mark = "!" if trouble(one) else " "
        about = f"{one['host']}, pid {one['pid']}, build {one['build']}"
        if one["problem"]:
            output.say(plain(f"{mark} instance {one['name']} ({about}): {one['problem']}"))
            continue
        word = "" if one["phase"] == "ready" else f", {one['phase']}"
        text = f"{mark} instance {one['name']} ({about}){word}, for {age(one['since'], now)}: {one['headline']}"
        output.say(plain(text))
        for condition in one["conditions"]:
            if not condition.get("holds"):
                output.columns([("NOT READY", plain(f"{condition.get('name')}: {condition.get('why')}"))])
        if refused := one.get("refused"):
            output.columns([("RELOAD", plain(f"{age(refused.get('at'), now)} ago: {refused.get('why')}"))])


def trouble(one: Json) -> bool:
    """Whether somebody should look at an instance itself; its sources say for themselves."""
    unmet = any(not condition.get("holds") for condition in one["conditions"])
    return bool(one["problem"]) or one["phase"] != "ready" or unmet or bool(one.get("refused"))


def rows(source: Json, now: datetime) -> list[tuple[str, str]]:
    """What only the instance knows that works for a source; none where nobody tells."""
    if not source.get("told_by"):
        return []
    state = str(source["state"]).replace("_", " ")
    parts = [f"{state} for {age(source['state_since'], now)} at {', '.join(source['told_by'])}"]
    if rate := source["rate"]:
        minute = rate[-2] if len(rate) > 1 else rate[-1]
        parts.append(f"{minute:,} {'event' if minute == 1 else 'events'} a minute, {sum(rate):,} in the last hour")
    if token := source["token"]:
        renewed = token.get("renew_in_s")
        parts.append(f"token {span(token['age_s'])} old" + (f", renewed in {span(renewed)}" if renewed else ""))
    if (inbox := source["inbox"]) and inbox.get("frames"):
        parts.append(f"{inbox['frames']:,} frames wait")
    return [("now", "; ".join(parts))]
