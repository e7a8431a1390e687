"""Announces gaps: intervals for which changes may have been missed and cannot be asked for again."""

from __future__ import annotations

import structlog

from bridge.core.gap import Gap
from bridge.engine.sequencer import Sequencer

log = structlog.get_logger()


async def announce_gap(sequencer: Sequencer, gap: Gap) -> None:
    """Publish `gap.opened`, and `gap.closed` once its end is known. What is published already is left alone."""
    published = await sequencer.announced("gap", gap.id)
    if published is None:
        log.warning("gap.opened", feed=gap.feed, reason=gap.reason, gap=gap.id)
        await sequencer.announce("gap", "opened", gap.id, Gap(gap.feed, gap.reason, gap.from_ms).data())
    if gap.to_ms is not None and published != "closed":
        await sequencer.announce("gap", "closed", gap.id, gap.data())
