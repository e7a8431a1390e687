"""What tests of the engine share."""

from __future__ import annotations

import pytest


@pytest.fixture
def small_inbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inboxes hold a thousand frames, so that an overrun takes no more."""
    monkeypatch.setattr("bridge.engine.inbox.FRAMES", 1_000)
