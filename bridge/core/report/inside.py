"""What only the process that runs a source can tell of it, as it stands in the report."""

from __future__ import annotations

from typing import Any

from bridge.core.event import timestamp
from bridge.core.report.facts import SourceFacts

Json = dict[str, Any]

_NOTHING: Json = {
    "state": None, "state_since": None, "state_reason": None, "here": False, "token": None, "inbox": None,
    "counts": None, "rate": None,
}  # fmt: skip


def inside(facts: SourceFacts | None) -> Json:
    """Those keys of a source; all None where nobody tells."""
    if facts is None:
        return dict(_NOTHING)
    counts, token, inbox = facts.counts, facts.token, facts.inbox
    return {
        "state": facts.state,
        "state_since": timestamp(facts.since_ms),
        "state_reason": facts.reason,
        "here": facts.here,
        "token": None
        if token is None
        else {
            "age_s": round(token.age_s, 1),
            "expires_in_s": _rounded(token.expires_in_s),
            "renew_in_s": _rounded(token.renew_in_s),
            "renewals": facts.renewals,
        },
        "inbox": None
        if inbox is None
        else {
            "frames": inbox.frames,
            "bytes": inbox.bytes,
            "offered": inbox.offered,
            "forgotten": inbox.forgotten,
            "overruns": inbox.overruns,
        },
        "counts": {
            "received": counts.received,
            "stored": counts.stored,
            "unchanged": counts.unchanged,
            "duplicates": counts.duplicates,
            "quarantined": counts.quarantined,
            "by_change": dict(counts.by_change),
        },
        "rate": list(facts.rate),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
