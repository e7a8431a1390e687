"""What a new configuration changes, compared with the one that runs; and how a reload went. Nothing shows a secret."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from bridge.core.alerts.settings import AlertSettings, channel_names
from bridge.core.config import DaemonSettings, IngressSettings, NatsSettings, StatusSettings, TracingSettings
from bridge.core.settings import BaseSettings

LOGGING = ("log_level", "log_format")
"""The keys of `[daemon]` that are taken over at once; the others take a restart."""


class Configuration(Protocol):
    """What is compared: see `bridge/edge/config/loader.py`."""

    @property
    def nats(self) -> NatsSettings: ...
    @property
    def daemon(self) -> DaemonSettings: ...
    @property
    def ingress(self) -> IngressSettings: ...
    @property
    def status(self) -> StatusSettings: ...
    @property
    def tracing(self) -> TracingSettings | None: ...
    @property
    def sources(self) -> Sequence[BaseSettings]: ...
    @property
    def alerts(self) -> Sequence[AlertSettings]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """From one configuration to the next. Sources by name, in the order of the new one; of a changed one also which
    keys. `restart`: the keys that differ and that only a restart takes over, such as `nats.url`.
    """

    added: Sequence[str] = ()
    removed: Sequence[str] = ()
    changed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    unchanged: Sequence[str] = ()
    alerts: bool = False
    ingress: bool = False
    logging: bool = False
    restart: Sequence[str] = ()

    @property
    def nothing(self) -> bool:
        """Whether both are the same."""
        return not (
            self.added or self.removed or self.changed or self.alerts or self.ingress or self.logging or self.restart
        )

    def as_json(self) -> dict[str, Any]:
        """For `ReloadResult.details` and the log."""
        return {
            "added": list(self.added),
            "removed": list(self.removed),
            "changed": {name: list(keys) for name, keys in self.changed.items()},
            "unchanged": list(self.unchanged),
            "alerts": self.alerts,
            "ingress": self.ingress,
            "logging": self.logging,
            "restart": list(self.restart),
        }

    def sentence(self) -> str:
        """Such as `1 source added, 2 changed, 4 as before; a restart is needed for nats.url`."""
        if self.nothing:
            return "nothing has changed"
        told = [
            f"{len(names)} {word}"
            for names, word in ((self.added, "added"), (self.removed, "removed"), (self.changed, "changed"))
            if names
        ]
        parts = [f"sources: {', '.join([*told, f'{len(self.unchanged)} as before'])}"]
        if self.alerts:
            parts.append("alerts begun anew")
        if self.ingress:
            parts.append("[ingress] taken over")
        if self.logging:
            parts.append("logging taken over")
        if self.restart:
            parts.append(f"a restart is needed for {', '.join(self.restart)}")
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """How a reload went. `ok`: it was applied, as far as that goes without a restart. `text`: one line, for people.

    `details` is JSON: where `ok`, what `Change.as_json` says; else `errors`, each a line that says where and what.
    """

    ok: bool
    text: str
    details: dict[str, Any] = field(default_factory=dict)


def difference(before: Configuration, after: Configuration) -> Change:
    """What `after` changes. Secrets count by their value, wherever it comes from; so a rotated one is a change.

    The order of sources, and the files that all of it stands in, are none.
    """
    olds = {source.name: source for source in before.sources}
    news = {source.name: source for source in after.sources}
    changed = {name: keys for name, new in news.items() if name in olds and (keys := _keys(olds[name], new))}
    others = [key for key in _keys(before.daemon, after.daemon) if key not in LOGGING]
    tables = (
        ("nats", _keys(before.nats, after.nats)),
        ("daemon", others),
        ("status", _keys(before.status, after.status)),
        ("tracing", _keys(before.tracing, after.tracing)),
    )
    return Change(
        added=tuple(name for name in news if name not in olds),
        removed=tuple(name for name in olds if name not in news),
        changed=changed,
        unchanged=tuple(name for name in news if name in olds and name not in changed),
        alerts=_told(before.alerts) != _told(after.alerts),
        ingress=before.ingress != after.ingress,
        logging=any(key in LOGGING for key in _keys(before.daemon, after.daemon)),
        restart=tuple(f"{table}.{key}" if key else table for table, keys in tables for key in keys),
    )


def _keys(before: Any, after: Any) -> Sequence[str]:
    """The keys that differ, in the order of their declaration; one that is "" where a table came or went."""
    if before is None or after is None:
        return () if before is after else ("",)
    if type(before) is not type(after):
        return ("adapter",)
    return tuple(one.name for one in dataclasses.fields(after) if getattr(before, one.name) != getattr(after, one.name))


def _told(alerts: Sequence[AlertSettings]) -> Sequence[object]:
    # A channel is called by where its secret comes from, and its place in the stream by the channel.
    return [(alert, channel_names(alert)) for alert in alerts]
