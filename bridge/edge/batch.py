"""Atomic batches: several messages that JetStream stores together or not at all (ADR-50)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import anyio

from bridge.edge.publisher import NOT_AN_ANSWER, Answer, Outgoing, Publisher

BATCH_ID = "Nats-Batch-Id"
BATCH_SEQUENCE = "Nats-Batch-Sequence"
BATCH_COMMIT = "Nats-Batch-Commit"

MOST_EVENTS = 999
"""The server takes 1,000 messages a batch; the last place is the cursor's."""
MOST_OPEN = 8
"""Batches open at a time. The server takes 50 per stream, shared by all instances."""
TOO_MANY_OPEN = 10210
BACK_OFF_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)


class Batches:
    """Sends batches, at most `MOST_OPEN` at a time."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._open = anyio.Semaphore(MOST_OPEN)

    async def store(self, messages: Sequence[Outgoing]) -> Answer | None:
        """Send one batch; what the server said of it, or None if it said nothing in time.

        Waits a little, several times, while too many batches are open. Once begun, a batch is sent to its end
        even if the caller is cancelled. Raises Away.
        """
        async with self._open:
            answer = await self._once(messages)
            for wait_s in BACK_OFF_S:
                if answer is None or answer.err_code != TOO_MANY_OPEN:
                    break
                await anyio.sleep(wait_s)
                answer = await self._once(messages)
            return answer

    async def _once(self, messages: Sequence[Outgoing]) -> Answer | None:
        name = uuid.uuid4().hex
        last = len(messages)
        numbered = [
            message._replace(headers={**message.headers, BATCH_ID: name, BATCH_SEQUENCE: str(number)})
            for number, message in enumerate(messages, 1)
        ]
        numbered[-1] = numbered[-1]._replace(headers={**numbered[-1].headers, BATCH_COMMIT: "1"})
        if last == 1:
            return (await self._publisher.publish(numbered))[0]
        # The first is a question, so that a refusal costs one message and not a thousand. It is not shielded: a
        # caller that is cancelled while waiting for the answer leaves one message for the server to forget.
        first = (await self._publisher.publish(numbered[:1]))[0]
        if first is None or first.err_code:
            return first
        if not first.accepted:
            return NOT_AN_ANSWER
        return (await self._publisher.publish(numbered[-1:], unasked=numbered[1:-1]))[0]
