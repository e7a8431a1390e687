"""The way out to a server, where the event loop has a word of its own for a socket that broke."""

from __future__ import annotations

import pytest

from bridge.edge.nats.client import _Transport


class _Closed:
    def write(self, payload: bytes) -> None:
        raise RuntimeError(f"unable to write {len(payload)} bytes; the handler is closed")


def test_what_breaks_unnoticed_breaks_like_any_connection() -> None:
    """Who writes at once to a socket that is closed already meets an OSError, as everybody here expects."""
    transport = _Transport()  # type: ignore[no-untyped-call]
    transport._io_writer = _Closed()  # type: ignore[assignment]
    with pytest.raises(ConnectionResetError, match="handler is closed"):
        transport.write(b"PING")
