"""An in-memory twin of the bucket of leases, on the clock of the test. It passes the contract suite of the real one.

Each process of a test gets its own `MemoryLeases` of one `Bucket`, and can lose its way to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import anyio
import anyio.lowlevel

from bridge.core.errors import Away
from bridge.core.lease import Claim, Seen, Tenant, time_to_live
from bridge.core.member import Member


class Bucket:
    """What the server holds. `expires`: it removes what nobody renews, as the real one does by TTL."""

    def __init__(self, *, expires: bool = True) -> None:
        self.expires = expires
        self._seq = 0
        self._last: dict[str, tuple[Seen, float]] = {}
        self.history: list[tuple[float, str, str]] = []
        """(time, source, instance) of every change of holder; "" for nobody."""

    def last(self, source: str) -> Seen:
        """The name's last message."""
        seen, until = self._last.get(source, (Seen(), math.inf))
        if seen.held and self.expires and anyio.current_time() >= until:
            # The server leaves a mark, which is a message too.
            return self.store(source, None)
        return seen

    def store(self, source: str, claim: Claim | None, *, ttl_s: float = math.inf) -> Seen:
        """Whatever lies there now."""
        before = self._last.get(source, (Seen(), 0.0))[0].claim
        now, then = (value.tenant.instance if value else "" for value in (claim, before))
        if now != then:
            self.history.append((anyio.current_time(), source, now))
        self._seq += 1
        seen = Seen(self._seq, claim is not None, claim)
        self._last[source] = seen, anyio.current_time() + ttl_s
        return seen

    def owner(self, source: str) -> str:
        """The instance that holds it; "" for nobody."""
        claim = self.last(source).claim
        return claim.tenant.instance if claim else ""


class MemoryLeases:
    """See `Leases`: one process's way to the bucket. `cut`: nothing passes. `on_write` is called before each write."""

    def __init__(self, bucket: Bucket | None = None) -> None:
        self.bucket = bucket or Bucket()
        self.cut = False
        self.lose_answers = 0
        """So many next writes are stored, and their answers lost."""
        self.on_write: Callable[[], None] = lambda: None
        self.looks = self.writes = 0

    async def look(self, sources: Sequence[str]) -> Mapping[str, Seen]:
        """See `Leases.look`."""
        await self._pass()
        self.looks += 1
        return {source: seen for source in sources if (seen := self.bucket.last(source)).seq}

    async def put(self, source: str, claim: Claim, after: int) -> int | None:
        """See `Leases.put`."""
        ttl_s = float(time_to_live(claim.lease_s).removesuffix("s"))
        seen = await self._write(source, claim, after, ttl_s)
        return None if seen is None else seen.seq

    async def drop(self, source: str, after: int) -> bool:
        """See `Leases.drop`."""
        return await self._write(source, None, after, math.inf) is not None

    async def _write(self, source: str, claim: Claim | None, after: int, ttl_s: float) -> Seen | None:
        await self._pass()
        self.on_write()
        self.writes += 1
        if self.bucket.last(source).seq != after:
            return None
        seen = self.bucket.store(source, claim, ttl_s=ttl_s)
        if self.lose_answers:
            self.lose_answers -= 1
            raise Away("the answer was lost (the twin was told so)")
        # An answer takes its time: whoever is cancelled meanwhile does not get it.
        await anyio.lowlevel.checkpoint()
        return seen

    async def _pass(self) -> None:
        await anyio.lowlevel.checkpoint()
        if self.cut:
            raise Away("NATS is away (the twin was told so)")


def tenant(instance: str, *, boot: str = "", place: str = "here", pid: int = 1, started: int = 1) -> Tenant:
    """A life of an instance."""
    boot = boot or f"{instance}-{pid}-{started}"
    return Tenant(instance=instance, boot=boot, host="h", place=place, pid=pid, started=started, build="1")


def claim(
    instance: str = "a", *, lease_s: float = 10.0, since_ms: int = 1, member: Member | None = None, **life: str | int
) -> Claim:
    """A claim of a life of an instance."""
    return Claim(tenant(instance, **life), since_ms, lease_s, member=member)  # type: ignore[arg-type]
