"""Back-up and restore of a stream by the JetStream API that `nats stream backup` and `nats stream restore` use.

A snapshot comes in chunks, each with a subject on which its arrival is to be confirmed, and ends with an empty one. A
restore takes the same chunks in the same way (ADR-44 documents neither: this follows the server's own client tests).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import anyio
from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.support.asking import ask

DEADLINE_S = 30.0


@dataclass(frozen=True)
class Backup:
    """A stream's configuration and state, and its content as the server packed it."""

    config: dict[str, Any]
    state: dict[str, Any]
    chunks: list[bytes] = field(repr=False)


async def back_up(nc: Client, stream: str) -> Backup:
    """A copy of a stream. What is replaced meanwhile may be in it neither old nor new: see the operations' manual."""
    chunks: list[bytes] = []
    whole = anyio.Event()
    inbox = nc.new_inbox()

    async def take(message: Msg) -> None:
        if not message.data:
            whole.set()
            return
        chunks.append(message.data)
        await message.respond(b"")

    subscription = await nc.subscribe(inbox, cb=take)
    with anyio.fail_after(DEADLINE_S):
        answer = await _call(nc, f"STREAM.SNAPSHOT.{stream}", {"deliver_subject": inbox, "chunk_size": 65_536})
        await whole.wait()
    await subscription.unsubscribe()
    return Backup(answer["config"], answer["state"], chunks)


async def restore(nc: Client, backup: Backup) -> dict[str, Any]:
    """Make the stream from a back-up on a server that has none of this name; its state there."""
    name = backup.config["name"]
    with anyio.fail_after(DEADLINE_S):
        answer = await _call(nc, f"STREAM.RESTORE.{name}", {"config": backup.config, "state": backup.state})
        for chunk in backup.chunks:
            await ask(nc, answer["deliver_subject"], chunk)
        end = await ask(nc, answer["deliver_subject"])
    told = json.loads(end.data)
    assert "error" not in told, told
    state: dict[str, Any] = told["state"]
    return state


async def _call(nc: Client, subject: str, body: Any) -> Any:
    message = await ask(nc, f"$JS.API.{subject}", json.dumps(body).encode())
    answer = json.loads(message.data)
    assert "error" not in answer, answer
    return answer
