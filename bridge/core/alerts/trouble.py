"""What the bridge's own events say of a source, in words for people: what broke, what healed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.core.alerts.decision import Happening, Kind
from bridge.core.alerts.settings import Severity
from bridge.core.alerts.template import one_line
from bridge.core.record import Json

LONGEST_ID = 64

LOST = {
    "": "{source}: {vendor} cannot be reached",
    "live": "{source}: the live session with {vendor} is down, it is only polled",
    "reading": "{source}: {vendor} cannot be read, only what is pushed comes in",
}
BLOCKED = {
    "": "{source}: {vendor} refuses everything, a human is needed",
    "live": "{source}: {vendor} refuses the live session, a human is needed",
    "reading": "{source}: {vendor} refuses some of what is read, a human is needed",
    "deletes": "{source}: deletes are held back and wait for an operator",
}
WELL = "{source}: all is well again"
GAP = "{source}: changes may have been missed since {begin}"
GAP_ENDED = "{source}: changes may have been missed until {end}, no more since"
ASIDE = "{source}: something could not be read and was set aside"


@dataclass(frozen=True, slots=True)
class Trouble:
    """One event as the health of `place`: the source and what of it. `what`: the kinds of trouble that it tells of.

    `kind` is `broken`, `healed`, or `event` where nothing can heal. `ended`: how the end is told beside the beginning.
    """

    kind: Kind
    place: str
    title: str
    body: str = field(repr=False)
    severity: Severity
    what: tuple[str, ...] = ()
    ended: str = ""


def trouble(event: Happening) -> Trouble | None:
    """What an event of the bridge's own says of a source's health; None: nothing."""
    after = event.variables().get("after")
    said: Mapping[str, Json] = after if isinstance(after, Mapping) else {}
    name, id_ = one_line(event.source), one_line(event.id, LONGEST_ID)
    if event.entity == "source":
        return _source(name, event.change, said)
    if event.entity == "gap" and event.change == "opened":
        body = _lines(said, ("reason", "{}"), ("feed", "Feed: {}"), ("from", "Since {}"))
        title = GAP.format(source=name, begin=_text(said, "from"))
        return Trouble("broken", f"gap:{name}", title, body, "failure", (id_,))
    if event.entity == "gap" and event.change == "closed":
        body = _lines(said, ("reason", "{}"), ("feed", "Feed: {}"), ("from", "From {}"), ("to", "To {}"))
        title = GAP_ENDED.format(source=name, end=_text(said, "to"))
        return Trouble("healed", f"gap:{name}", title, body, "success", (id_,), "ended")
    if event.entity == "quarantine" and event.change == "occurred":
        body = _lines(said, ("reason", "{}"), ("feed", "Feed: {}"))
        return Trouble("event", f"quarantine:{name}", ASIDE.format(source=name), body, "warning")
    return None


def _source(name: str, change: str, said: Mapping[str, Json]) -> Trouble | None:
    place = f"source:{name}"
    if change in ("recovered", "connected"):
        return Trouble("healed", place, WELL.format(source=name), "", "success", (), "well again")
    texts = {"lost": LOST, "blocked": BLOCKED}.get(change)
    if texts is None:
        return None
    half = _text(said, "half")
    title = texts.get(half, texts[""]).format(source=name, vendor=_text(said, "vendor") or "the vendor")
    body = _lines(said, ("reason", "{}"), ("failing_since", "Failing since {}"), ("again", "Tried again at {}"))
    # Deletes may be held back while walks are refused; each of the two waits for somebody.
    what = [change] if half != "deletes" else []
    if said.get("held"):
        what.append("deletes")
    return Trouble("broken", place, title, body, "failure", tuple(what or [change]))


def _text(said: Mapping[str, Json], key: str) -> str:
    value = said.get(key)
    return value if isinstance(value, str) else ""


def _lines(said: Mapping[str, Json], *wanted: tuple[str, str]) -> str:
    return "\n".join(form.replace("{}", text) for key, form in wanted if (text := _text(said, key)))
