"""Loads the configuration: files, drop-ins, secrets and adapters in, frozen settings out; or every error at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.adapter import Adapter, BaseSettings, WebhookSettings
from bridge.core.alerts.settings import AlertSettings
from bridge.core.config import DaemonSettings, IngressSettings, NatsSettings, StatusSettings, TracingSettings
from bridge.core.secret import Secret
from bridge.core.settings import GraphqlSettings, Subscription
from bridge.edge.config import document as config_document
from bridge.edge.config.convert import Converter, kind
from bridge.edge.config.hook_rules import check_hook, check_ingress
from bridge.edge.config.judge import Judge
from bridge.edge.config.lines import Path as KeyPath
from bridge.edge.config.problem import ConfigErrors, Problem
from bridge.edge.config.rules import check_addresses, check_documents, check_nats, check_subscriptions
from bridge.edge.config.status_rules import check_status
from bridge.edge.config.tracing_rules import check_tracing
from bridge.edge.config.verdicts import Verdicts
from bridge.edge.discovery import AdapterClass, BrokenAdapter, Catalogue, UnknownAdapter

__all__ = ["Config", "ConfigErrors", "Problem", "load"]

TABLES = ["nats", "daemon", "ingress", "status", "tracing", "source", "alert"]


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything the daemon was told. Safe to print: secrets show their origin only."""

    nats: NatsSettings
    daemon: DaemonSettings
    ingress: IngressSettings = dataclasses.field(default_factory=IngressSettings)
    status: StatusSettings = dataclasses.field(default_factory=StatusSettings)
    tracing: TracingSettings | None = None
    sources: tuple[BaseSettings, ...] = ()
    alerts: tuple[AlertSettings, ...] = ()
    adapters: Mapping[str, AdapterClass] = dataclasses.field(default_factory=dict)
    """The adapter classes by name; every source's `adapter` is in it."""
    secrets: tuple[Secret, ...] = ()
    warnings: tuple[Problem, ...] = ()
    files: tuple[Path, ...] = ()

    def adapter(self, source: BaseSettings) -> Adapter[Any]:
        """The adapter that speaks for a source."""
        return self.adapters[source.adapter](source)


def load(path: Path, environ: Mapping[str, str], *, vendor_secrets: bool = True, lean: bool = False) -> Config:
    """Read the file, its drop-ins and the secrets they refer to.

    Without `vendor_secrets` those of sources and alerts may be out of reach, and are then empty: for commands that
    speak to NATS alone. `lean`: for a process that stays, leave the work that takes libraries to one that does not,
    where that can be done. Raises ConfigErrors with everything that is wrong. Nothing made here shows a secret.
    """
    document = config_document.read(path)
    converter = Converter(document, environ, vendor_secrets=vendor_secrets)
    if document.problems:
        # What could not be read would only make good keys look missing.
        raise ConfigErrors(document.problems)
    data = document.data
    converter.unknown(data, TABLES, ())
    nats_table = data.get("nats", {})
    nats = converter.table(NatsSettings, nats_table, ("nats",))
    if nats:
        check_nats(converter, nats, nats_table)
    daemon = converter.table(DaemonSettings, data.get("daemon", {}), ("daemon",))
    ingress = converter.table(IngressSettings, data.get("ingress", {}), ("ingress",))
    status = converter.table(StatusSettings, data.get("status", {}), ("status",))
    if status:
        check_status(converter, status, data.get("status", {}))
    tracing = converter.table(TracingSettings, data["tracing"], ("tracing",)) if "tracing" in data else None
    if tracing:
        check_tracing(converter, tracing)
    tables = data.get("alert", [])
    alerts = [converter.table(AlertSettings, table, ("alert", index)) for index, table in enumerate(tables)]
    if tables:
        from bridge.edge.config.alert_rules import check_alerts, check_source_names

        check_alerts(converter, alerts, tables, closely=vendor_secrets)
        check_source_names(converter, data.get("source", []), alerts)
    state_dir = (daemon and daemon.state_dir) or _state_dir(environ)
    kept = Verdicts(Path(state_dir), make=nats is not None and nats.embedded) if lean else None
    with closing(Judge(apart=lean, kept=kept)) as judge:
        loader = _Sources(converter, Catalogue.from_environ(environ), ingress, judge)
        sources, adapters = loader.load(data.get("source", []))
    if ingress:
        complete = len(sources) == len(data.get("source", []))
        check_ingress(converter, ingress, data.get("ingress", {}), sources, complete=complete)
    if not data.get("source"):
        converter.warn((), "there is no [[source]]: nothing will be read from any vendor")
    problems = sorted(converter.problems, key=document.order)
    warnings = sorted(converter.warnings, key=document.order)
    if problems or nats is None or daemon is None or ingress is None or status is None:
        raise ConfigErrors(problems, warnings)
    return Config(
        nats=nats,
        daemon=dataclasses.replace(daemon, state_dir=state_dir),
        ingress=ingress,
        status=status,
        tracing=tracing,
        sources=sources,
        alerts=tuple(alert for alert in alerts if alert),
        adapters=adapters,
        secrets=tuple(converter.secrets),
        warnings=tuple(warnings),
        files=tuple(document.files),
    )


def load_status(path: Path, environ: Mapping[str, str]) -> StatusSettings:
    """`[status]` alone, whatever is wrong beside it: a daemon whose file has been spoilt goes on with what it has read.

    Keys of a file that is no TOML count as not given. Raises ConfigErrors where no file is, or `[status]` is wrong.
    """
    document = config_document.read(path)
    if document.problems and not path.is_file():
        raise ConfigErrors(document.problems)
    converter = Converter(document, environ, vendor_secrets=False)
    status = converter.table(StatusSettings, document.data.get("status", {}), ("status",))
    if status is None or converter.problems:
        raise ConfigErrors(converter.problems)
    return status


class _Sources:
    def __init__(
        self, converter: Converter, catalogue: Catalogue, ingress: IngressSettings | None, judge: Judge
    ) -> None:
        self._converter = converter
        self._judge = judge
        self._documents: list[tuple[KeyPath, Subscription]] = []
        self._ingress = ingress
        self._catalogue = catalogue
        self._seen: dict[str, int] = {}
        self._adapters: dict[str, AdapterClass] = {}

    def load(self, tables: list[Any]) -> tuple[tuple[BaseSettings, ...], dict[str, AdapterClass]]:
        if any(isinstance(table, dict) and "subscription" in table for table in tables):
            self._judge.begin()
        loaded = [self._source(index, table) for index, table in enumerate(tables)]
        check_documents(self._converter, self._judge, self._documents)
        return tuple(settings for settings in loaded if settings), self._adapters

    def _source(self, index: int, table: Any) -> BaseSettings | None:
        path = ("source", index)
        if not isinstance(table, dict):
            self._converter.fail(path, f"expected a table, got {kind(table)}")
            return None
        self._check_name(table.get("name"), path)
        cls = self._adapter(table.get("adapter"), path)
        if cls is None:
            # The adapter's own keys cannot be judged, but those every source has can.
            self._converter.table(BaseSettings, {key: table[key] for key in _COMMON if key in table}, path)
            return None
        settings = self._converter.table(cls.Settings, table, path)
        if isinstance(settings, GraphqlSettings):
            self._documents += check_subscriptions(self._converter, cls, settings, path)
        if settings is None or not self._converter.accepts(cls, settings, path):
            return None
        if isinstance(settings, WebhookSettings):
            check_hook(self._converter, self._ingress, settings, path)
        check_addresses(self._converter, cls, settings, path)
        return settings

    def _check_name(self, name: Any, path: tuple[str, int]) -> None:
        if not isinstance(name, str):
            return  # its absence or type is reported with the other keys
        if not name.strip():
            self._converter.fail((*path, "name"), "expected a name, got an empty text")
        elif name in self._seen:
            first = self._converter.place(("source", self._seen[name], "name"))
            self._converter.fail((*path, "name"), f"the name is taken by the source at {first.file}:{first.line}")
        else:
            self._seen[name] = path[1]

    def _adapter(self, name: Any, path: tuple[str, int]) -> AdapterClass | None:
        if not isinstance(name, str):
            return None
        try:
            self._adapters[name] = self._catalogue.load(name)
        except (UnknownAdapter, BrokenAdapter) as error:
            self._converter.fail((*path, "adapter"), str(error))
            return None
        return self._adapters[name]


_COMMON = [field.name for field in dataclasses.fields(BaseSettings)]


def _state_dir(environ: Mapping[str, str]) -> str:
    # systemd may name several, separated by colons; the first is ours.
    given = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return given
    home = environ.get("XDG_STATE_HOME") or f"{environ.get('HOME') or Path.home()}/.local/state"
    return f"{home}/bridged"
