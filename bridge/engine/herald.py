"""Announces gaps: intervals for which changes may have been missed and cannot be asked for again."""

from __future__ import annotations

import structlog

from bridge.core.event import timestamp
from bridge.core.gap import Gap
from bridge.engine.ports import Memory
from bridge.engine.sequencer import Sequencer

log = structlog.get_logger()


async def announce_gap(sequencer: Sequencer, gap: Gap) -> None:
    """Publish `gap.opened`, and `gap.closed` once its end is known. What is published already is left alone."""
    published = await sequencer.announced("gap", gap.id)
    if published is None:
        ends = {} if gap.to_ms is None else {"until": timestamp(gap.to_ms)}
        log.warning(
            "gap", source=sequencer.source, feed=gap.feed, reason=gap.reason, since=timestamp(gap.from_ms), **ends
        )
        await sequencer.announce("gap", "opened", gap.id, Gap(gap.feed, gap.reason, gap.from_ms).data())
        sequencer.counts.gaps += 1
    if gap.to_ms is not None and published != "closed":
        await sequencer.announce("gap", "closed", gap.id, gap.data())
        sequencer.counts.gap_s += max(0, gap.to_ms - gap.from_ms) / 1000


async def announce_doubt(sequencer: Sequencer, memory: Memory, now_ms: int) -> None:
    """Publish the gap that lost history has left: from the last time that every walk was known to be complete."""
    if not memory.doubt:
        return
    completed = [cursor.value.get("completed_ms") for cursor in memory.cursors.values()]
    from_ms = min((ms for ms in completed if isinstance(ms, int)), default=memory.doubt_ms)
    # Its name stays the same until a cursor is written, so that opening again announces nothing new.
    await announce_gap(sequencer, Gap("stream", memory.doubt, from_ms, now_ms))
