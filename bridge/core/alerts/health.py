"""The preset `health`: the bridge's own troubles, said once when something breaks and once when it heals.

What breaks, of one source: `source.lost` and `source.blocked` until `source.recovered` (or `source.connected`), and its
gaps, from the first that opens until the last is closed. A source that is lost and then blocked is told again, since
then a human is needed; so is one whose deletes are held back. What was never told broken is not told healed.
`quarantine.occurred` cannot heal: one of a source is told at once, and then at most one in an hour.
"""

from __future__ import annotations

import dataclasses

from bridge.core.alerts import night
from bridge.core.alerts.batch import Batch, Sight, Voice, grown, merged
from bridge.core.alerts.decision import Decision, Happening, State
from bridge.core.alerts.quiet import Quiet
from bridge.core.alerts.rule import MINUTE_MS, OWN_VENDOR, is_old_news, reference_to, trace_of
from bridge.core.alerts.settings import AlertSettings
from bridge.core.alerts.template import bounded, one_line
from bridge.core.alerts.trouble import Trouble, trouble
from bridge.core.alerts.windows import Windows
from bridge.core.record import Json

QUARANTINE_EVERY_MS = 3_600_000
MOST_PLACES = 300
"""So much is known broken at a time; beyond that the oldest is forgotten, and not told healed."""
MOST_GAPS = 20
"""Of one source open at a time."""
VERSION = 1


class Health:
    """See `Machine`. Raises ValueError for what `check` would have refused."""

    def __init__(self, settings: AlertSettings) -> None:
        self.name = settings.name
        self.subjects = tuple(f"events.{OWN_VENDOR}.*.{entity}.>" for entity in ("source", "gap", "quarantine"))
        self._quiet = None if settings.quiet is None else Quiet(settings.quiet)
        self._set_aside = Windows(Voice(settings.name, "warning"), QUARANTINE_EVERY_MS, largest=20_000)

    def seen(self, state: State, event: Happening, seq: int, now_ms: int) -> list[Decision]:
        """See `Machine`."""
        if event.vendor != OWN_VENDOR or is_old_news(event):
            return []
        _begin(state)
        found = trouble(event)
        if found is None or not _is_news(state, found):
            return []
        sight = Sight(
            reference=reference_to(event, seq),
            at=f"{event.variables().get('time')}",
            title=one_line(found.title),
            body=bounded(found.body),
            key=found.place,
            group=one_line(event.source),
            traceparent=trace_of(event),
        )
        if self._quiet is not None and self._quiet.on(now_ms):
            state["quiet"] = grown(state["quiet"], sight)
            night.note(state["night"], found, self._quiet.wall(now_ms))
            return []
        if found.kind == "event":
            return self._set_aside.seen(state["groups"], sight, now_ms)
        return [Voice(self.name, found.severity).at_once(found.kind, sight)]

    def due(self, state: State, now_ms: int) -> list[Decision]:
        """See `Machine`."""
        _begin(state)
        if self._quiet is not None and self._quiet.on(now_ms):
            wall = self._quiet.wall(now_ms)
            return self._set_aside.due(state["groups"], now_ms, lambda key, batch: self._hold(state, key, batch, wall))
        told = self._set_aside.due(state["groups"], now_ms)
        if state["quiet"]:
            told.insert(0, self._morning(state))
        return told

    def next_ms(self, state: State, now_ms: int) -> int | None:
        """See `Machine`."""
        _begin(state)
        minute = (now_ms // MINUTE_MS + 1) * MINUTE_MS
        if state["quiet"]:
            return minute if self._quiet is not None and self._quiet.on(now_ms) else now_ms
        end = self._set_aside.next_ms(state["groups"], now_ms)
        return None if end is None else max(now_ms, min(minute, end))

    def flush(self, state: State) -> list[Decision]:
        """See `Machine`. What is broken stays known."""
        _begin(state)
        told = [self._morning(state)] if state["quiet"] else []
        return told + self._set_aside.flush(state["groups"])

    def _morning(self, state: State) -> Decision:
        """What quiet hours held: a line for each thing that broke, with its end if it healed."""
        severity, title, body = night.told(state["night"])
        decision = Voice(self.name, severity).together("quiet", state["quiet"])
        state["quiet"], state["night"] = None, night.begun()
        return dataclasses.replace(decision, title=one_line(title), body=bounded(body))

    def _hold(self, state: State, place: str, batch: Batch, wall: str) -> None:
        """What was about to be told of records that were set aside, when quiet hours began."""
        state["quiet"] = merged(state["quiet"], batch)
        night.note(state["night"], Trouble("event", place, batch["title"], "", "warning"), wall, batch["count"])


def _is_news(state: State, found: Trouble) -> bool:
    """Whether it is to be told, after what was told of its place. Notes that it is."""
    broken = state["broken"]
    known = broken.get(found.place)
    if found.kind == "event":
        return True
    if found.kind == "broken":
        return _breaks(broken, found, known)
    if known is None:
        return False
    if found.place.startswith("gap:"):
        known["open"] = [gap for gap in known["open"] if gap not in found.what]
        if known["open"]:
            return False
    del broken[found.place]
    return True


def _breaks(broken: Json, found: Trouble, known: Json) -> bool:
    if known is not None and found.place.startswith("gap:"):
        # One gap more of a source that has one: told when the last has ended.
        known["open"] = [*known["open"], *(gap for gap in found.what if gap not in known["open"])][-MOST_GAPS:]
        return False
    told = set(known["open"]) if known is not None else set()
    # Who is blocked and then merely lost has got better, if anything.
    new = set(found.what) - told - ({"lost"} if "blocked" in told else set())
    if not new:
        return False
    broken[found.place] = {"open": sorted(told | new)}
    while len(broken) > MOST_PLACES:
        del broken[next(iter(broken))]
    return True


def _begin(state: State) -> None:
    if state.get("version") != VERSION:
        state.clear()
        state.update({"version": VERSION, "broken": {}, "groups": {}, "quiet": None, "night": night.begun()})
