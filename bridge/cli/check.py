"""`bridged check`: whether the configuration can be used, and what the daemon would do with it. Touches no network."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from bridge.adapter import BaseSettings, Secret, Token
from bridge.cli import check_alerts, check_hooks, configuration, output
from bridge.cli.exits import Exit
from bridge.edge.config.convert import fields_of
from bridge.edge.config.schema import default_of

if TYPE_CHECKING:
    from bridge.edge.config.loader import Config

UNKNOWN = "unverified: not known here; see status"
ONLINE = "bridge.cli.check_online"
"""If this module exists, `--online` is offered and its `run(args, config) -> int` goes on from here."""


def configure(parser: argparse.ArgumentParser) -> None:
    """`bridged check [--online | --sample FILE [--source NAME]]`."""
    if importlib.util.find_spec(ONLINE):
        parser.add_argument("--online", action="store_true", help="also talk to NATS and to every vendor")
    parser.add_argument("--sample", metavar="FILE", help="say which events a webhook's delivery would make; JSON")
    parser.add_argument("--source", metavar="NAME", help="of which source the sample is; default: the only one")


def run(args: argparse.Namespace) -> int:
    """Load and explain. Raises ConfigErrors, which is exit code 78."""
    if args.sample is not None:
        from bridge.cli import check_sample

        return check_sample.run(args, configuration.load(args, vendor_secrets=False))
    config = configuration.load(args)
    if args.json and not getattr(args, "online", False):
        output.emit(report(config))
    elif not args.json:
        _show(report(config))
    if getattr(args, "online", False):
        code: int = importlib.import_module(ONLINE).run(args, config)
        return code
    return Exit.OK


def report(config: Config) -> dict[str, Any]:
    """What the configuration means, as JSON. Holds no secret."""
    nats = config.nats
    return {
        "ok": True,
        "files": [str(file) for file in config.files],
        "nats": {"url": "embedded" if nats.embedded else list(nats.urls), "stream": nats.stream,
                 "max_age_days": nats.max_age_days, "manage": nats.manage},
        "daemon": {"state_dir": config.daemon.state_dir, "log_level": config.daemon.log_level},
        "sources": [_source(config, source) for source in config.sources],
        "alerts": [check_alerts.facts(alert) for alert in config.alerts],
        "warnings": [warning.as_json() for warning in config.warnings],
    }  # fmt: skip


def _source(config: Config, source: BaseSettings) -> dict[str, Any]:
    cls = config.adapters[source.adapter]
    fields = fields_of(type(source)).items()
    listens = config.adapter(source).listens
    secrets = {key: getattr(source, key) for key, _ in fields if isinstance(getattr(source, key), Secret)}
    for key, _ in fields:
        if isinstance(several := getattr(source, key), list):
            secrets |= {f"{key}[{index}]": one for index, one in enumerate(several) if isinstance(one, Secret)}
    inferred = {
        key: field
        for key, (field, _) in fields
        if field.metadata.get("inferred") and (listens or not field.metadata.get("live"))
    }
    return {
        "name": source.name,
        "adapter": source.adapter,
        "vendor": cls.vendor,
        "reads": _reads(config, source),
        "listens": [
            {"name": one.name, "entity": one.shape or one.entity, "shape": one.shape, "verified": None}
            for one in getattr(source, "subscription", ())
        ],
        "takes": check_hooks.takes(source, config.ingress),
        "omit": list(cls.omit if source.omit is None else source.omit),
        "omit_from": "adapter" if source.omit is None else "configuration",
        "raw": source.raw,
        "secrets": {key: secret.origin for key, secret in secrets.items()},
        "inferred": {key: getattr(source, key) for key in inferred},
        "inferred_set": [key for key, field in inferred.items() if getattr(source, key) != default_of(field)],
    }


def _reads(config: Config, source: BaseSettings) -> list[dict[str, Any]] | None:
    """The walks; None where nothing can be said before the vendor has answered a login."""
    try:
        walks = config.adapter(source).walks(Token(Secret(""), facts=_NamedAtLogin()))
    except (LookupError, ValueError, TypeError):
        return None
    facts = ("name", "entity", "scope", "every_s", "reach_s", "page_size", "reports_absence", "wakes")
    return [{fact: getattr(walk, fact) for fact in facts} for walk in walks]


class _NamedAtLogin(dict[str, str]):
    """Stands for the facts a login yields, which only the vendor knows."""

    def __missing__(self, key: str) -> str:
        return f"<{key} named at login>"


def _show(report: dict[str, Any]) -> None:
    nats, daemon = report["nats"], report["daemon"]
    url = nats["url"] if isinstance(nats["url"], str) else ", ".join(nats["url"])
    output.say(f"configuration {', '.join(report['files'])}")
    output.columns([
        ("nats", f"{url}; stream {nats['stream']}, kept {nats['max_age_days']:g} days, {nats['manage']}"),
        ("state", daemon["state_dir"]),
    ])  # fmt: skip
    for source in report["sources"]:
        output.say(f"source {source['name']}: adapter {source['adapter']}, vendor {source['vendor']}")
        output.columns(_rows(source))
    for alert in report["alerts"]:
        output.say(f"alert {alert['name']}: {alert['about']}")
        output.columns(check_alerts.rows(alert))
    for warning in report["warnings"]:
        place = f"{warning['file']}:{warning['line']}" if warning["line"] else warning["file"]
        output.say(f"warning: {place}: {warning['key'] + ': ' if warning['key'] else ''}{warning['message']}")
    output.say("this configuration can be used")


def _rows(source: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [("reads", _walk(walk)) for walk in source["reads"] or ()]
    if takes := source["takes"]:
        rows.append(("takes", check_hooks.told(takes)))
    elif not rows:
        rows.append(("reads", "what the vendor names at login"))
    for one in source["listens"]:
        how = "the adapter's own mapping" if one["shape"] else "mapped here"
        rows.append(("listens", f"{one['name']}: {one['entity']}, {how}; {UNKNOWN}"))
    origin = "the adapter's default" if source["omit_from"] == "adapter" else "set here"
    rows.append(("omits", f"{', '.join(source['omit']) or 'nothing'} ({origin})"))
    rows.append(("raw", "the vendor's own records are published too" if source["raw"] else "not published"))
    rows += [("secret", f"{key} from {where}") for key, where in source["secrets"].items()]
    inferred, ours = source["inferred"], source["inferred_set"]
    if ours:
        told = ", ".join(f"{key} = {output.compact(inferred[key])}" for key in ours)
        rows.append(("inferred", f"{told} (set here; the vendor documents none of these)"))
    if count := len(inferred) - len(ours):
        defaults = "1 inferred setting at its default" if count == 1 else f"{count} inferred settings at their defaults"
        rows.append(("inferred", f"{defaults}, see `bridged adapters {source['adapter']}`"))
    return rows


def _walk(walk: dict[str, Any]) -> str:
    if walk["wakes"]:
        return f"{walk['entity']}: a page every {_span(walk['every_s'])}, to see whether {walk['wakes']} has news"
    reach = "everything" if walk["reach_s"] is None else f"the last {_span(walk['reach_s'])}"
    absence = ", absence means deleted" if walk["reports_absence"] else ""
    scope = f" of {walk['scope']}" if walk["scope"] else ""
    return f"{walk['entity']}{scope}: {reach} every {_span(walk['every_s'])}, {walk['page_size']} a page{absence}"


def _span(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
