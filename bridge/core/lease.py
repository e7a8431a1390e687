"""Who may work for a source: what a claim says, when it may be taken over, and when one's own has run out.

A lease saves work, it does not guard the stream: the expectations of every event do. So whoever loses one in a way
nobody foresaw (a machine put to sleep, an operator who deletes the claim) wastes requests, and doubles nothing.

No wall clocks are compared: clocks of two machines may differ by an hour. A holder counts from the moment it *sent*
its last renewal, by its own monotonic clock; a contender counts from the moment it first *saw* the claim in this very
form, by its own. The second moment is never before the first, so the holder always stops first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from bridge.core.errors import Away
from bridge.core.member import Member, read_member
from bridge.core.record import Json
from bridge.core.vitals import Vitals, read_vitals

RENEWALS = 3
"""So many times per lease it is renewed: two renewals may fail before it is lost."""
MARGIN = 0.1
"""This part of the lease its holder does not use: for what is on its way to the server when the time is up."""


class LeaseLost(Away):
    """The source's lease has run out or is another's: write nothing more, and stand by."""


class LeaseGiven(LeaseLost):
    """The source is to be another instance's, so that all hold about as many: nothing is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """One life of one instance. `instance` is the configured name; `boot` a random name of this process.

    `place` names the set of processes within which `pid` means one of them (the same boot of the same machine, and
    the same container); "" when that cannot be told. `started` tells two uses of one pid apart; 0 when unknown.
    """

    instance: str
    boot: str
    host: str
    place: str
    pid: int
    started: int
    build: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """What lies in the bucket under a source's name. `since_ms`: since when it is held; for people only.

    `session`: what its live sessions have measured, for people only; None for a source that is polled, and of a build
    that does not tell. It says nothing of whose claim this is, so it is no part of what makes two claims equal.

    `at`: the place of its holder among the instances that share (`bridge/core/member.py`); the claim ends with it.
    "" where it stands for itself. `member`: such a place's own claim, and what its holder tells of itself.
    """

    tenant: Tenant
    since_ms: int
    lease_s: float
    session: Vitals | None = field(default=None, compare=False)
    at: str = ""
    member: Member | None = field(default=None, compare=False)

    def to_json(self) -> dict[str, Json]:
        """As it is stored."""
        told: dict[str, Json] = {} if self.session is None else {"session": self.session.to_json()}
        if self.at:
            told["at"] = self.at
        if self.member is not None:
            told["member"] = self.member.to_json()
        return {**asdict(self.tenant), "since_ms": self.since_ms, "lease_s": self.lease_s, **told}


def read_claim(value: Json) -> Claim | None:
    """The claim that `to_json` made `value` of; None if somebody else wrote it."""
    if not isinstance(value, Mapping):
        return None
    try:
        texts = {name: _is(str, value[name]) for name in ("instance", "boot", "host", "place", "build")}
        numbers = {name: _is(int, value[name]) for name in ("pid", "started")}
        since_ms, lease_s = _is(int, value["since_ms"]), float(value["lease_s"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    if not 0 < lease_s < math.inf:
        return None
    at = value.get("at")
    return Claim(
        Tenant(**texts, **numbers),
        since_ms,
        lease_s,
        read_vitals(value.get("session")),
        at if isinstance(at, str) else "",
        read_member(value.get("member")),
    )


def _is(kind: type[Any], value: Json) -> Any:
    if not isinstance(value, kind):
        raise TypeError
    return value


@dataclass(frozen=True, slots=True)
class Seen:
    """What lies under a source's name at a look: the last message, at `seq` (0: none at all).

    `held`: it is a claim, not a mark that one was given up or has run out. `claim`: what it says, if it can be read.
    """

    seq: int = 0
    held: bool = False
    claim: Claim | None = None


def holder(seen: Seen) -> str:
    """Whose claim it is that was `seen`, for people."""
    if seen.claim is None:
        return "somebody whose claim cannot be read"
    tenant = seen.claim.tenant
    return f"instance {tenant.instance} (process {tenant.pid} on {tenant.host})"


class Verdict(StrEnum):
    """What a contender may do with what it saw."""

    FREE = "free"
    """Nobody holds it."""
    OWN = "own"
    """It is ours from an earlier life, or from a request whose answer was lost."""
    LAPSED = "lapsed"
    """Its holder has not renewed it for the whole of its lease."""
    TAKEN = "taken"
    """Somebody holds it."""


def judge(seen: Seen, me: Tenant, *, unchanged_s: float, lease_s: float, alive: Callable[[Tenant], bool]) -> Verdict:
    """May `me` take what was `seen`, and has been unchanged for `unchanged_s` seconds of our own monotonic clock?

    `lease_s` counts for a claim that cannot be read; `alive` tells whether a process in our own place is there.

    An earlier life of ours is known by the instance's name *and* by its process being gone. The name alone would let
    two daemons that run side by side with the same name (the default is the host's) take a source from each other for
    ever; a process id alone is used again, so it counts with its start time, and only where it can be looked up: on
    the same boot of the same machine, in the same container. Elsewhere the lease has to run out.
    """
    if not seen.held:
        return Verdict.FREE
    claim = seen.claim
    if claim is not None and _is_own(claim.tenant, me, alive):
        return Verdict.OWN
    return Verdict.LAPSED if unchanged_s >= patience(seen, lease_s) else Verdict.TAKEN


def patience(seen: Seen, lease_s: float) -> float:
    """How long a claim must stay as it is before it counts as lapsed, in seconds."""
    return lease_s if seen.claim is None else seen.claim.lease_s


def _is_own(holder: Tenant, me: Tenant, alive: Callable[[Tenant], bool]) -> bool:
    if holder.boot == me.boot:
        return True
    return holder.instance == me.instance and holder.place == me.place != "" and not alive(holder)


@dataclass(slots=True)
class Watch:
    """For how long one source's claim has been what it is, by our monotonic clock."""

    seen: Seen
    since: float

    def look(self, seen: Seen, now: float) -> None:
        """It was `seen` at `now`."""
        if seen != self.seen:
            self.seen, self.since = seen, now


@dataclass(slots=True)
class Term:
    """A held lease's time, in seconds of the holder's monotonic clock. `sent`: when the last renewal was sent."""

    lease_s: float
    sent: float

    @property
    def ends(self) -> float:
        """From here on nothing may be written."""
        return self.sent + self.lease_s * (1 - MARGIN)

    @property
    def due(self) -> float:
        """When to renew."""
        return self.sent + self.lease_s / RENEWALS

    def over(self, now: float) -> bool:
        """Whether it has run out."""
        return now >= self.ends


def time_to_live(lease_s: float) -> str:
    """The claim's `Nats-TTL`. The server cuts fractions off: rounded up, or it would end before its holder stops."""
    return f"{max(1, math.ceil(lease_s))}s"
