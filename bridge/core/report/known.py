"""What is known of a source by its process and by the stream together: the fresher of the two counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bridge.core.event import timestamp
from bridge.core.lifecycle import State
from bridge.core.report.facts import SourceFacts
from bridge.core.report.overview import NEVER, Overview

Json = dict[str, Any]

_WELL = (State.CATCHING_UP, State.LIVE)


def known(facts: SourceFacts, seen: Overview | None, seen_ms: int | None, owner: Json) -> Overview:
    """What the stream told, `seen` at `seen_ms`, brought up to date by the `facts` of a process that works for it.

    `owner`: how this process signs what it owns. Of what nobody knows yet (None: the stream was not asked) nothing is
    said, least of all that something is wrong.
    """
    view = Overview(facts.name, facts.vendor, condition="") if seen is None else seen
    if not facts.here:
        return view
    walks = dict(view.walks)
    for name, completed_ms in facts.completed_ms.items():
        cursor = walks.get(name, {})
        before = cursor.get("completed_ms")
        if not isinstance(before, int) or before < completed_ms:
            walks[name] = {**cursor, "completed_ms": completed_ms}
    view = replace(view, walks=walks)
    if facts.state != State.OPENING and view.owner.get("instance") != owner.get("instance"):
        view = replace(view, owner=dict(owner))
    if seen_ms is None or facts.since_ms > seen_ms:
        view = _moved(view, facts)
    return view


def _moved(view: Overview, facts: SourceFacts) -> Overview:
    """It has changed its state since the stream was asked."""
    since = timestamp(facts.since_ms)
    plain = replace(view, since=since, reason=facts.reason, half="", failing_since=None, again=None)
    if facts.state in _WELL and view.half == "":
        return replace(plain, condition="connected", reason="")
    if facts.state == State.BLOCKED:
        return replace(plain, condition="blocked", failing_since=since)
    # An attempt that failed is announced only where it matters, and what was said before holds until then.
    return replace(view, condition="") if view.condition == NEVER else view
