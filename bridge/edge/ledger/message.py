"""A message on its way into a stream, as the protocol spells it, and what JetStream answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from bridge.core.headers import Headers
from bridge.core.value import value
from bridge.edge.nats import wire

_AROUND = len("NATS/1.0\r\n\r\n")


class Message(Protocol):
    """What is to be published: an event as it was sealed, or what an `Outgoing` holds."""

    @property
    def subject(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def payload(self) -> bytes: ...


class Outgoing(NamedTuple):
    """One message to publish. `more`: further headers, spelled out, each with its line break."""

    subject: str
    headers: Mapping[str, str]
    payload: bytes
    more: str = ""


@value
class Answer:
    """What JetStream said of one message: stored at `seq` (of a batch: the last of `count`), or refused.

    `err_code` is 0 for success; `accepted` is the empty answer to the first message of a batch.
    """

    seq: int = 0
    err_code: int = 0
    count: int = 0
    accepted: bool = False


NOBODY = Answer(err_code=503)
"""Nobody listens on the subject: the stream is not there now."""
NOT_AN_ANSWER = Answer(err_code=-1)


def command(message: Outgoing, reply: str) -> bytes:
    """The protocol's HPUB. Raises ValueError for a header that would be two."""
    subject, given, payload, more = message
    headers = Headers.of(given)
    if not headers.whole:
        raise ValueError("a header holds a line break")
    text = f"{headers.text}{more}" if more else headers.text
    size = _AROUND + (len(text) if text.isascii() else len(text.encode()))
    start = f"HPUB {subject} {reply} {size} {size + len(payload)}\r\nNATS/1.0\r\n{text}\r\n"
    return b"%b%b\r\n" % (start.encode(), payload)


def answer_of(data: bytes, *, status: bool) -> Answer:
    """What an answer says; `status`: it came with headers, as one of the server's own does."""
    if not data:
        return NOBODY if status else Answer(accepted=True)
    try:
        ack = wire.decode_ack(data)
    except ValueError:
        return NOT_AN_ANSWER
    if ack.error is not None:
        return Answer(err_code=ack.error.err_code or ack.error.code)
    return Answer(seq=ack.seq, count=ack.count)
