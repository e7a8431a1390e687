"""What every test may use."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """asyncio by default: the edges live on it. Engine tests override it with trio and a virtual clock."""
    return "asyncio"
