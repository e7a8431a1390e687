"""Rules about `[[alert]]`: what each key allows, and all together do not.

Libraries are loaded for what is configured only: CEL for a `where`, Apprise for a `notify`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bridge.core import own
from bridge.core.alerts.quiet import clock_time, zone_of
from bridge.core.alerts.rule import whole_filter
from bridge.core.alerts.settings import AlertSettings
from bridge.core.alerts.template import BadTemplate, compiled, path_problem
from bridge.core.duration import seconds
from bridge.core.subject import EVENTS, filter_problem, token
from bridge.edge.config.convert import Converter
from bridge.edge.config.lines import Path

RESERVED = "alerts"
"""The name under which alerts keep their place in the stream: no source may have it beside them."""
TOKENS = 6
SHORTEST_S = 1
LONGEST_S = 7 * 86_400
"""A digest or a throttle of more than a week is a mistake."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,60}\Z")
_OWN_OF_HEALTH = ("subjects", "where", "title", "body", "severity", "group_by", "throttle", "digest")


def check_alerts(
    converter: Converter, alerts: Sequence[AlertSettings | None], tables: Sequence[Any], *, closely: bool = True
) -> None:
    """Report what is wrong. `alerts` as they were read, None where that failed; `tables` as they were written.

    Not `closely`: expressions and channels are left alone, for commands that have nothing to do with alerts.
    """
    seen: dict[str, int] = {}
    for index, (alert, table) in enumerate(zip(alerts, tables, strict=True)):
        path = ("alert", index)
        if alert is None:
            continue
        _Check(converter, alert, table, path, closely).run()
        if alert.name in seen:
            first = converter.place(("alert", seen[alert.name], "name"))
            converter.fail((*path, "name"), f"the name is taken by the alert at {first.file}:{first.line}")
        seen.setdefault(alert.name, index)


def check_source_names(
    converter: Converter, sources: Sequence[Any], alerts: Sequence[AlertSettings | None] = ()
) -> None:
    """Report a source with the name that alerts need, and warn of a filter for a source that is not there."""
    names = {name for table in sources if isinstance(table, dict) and isinstance(name := table.get("name"), str)}
    known = sorted({token(name) for name in names})
    # Where there is no source at all, that is said already.
    for number, alert in enumerate(alerts if sources else ()):
        for index, pattern in enumerate(alert.subjects if alert and alert.preset is None else ()):
            _, vendor, source, *_ = [*whole_filter(pattern).split("."), "", ""]
            if not source or source in ("*", ">", *known) or vendor in (">", own.VENDOR):
                continue
            near = difflib.get_close_matches(source, known, 1)
            text = f"no source here is called {source}" + (f"; did you mean {near[0]}?" if near else "")
            converter.warn(("alert", number, "subjects", index), text)
    for index, table in enumerate(sources):
        if isinstance(table, dict) and table.get("name") == RESERVED:
            converter.fail(("source", index, "name"), "is the bridge's own name where there is an [[alert]]")


class _Check:
    def __init__(
        self, converter: Converter, alert: AlertSettings, table: Mapping[str, Any], path: Path, closely: bool
    ) -> None:
        self._converter = converter
        self._closely = closely
        self._alert = alert
        self._table = table
        self._path = path

    def run(self) -> None:
        alert = self._alert
        if not _NAME.match(alert.name):
            self._fail("expected letters, digits, - and _, at most 60", "name")
        if alert.preset is not None:
            for key in _OWN_OF_HEALTH:
                if key in self._table:
                    self._fail(f'goes not with preset = "{alert.preset}", which says that itself', key)
        else:
            self._subjects()
            self._where()
            self._texts()
            self._rhythm()
        self._quiet()
        self._channels()

    def _fail(self, message: str, *key: str | int) -> None:
        self._converter.fail((*self._path, *key), message)

    def _subjects(self) -> None:
        if not self._alert.subjects:
            self._fail(f'nothing is selected; leave the key out for all events, or set ["{EVENTS}.>"]', "subjects")
        for index, pattern in enumerate(self._alert.subjects):
            if problem := _filter_problem(pattern):
                self._fail(problem, "subjects", index)

    def _where(self) -> None:
        if self._alert.where is None or not self._closely:
            return
        # Only who writes CEL waits for the library.
        from bridge.edge.condition import BadCondition, compile_condition

        try:
            compile_condition(self._alert.where)
        except BadCondition as error:
            self._fail(f"{error}", "where")

    def _texts(self) -> None:
        for key, text in (("title", self._alert.title), ("body", self._alert.body)):
            try:
                compiled(text or "")
            except BadTemplate as error:
                self._fail(f"{error}", key)
        if self._alert.title is not None and not self._alert.title.strip():
            self._fail("expected a text, got an empty one", "title")
        for index, path in enumerate(self._alert.group_by):
            if problem := path_problem(path):
                self._fail(problem, "group_by", index)
        if len(self._alert.group_by) > 10:
            self._fail("expected at most 10 paths", "group_by")

    def _rhythm(self) -> None:
        alert = self._alert
        for key, text in (("throttle", alert.throttle), ("digest", alert.digest)):
            if text is None:
                continue
            try:
                length = seconds(text)
            except ValueError as error:
                self._fail(f"{error}", key)
                continue
            if not SHORTEST_S <= length <= LONGEST_S:
                self._fail("expected something from 1s to 7d", key)
        if alert.throttle is not None and alert.digest is not None:
            self._fail("throttle is set already: a digest is one message in so long anyway", "digest")
        if alert.group_by and alert.throttle is None and alert.digest is None:
            self._converter.warn((*self._path, "group_by"), "has no effect without throttle or digest")

    def _quiet(self) -> None:
        quiet = self._alert.quiet
        if quiet is None:
            return
        good = [self._try(clock_time, getattr(quiet, key), key) for key in ("begin", "end")]
        self._try(zone_of, quiet.zone, "zone")
        if all(good) and clock_time(quiet.begin) == clock_time(quiet.end):
            self._fail("begin and end are the same: that would be always, or never", "quiet", "end")

    def _try(self, read: Callable[[str], object], text: str, key: str) -> bool:
        try:
            read(text)
        except ValueError as error:
            self._fail(f"{error}", "quiet", key)
            return False
        return True

    def _channels(self) -> None:
        alert = self._alert
        if not alert.notify and not alert.webhook:
            where = f"{EVENTS}.bridge.{alert.name}.alert.>"
            self._converter.warn(self._path, f"nobody is told: set notify or [[alert.webhook]]; it is only {where}")
        names: dict[str, int] = {}
        for index, secret in enumerate(alert.notify):
            # A command that speaks to NATS alone need not be able to read it.
            if not secret:
                continue
            if secret.origin in names:
                self._fail(f"is there already, as notify[{names[secret.origin]}]", "notify", index)
            names.setdefault(secret.origin, index)
            if self._closely and (problem := _apprise_problem(secret)):
                self._fail(problem, "notify", index)
        names = {}
        for index, webhook in enumerate(alert.webhook):
            if not _NAME.match(webhook.name):
                self._fail("expected letters, digits, - and _, at most 60", "webhook", index, "name")
            if webhook.name in names:
                self._fail(f"the name is taken by webhook[{names[webhook.name]}]", "webhook", index, "name")
            names.setdefault(webhook.name, index)
            if webhook.secret and self._closely and (found := _webhook_problem(webhook)):
                key, text = found
                self._fail(text, "webhook", index, key)


def _filter_problem(pattern: str) -> str | None:
    if pattern.split(".")[0] in ("live", "telemetry"):
        return f"alerts are about stored events: {EVENTS}.… in place of live.…, and no measurements"
    whole = whole_filter(pattern)
    if problem := filter_problem(whole):
        return problem
    tokens = whole.split(".")
    if len(tokens) > TOKENS or (len(tokens) < TOKENS and tokens[-1] != ">"):
        form = f"{EVENTS}.VENDOR.SOURCE.ENTITY.CHANGE.ID"
        return f"no event matches: a subject is {form}; a > at the end stands for the rest"
    return None


def _apprise_problem(secret: Any) -> str | None:
    from bridge.edge.apprise import problem

    return problem(secret)


def _webhook_problem(webhook: Any) -> tuple[str, str] | None:
    from bridge.core.url import problem as address_problem
    from bridge.edge.alert_webhook import problem

    if said := problem(webhook):
        return ("url" if address_problem(webhook.url) else "secret"), said
    return None
