"""A rule of one's own: which events are told, in which words, and how often."""

from __future__ import annotations

import hashlib
import json
import re

from bridge.core.alerts.batch import Batch, Sight, Voice, grown, merged
from bridge.core.alerts.condition import Condition, ConditionFailed
from bridge.core.alerts.decision import Decision, Happening, Reference, State
from bridge.core.alerts.quiet import Quiet
from bridge.core.alerts.settings import AlertSettings
from bridge.core.alerts.template import bounded, compiled, field_text, one_line
from bridge.core.alerts.windows import Windows
from bridge.core.duration import seconds
from bridge.core.record import Key
from bridge.core.subject import EVENTS, event_subject, matches

TITLE = "{source}: {entity} {id} {change}"
BODY = "{type}\n{time}"
"""What is said where the configuration does not: nothing of the content, which may be personal data."""

FAILED_EVERY_MS = 3_600_000
"""A condition that fails is told once in so long."""
LONGEST_GROUP = 200
"""Characters."""
MINUTE_MS = 60_000
VERSION = 1
_TRACE = re.compile(r"[0-9a-f-]{1,100}")

OWN_VENDOR = "bridge"
OWN_ENTITY = "alert"


class Rule:
    """See `Machine`. `condition`: `settings.where`, compiled. Raises ValueError for what `check` would have refused.

    Every event that matches is counted in exactly one decision, and so is, by itself, every event for which the
    condition failed. In quiet hours nothing is decided; what they held is one decision afterwards, beside the throttle.
    """

    def __init__(self, settings: AlertSettings, condition: Condition | None = None) -> None:
        self.name = settings.name
        self.subjects = tuple(whole_filter(one) for one in settings.subjects)
        self._condition = condition
        self._title = compiled(TITLE if settings.title is None else settings.title)
        self._body = compiled(BODY if settings.body is None else settings.body)
        self._group_by = tuple(settings.group_by)
        self._quiet = None if settings.quiet is None else Quiet(settings.quiet)
        self._voice = Voice(settings.name, settings.severity)
        length = settings.digest or settings.throttle
        self._windows = Windows(self._voice, 1000 * seconds(length) if length else 0, settings.digest is not None)
        self._failures = Windows(
            Voice(settings.name, "warning"), FAILED_EVERY_MS, digest=False, first="failed", rest="failed"
        )

    def seen(self, state: State, event: Happening, seq: int, now_ms: int) -> list[Decision]:
        """See `Machine`."""
        if is_old_news(event):
            return []
        reference = reference_to(event, seq)
        if not any(matches(one, reference.subject) for one in self.subjects):
            return []
        variables = event.variables()
        at = f"{variables.get('time')}"
        _begin(state)
        try:
            if self._condition is not None and not self._condition(variables):
                return []
        except ConditionFailed as error:
            failure = Sight(
                reference=reference,
                at=at,
                title=one_line(f"{self.name}: the condition failed on an event"),
                body=bounded(f"{error}\n{reference.subject}\nce-id {reference.ce_id}, sequence {seq}"),
                traceparent=trace_of(event),
            )
            if self._quiet is not None and self._quiet.on(now_ms):
                self._keep(state, failure)
                return []
            return self._failures.seen(state["failed"], failure, now_ms)
        title, lacking = self._title.render(variables)
        body, lacking_too = self._body.render(variables)
        values = [field_text(variables, path) for path in self._group_by]
        sight = Sight(
            reference=reference,
            at=at,
            title=one_line(title) or self.name,
            body=bounded(body),
            key=_key(values),
            group=one_line(" / ".join("-" if one is None else one for one in values), LONGEST_GROUP),
            traceparent=trace_of(event),
            missing=tuple(dict.fromkeys(lacking + lacking_too)),
        )
        if self._quiet is not None and self._quiet.on(now_ms):
            self._keep(state, sight)
            return []
        return self._windows.seen(state["groups"], sight, now_ms)

    def due(self, state: State, now_ms: int) -> list[Decision]:
        """See `Machine`."""
        _begin(state)
        if self._quiet is not None and self._quiet.on(now_ms):

            def keep(_: str, batch: Batch) -> None:
                state["quiet"] = merged(state["quiet"], batch)

            return [
                *self._failures.due(state["failed"], now_ms, keep),
                *self._windows.due(state["groups"], now_ms, keep),
            ]
        told: list[Decision] = []
        if state["quiet"]:
            told.append(self._voice.together("quiet", state["quiet"]))
            state["quiet"] = None
        told += self._failures.due(state["failed"], now_ms)
        return told + self._windows.due(state["groups"], now_ms)

    def next_ms(self, state: State, now_ms: int) -> int | None:
        """See `Machine`."""
        _begin(state)
        # Quiet hours end with a minute of the clock, whatever the clock on the wall does meanwhile.
        minute = (now_ms // MINUTE_MS + 1) * MINUTE_MS
        ends = [self._windows.next_ms(state["groups"], now_ms), self._failures.next_ms(state["failed"], now_ms)]
        waiting = [end for end in ends if end is not None]
        if state["quiet"]:
            return minute if self._quiet is not None and self._quiet.on(now_ms) else now_ms
        return max(now_ms, min(minute, *waiting)) if waiting else None

    def flush(self, state: State) -> list[Decision]:
        """See `Machine`."""
        _begin(state)
        told = [self._voice.together("quiet", state["quiet"])] if state["quiet"] else []
        told += [*self._failures.flush(state["failed"]), *self._windows.flush(state["groups"])]
        state.clear()
        return told

    def _keep(self, state: State, sight: Sight) -> None:
        state["quiet"] = grown(state["quiet"], sight)


def is_old_news(event: Happening) -> bool:
    """What no rule tells: what was there before, and alerts themselves."""
    return event.change == "snapshot" or (event.vendor == OWN_VENDOR and event.entity == OWN_ENTITY)


def reference_to(event: Happening, seq: int) -> Reference:
    """What names it. Whoever wrote it, there is nothing in it that JSON or a terminal could not take."""
    key = Key(event.vendor, event.source, event.entity, event.id)
    return Reference(event_subject(key, event.change), one_line(event.ce_id), seq)


def trace_of(event: Happening) -> str | None:
    """Its `traceparent`, if that is one."""
    return event.traceparent if event.traceparent and _TRACE.fullmatch(event.traceparent) else None


def whole_filter(pattern: str) -> str:
    """A filter on events, with `events.` in front, which may be left out."""
    return pattern if pattern == EVENTS or pattern.startswith(f"{EVENTS}.") else f"{EVENTS}.{pattern}"


def _begin(state: State) -> None:
    if state.get("version") != VERSION:
        state.clear()
        state.update({"version": VERSION, "groups": {}, "failed": {}, "quiet": None})


def _key(values: list[str | None]) -> str:
    if not values:
        return ""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]
