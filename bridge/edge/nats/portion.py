"""Stored messages by the portion: batched direct gets, which need no consumer on the server. Imports nats-py."""

from __future__ import annotations

from collections.abc import Mapping

from nats.aio.client import Client
from nats.aio.msg import Msg

from bridge.core.record import Json
from bridge.edge.codec import encode
from bridge.edge.nats.answers import STATUS, Inbox, NoAnswer, headers_of
from bridge.edge.nats.jetstream import Message

PORTION = 256
MOST_BYTES = 4 * 1024 * 1024
"""Of one answer. The server's own bound is what it may have pending for us before it drops the connection."""


async def portion(
    nc: Client, prefix: str, stream: str, query: Mapping[str, Json], *, deadline_s: float
) -> list[Message] | None:
    """The next messages that match `query` (`next_by_subj` with `seq` or `start_time`), at most PORTION, in order.

    Any replica may answer: that there is none may mean that it lags. None when nobody answers for the stream: it has
    no leader, allows no direct gets, or is gone. Raises NoAnswer.
    """
    messages: list[Message] = []
    end: dict[str, str] = {}

    def collect(message: Msg) -> bool:
        headers = headers_of(message)
        if STATUS in headers:
            end.update(headers)
            return True
        seq, at = int(headers["Nats-Sequence"]), headers["Nats-Time-Stamp"]
        messages.append(Message(headers["Nats-Subject"], seq, headers, message.data, at))
        return False

    body = encode({**query, "batch": PORTION, "max_bytes": MOST_BYTES})
    async with Inbox(nc, collect) as inbox:
        await inbox.ask(f"{prefix}.DIRECT.GET.{stream}", body, deadline_s, f"stream {stream}")
    if end[STATUS] == "503":
        return None
    if end[STATUS] not in ("204", "404"):
        raise NoAnswer(f"stream {stream}: reading events was refused with status {end[STATUS]}")
    return messages
