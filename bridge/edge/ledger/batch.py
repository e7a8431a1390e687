"""Atomic batches: several messages that JetStream stores together or not at all (ADR-50)."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Sequence

import anyio

from bridge.core.errors import Away
from bridge.edge.ledger.publisher import NOT_AN_ANSWER, Answer, Message, Outgoing, Publisher
from bridge.edge.ledger.turns import Turns

BATCH_ID = "Nats-Batch-Id"
BATCH_SEQUENCE = "Nats-Batch-Sequence"
BATCH_COMMIT = "Nats-Batch-Commit"

MOST_EVENTS = 999
"""The server takes 1,000 messages a batch; the last place is the cursor's."""
MOST_OPEN = 8
"""Batches open at a time. The server takes 50 per stream, shared by all instances."""
MOST_OF_ONE = 4
"""Of these, the batches of one source."""
SMALL = 16
SMALL_BYTES = 64 * 1024
"""A batch of at most so many messages and bytes of content is sent in one go."""
TOO_MANY_OPEN = 10210
ABANDON_S = 1.0
BACK_OFF_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)


class Batches:
    """Sends batches, at most `MOST_OPEN` at a time. Sources take turns: see `Turns`."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._turns = Turns(MOST_OPEN, MOST_OF_ONE)

    async def store(self, source: str, messages: Sequence[Message]) -> Answer | None:
        """Send one batch of `source`; what the server said of it, or None if it said nothing in time.

        Waits a little, several times, while too many batches are open. Once begun, a batch is sent to its end
        even if the caller is cancelled. Raises Away.
        """
        async with self._turns.of(source):
            answer = await self._once(messages)
            for wait_s in BACK_OFF_S:
                if answer is None or answer.err_code != TOO_MANY_OPEN:
                    break
                await anyio.sleep(wait_s)
                answer = await self._once(messages)
            return answer

    async def _once(self, messages: Sequence[Message]) -> Answer | None:
        name = uuid.uuid4().hex
        named = f"{BATCH_ID}: {name}\r\n{BATCH_SEQUENCE}: "
        numbered = [
            Outgoing(message.subject, message.headers, message.payload, f"{named}{number}\r\n")
            for number, message in enumerate(messages, 1)
        ]
        numbered[-1] = numbered[-1]._replace(more=f"{numbered[-1].more}{BATCH_COMMIT}: 1\r\n")
        if len(messages) <= SMALL and sum(len(message.payload) for message in messages) <= SMALL_BYTES:
            return await self._in_one_go(numbered, name)
        # The first is a question, so that a refusal costs one message and not a thousand. The wait for its answer is
        # not shielded: a caller that is cancelled there has begun a batch, and abandons it.
        ended = False
        try:
            answer = (await self._publisher.publish(numbered[:1]))[0]
            if answer is not None and answer.accepted:
                answer = (await self._publisher.publish(numbered[-1:], unasked=numbered[1:-1]))[0]
                ended = True
            elif answer is not None:
                ended = bool(answer.err_code)
                answer = answer if ended else NOT_AN_ANSWER
            return answer
        finally:
            if not ended:
                await self._abandon(name, messages[0].subject)

    async def _in_one_go(self, numbered: Sequence[Outgoing], name: str) -> Answer | None:
        """Without waiting for the first answer: one round trip instead of two, where a refusal costs little."""
        heard = False
        try:
            # Each gets an answer: those before the last only say that it is taken in. `unasked` shields the sending.
            answers = await self._publisher.publish(numbered, unasked=())
            heard = any(answer is not None for answer in answers)
        finally:
            if not heard:
                await self._abandon(name, numbered[0].subject)
        # One that is refused at once makes the server complain of all that follow: the first complaint says why.
        for answer in answers[:-1]:
            if answer is not None and not answer.accepted:
                return answer if answer.err_code else NOT_AN_ANSWER
        return answers[-1]

    async def _abandon(self, name: str, subject: str) -> None:
        """Make the server drop a batch that may be open: it would keep one of its few places for ten seconds.

        One that it has stored meanwhile stays stored.
        """
        # A number that is missing ends a batch. It is not waited for, and nobody hears the server's complaint.
        ends = f"{BATCH_ID}: {name}\r\n{BATCH_SEQUENCE}: {MOST_EVENTS + 1}\r\n{BATCH_COMMIT}: 1\r\n"
        with anyio.move_on_after(ABANDON_S, shield=True), contextlib.suppress(Away):
            await self._publisher.publish([], unasked=[Outgoing(subject, {}, b"", ends)])
