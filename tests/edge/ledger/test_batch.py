"""How a batch goes out: in one go where it is small, after a question where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from bridge.edge.ledger.batch import Batches
from bridge.edge.ledger.publisher import NOT_AN_ANSWER, Answer, Outgoing

TAKEN = Answer(accepted=True)
STORED = Answer(seq=9, count=3)


class Server:
    """Stands in for the publisher: notes each call, as (asked, unasked), and answers what it was given."""

    def __init__(self, *answers: list[Answer | None]) -> None:
        self._answers = list(answers)
        self.calls: list[tuple[list[str], list[str] | None]] = []

    async def publish(
        self, messages: Sequence[Outgoing], *, unasked: Sequence[Outgoing] | None = None
    ) -> list[Answer | None]:
        def numbers(some: Sequence[Outgoing]) -> list[str]:
            return [message.more.partition("Nats-Batch-Sequence: ")[2].partition("\r\n")[0] for message in some]

        self.calls.append((numbers(messages), None if unasked is None else numbers(unasked)))
        return self._answers.pop(0) if messages else []


def store(server: Any, count: int, size: int = 10) -> Answer | None:
    """What `Batches` makes of a batch of so many messages."""
    return anyio.run(Batches(server).store, "acme", [Outgoing("s", {}, b"x" * size)] * count)


def test_a_small_batch_takes_one_round_trip() -> None:
    """All messages go at once, each is asked for, and the last answer is the batch's."""
    server = Server([TAKEN, TAKEN, STORED])
    assert store(server, 3) == STORED
    assert server.calls == [(["1", "2", "3"], [])]


@pytest.mark.parametrize(("count", "size"), [(17, 10), (3, 30_000)])
def test_a_large_batch_begins_with_a_question(count: int, size: int) -> None:
    """The rest is sent once the first message has been taken."""
    server = Server([TAKEN], [STORED])
    assert store(server, count, size) == STORED
    assert [asked for asked, _ in server.calls] == [["1"], [str(count)]]


def test_the_first_refusal_is_the_reason() -> None:
    """A batch that is refused at its first message is unknown to the server afterwards: that complaint is no news."""
    refused = Answer(err_code=10077)
    assert store(Server([refused, Answer(err_code=10176)]), 2) == refused
    assert store(Server([NOT_AN_ANSWER, STORED]), 2) == NOT_AN_ANSWER
    assert store(Server([Answer(seq=8), STORED]), 2) == NOT_AN_ANSWER


def test_a_batch_nobody_answers_for_is_dropped() -> None:
    """It may be open, and would keep a place: a number that is missing ends it."""
    server = Server([None, None])
    assert store(server, 2) is None
    assert server.calls[1] == ([], ["1000"])
    # One answer shows that all of it was sent.
    server = Server([TAKEN, None])
    assert store(server, 2) is None
    assert len(server.calls) == 1
