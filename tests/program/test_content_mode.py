"""The whole program in both content modes: an operator switches, the daemon is killed, and nothing is told twice.

`make test` has the same without kills in tests/edge/operator/test_content_modes.py.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

from tests.support.ordeal import ordeal
from tests.support.stream import Stored

TRACE = re.compile("00-[0-9a-f]{32}-[0-9a-f]{16}-01")

pytestmark = [pytest.mark.anyio, pytest.mark.chaos, pytest.mark.timeout(400)]


def is_document(event: Stored) -> bool:
    return event.headers.get("Content-Type", "").startswith("application/cloudevents+json")


async def test_the_content_mode_may_be_switched_at_any_restart(tmp_path: Path) -> None:
    """Binary, structured, binary, with a SIGKILL between: no false update, nothing doubled or lost, the view equals the
    vendor's state, and every event carries a trace."""
    async with ordeal("content modes", tmp_path, seed=71, sync_always=False) as scene:
        daemon = scene.daemon()
        config = tmp_path / "daemon.toml"
        binary = config.read_text("utf-8")
        structured = binary.replace("[nats]\n", '[nats]\ncontent_mode = "structured"\n')
        daemon.start()
        for text in (structured, structured, binary):
            await scene.progress(3)
            config.write_text(text, "utf-8")
            await scene.kill_daemon(daemon)
        await scene.progress(3)
        verdict = await scene.verdict()
        verdict.must_be_faithful()
        modes: dict[tuple[str, ...], set[bool]] = defaultdict(set)
        for event in verdict.events:
            modes[event.entity].add(is_document(event))
            assert TRACE.fullmatch(event.headers["ce-traceparent"])
        assert {True, False} in modes.values()
        # One page or announcement is one trace, so there are fewer than events, and more than one.
        assert 1 < len({event.headers["ce-traceparent"] for event in verdict.events}) < len(verdict.events)
