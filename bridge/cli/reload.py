"""`bridged reload`: asks every instance, or those of one name, to load its configuration anew, over NATS."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import anyio

from bridge.cli import configuration, output
from bridge.cli.broker import PermissionMissing
from bridge.cli.exits import Exit
from bridge.cli.loop import run as run_loop
from bridge.cli.plain import json_line, plain
from bridge.cli.visit import visiting
from bridge.core.errors import Away
from bridge.edge.config.loader import Config
from bridge.edge.nats.connection import NatsConnection
from bridge.edge.operator.instances import WHO, Found, Instances, Unanswered

Json = dict[str, Any]

RELOAD_S = 130.0
"""The longest silence while an instance reloads, in seconds: a little longer than it may take."""
NOBODY = "no instance answers"


def configure(parser: argparse.ArgumentParser) -> None:
    """`bridged reload [--instance NAME]`."""
    parser.add_argument("--instance", metavar="NAME", help="only this instance")


def run(args: argparse.Namespace) -> int:
    """Have the configuration loaded anew, and print what each instance says of it. Raises ConfigErrors."""
    return run_loop(_run, args, configuration.load(args, vendor_secrets=False))


async def _run(args: argparse.Namespace, config: Config) -> int:
    async with visiting(config) as connection:
        told = await _ask(connection, args.instance)
    if args.json:
        output.say(json_line({"ok": _code(told) == Exit.OK, "instances": told}))
    else:
        for one in told:
            _show(one)
    if not told:
        who = NOBODY if args.instance is None else f"no instance {args.instance} answers"
        output.complain(plain(f"bridged: {who} at {connection.server}: is `bridged run` running there?"))
    return _code(told)


async def _ask(connection: NatsConnection, instance: str | None) -> list[Json]:
    """What each says, by name. Raises PermissionMissing and NoAnswer."""
    instances = Instances(connection)
    found = await instances.find()
    if WHO in instances.denied:
        raise PermissionMissing(f"NATS denies this user publish on {WHO}; grant it and ask again")
    if instances.silent:
        output.complain("bridged: somebody listens and does not answer: does an instance stand still?")
    wanted = [one for one in found if instance is None or one.instance == instance]
    answers: dict[str, Json] = {}

    async def ask(one: Found) -> None:
        try:
            answers[one.id] = _checked(await instances.ask(one, "reload", RELOAD_S))
        except (Unanswered, Away) as error:
            answers[one.id] = {"ok": None, "text": str(error), "details": {}}

    async with anyio.create_task_group() as group:
        for one in wanted:
            group.start_soon(ask, one)
    if any(one.subjects.get("reload") in instances.denied for one in wanted):
        raise PermissionMissing(f"NATS denies this user publish on {_denied(instances)}; grant it and ask again")
    return [
        {"name": one.instance, "host": one.host, "pid": one.pid, "build": one.build, **answers[one.id]}
        for one in wanted
    ]


def _denied(instances: Instances) -> str:
    return ", ".join(sorted(instances.denied))


def _checked(parts: Sequence[Any]) -> Json:
    told = parts[0]
    if not isinstance(told, dict) or not isinstance(told.get("ok"), bool):
        raise Unanswered("its answer cannot be read: it is another build")
    details = told.get("details")
    return {
        "ok": told["ok"],
        "text": str(told.get("text", "")),
        "details": details if isinstance(details, dict) else {},
    }


def _code(told: Sequence[Json]) -> Exit:
    """Refusals count before silence: what was refused was certainly not loaded."""
    if not told:
        return Exit.UNAVAILABLE
    if any(one["ok"] is False for one in told):
        return Exit.CONFIG
    return Exit.OK if all(one["ok"] for one in told) else Exit.TEMPFAIL


def _show(one: Json) -> None:
    about = f"instance {one['name']} ({one['host']}, pid {one['pid']}, build {one['build']})"
    if one["ok"] is None:
        output.say(plain(f"! {about} did not say: {one['text']}"))
        return
    details = one["details"]
    if not one["ok"]:
        output.say(plain(f"! {about} refused it and goes on as before: {one['text']}"))
        for line in _list(details.get("errors")):
            output.say(plain(f"  {line}"))
        return
    output.say(plain(f"  {about}: {one['text']}"))
    rows = [(word, ", ".join(names)) for word in ("added", "removed") if (names := _list(details.get(word)))]
    changed = details.get("changed")
    for name, keys in changed.items() if isinstance(changed, dict) else ():
        rows.append(("changed", f"{name}: {', '.join(_list(keys))}" if keys else name))
    if names := _list(details.get("unchanged")):
        rows.append(("as before", ", ".join(names)))
    if names := _list(details.get("restart")):
        rows.append(("RESTART", f"needed for {', '.join(names)}"))
    if rows:
        output.columns([(word, plain(text)) for word, text in rows], indent="    ")


def _list(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, (list, tuple)) else []
