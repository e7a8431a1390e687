"""A body in pieces of two bytes takes no more memory than in one piece."""

from __future__ import annotations

import tracemalloc
from typing import Any

import anyio
import pytest

from bridge.core.config import IngressSettings
from bridge.edge.ingress.conversation import Conversation
from bridge.edge.ingress.house import House
from bridge.edge.ingress.wire import Wire
from bridge.engine.ports import Incoming, Reply

MANY = 30_000


class Nobody:
    """See `Answer`."""

    def limit(self, method: str, path: str) -> int | Reply:
        return 1 << 20

    async def __call__(self, request: Incoming) -> Reply:
        return Reply(202)


def test_small_chunks_are_not_kept_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held is bounded in bytes of bodies: each piece as an object of its own would be twenty times that."""
    talk = Conversation(Wire(), House(IngressSettings(body_timeout_s=600), Nobody()), "", ())
    talk._http.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    talk._http.next_event()
    left = MANY

    async def more(_: float) -> bool:
        nonlocal left
        taken = min(left, 2_000)
        left -= taken
        talk._http.receive_data(b"2\r\nab\r\n" * taken or b"0\r\n\r\n")
        return True

    monkeypatch.setattr(talk, "_more", more)
    found: list[Any] = []

    async def main() -> None:
        tracemalloc.start()
        found.append(await talk._body(1 << 20, 0))
        found.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    anyio.run(main)
    assert found[0] == b"ab" * MANY
    assert found[1] < 10 * len(found[0])
