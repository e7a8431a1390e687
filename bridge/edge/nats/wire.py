"""What NATS says, decoded: answers of the API, stored records, publish acknowledgements. Imports msgspec."""

from __future__ import annotations

import msgspec

from bridge.core.record import Json


class PubError(msgspec.Struct, frozen=True, gc=False):
    """Why JetStream refused a message. Its description is not kept: it may hold parts of the message."""

    code: int = 0
    err_code: int = 0


class PubAck(msgspec.Struct, frozen=True, gc=False):
    """JetStream's answer to a message or to a batch: where it lies, or why not. `count`: messages of a batch."""

    seq: int = 0
    count: int = 0
    error: PubError | None = None


PLAIN_ACK = rb'\{"stream":"[^"\\\r\n]*", ?(?:"domain":"[^"\\\r\n]*", ?)?"seq":(\d{1,19})\}'
"""The pattern of an acknowledgement that says nothing but where the message lies."""

_ack = msgspec.json.Decoder(PubAck)
_any = msgspec.json.Decoder()


def decode_ack(data: bytes) -> PubAck:
    """Read an acknowledgement. Raises ValueError when it is none."""
    return _ack.decode(data)


def decode(data: bytes) -> Json:
    """Read any JSON. Raises ValueError."""
    return _any.decode(data)
