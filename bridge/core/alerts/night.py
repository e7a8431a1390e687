"""What broke and healed in quiet hours, a line for each thing: what has healed by the morning is told as one.

{"places": {"<place>": {"broke": "…" or None, "well": "…" or None, "ended": "…", "times": 2}, …}, "unsaid": 0}
"""

from __future__ import annotations

from bridge.core.alerts.settings import Severity
from bridge.core.alerts.template import one_line
from bridge.core.alerts.trouble import Trouble
from bridge.core.record import Json

MOST_PLACES = 60
"""So many lines; what else happened is counted."""
_LONGEST = 200
"""Characters of a line's half."""

Night = dict[str, Json]


def begun() -> Night:
    """Nothing has happened."""
    return {"places": {}, "unsaid": 0}


def note(night: Night, found: Trouble, wall: str, times: int = 1) -> None:
    """Something happened, at `wall` by the clock."""
    places = night["places"]
    if found.place not in places and len(places) >= MOST_PLACES:
        night["unsaid"] += 1
        return
    place = places.setdefault(found.place, {"broke": None, "well": None, "ended": "", "times": 0, "heals": True})
    line = one_line(f"{wall} {found.title}", _LONGEST)
    if found.kind == "healed":
        place["well"], place["ended"] = line, f"{found.ended} {wall}"
    else:
        place["times"] += times
        place["broke"], place["well"], place["heals"] = place["broke"] or line, None, found.kind == "broken"


def told(night: Night) -> tuple[Severity, str, str]:
    """How grave all of it is, a title, and a line for each place."""
    places = list(night["places"].values())
    lines = [_line(place) for place in places]
    broke = sum(place["broke"] is not None for place in places)
    still = sum(place["broke"] is not None and place["heals"] and place["well"] is None for place in places)
    if len(lines) == 1:
        title = lines[0]
    else:
        title = f"In quiet hours: {broke} broke or failed, {still} of them still to be mended"
    more = [f"and {night['unsaid']} more"] if night["unsaid"] else []
    severity: Severity = "failure" if still else "warning" if broke else "success"
    return severity, title, "\n".join([*(f"- {line}" for line in lines), *more])


def _line(place: Json) -> str:
    if place["broke"] is None:
        return f"{place['well']}"
    often = f" ({place['times']} times)" if place["times"] > 1 else ""
    ended = f"; {place['ended']}" if place["well"] else ""
    return f"{place['broke']}{often}{ended}"
