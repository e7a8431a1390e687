"""Socket.IO packets in and out, by python-socketio's codec with JSON of our own; foreign exceptions stop here.

That codec is made for friends. What it would let pass is refused before or after it: digits that are not ASCII, a
number of attachments where there are none, packet types that do not exist, placeholders that name an attachment
twice (64 kB of them would make gigabytes of one attachment) or that stand in for none. Its attribute `json` is
replaced in a subclass; the class that the whole process shares stays as it is.
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any

from bridge.core.errors import Malformed
from bridge.core.record import Json
from bridge.core.wire.packets import Packet
from bridge.edge import codec
from bridge.edge.sparing import module_alone

# Without its client and server, which hold no session of ours, and all they would load: a megabyte, and some time of
# the start. The codec itself is one file.
foreign: Any = module_alone("socketio.packet", "engineio")

MOST_ATTACHMENTS = 64
"""A packet that announces more is not waited for: senders of that many would use one attachment."""

LONGEST_RAW = 4096
"""Bytes of what cannot be read that are kept for the quarantine."""

_PLAIN_EVENT = "2["
"""How an event begins that has no attachments and no number, and is of the namespace `/`."""

# Type; number of attachments; the number's dash, with any script's digits in front, as the foreign codec reads them.
_HEAD = re.compile(r"([0-6])(?:([0-9]+)-)?")
_STRAY_DASH = re.compile(r"\d+-")
_ID = re.compile(r"[0-9]*(?!\d)")

# What the foreign codec raises on what is not a packet; RecursionError is a RuntimeError.
_FOREIGN = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class _OurJson:
    """What the foreign codec takes for the module `json`."""

    @staticmethod
    def loads(text: str) -> Json:
        return codec.decode(text.encode())

    @staticmethod
    def dumps(value: Json, **_spelling: object) -> str:
        return codec.encode(value).decode()


class _Packet(foreign.Packet):  # type: ignore[misc]
    json = _OurJson


class _Waiting:
    """A packet whose attachments are on their way. See `Partial`."""

    def __init__(self, packet: Any, head: bytes) -> None:
        self._packet = packet
        self._head = head

    def add(self, data: bytes) -> Packet | None:
        try:
            # The foreign codec puts into place whatever it is given: bytes are no JSON, this is.
            whole = self._packet.add_attachment({"base64": b64encode(data).decode()})
        except _FOREIGN:
            raise Malformed("an attachment that does not fit its packet", raw=self._head) from None
        return _packet(self._packet) if whole else None

    def __repr__(self) -> str:
        return f"<{len(self._packet.attachments)} of {self._packet.attachment_count} attachments>"


class SocketioCodec:
    """Reads and writes Socket.IO packets of protocol revisions 4 and 5, which look alike. See `Codec`.

    Every Malformed has as `raw` the first `LONGEST_RAW` bytes of the packet's text.
    """

    def decode(self, text: str) -> Packet | _Waiting:
        """The packet, or what waits for its attachments: at most `MOST_ATTACHMENTS`. Raises Malformed only."""
        try:
            if text.startswith(_PLAIN_EVENT):
                # Nearly every packet. The foreign codec finds the same in it, and takes twice as long.
                return Packet(foreign.EVENT, "/", None, _OurJson.loads(text[1:]))
            count = _announced(text)
            packet = _Packet(encoded_packet=text)
            _check_placeholders(packet.data, count)
        except Malformed as error:
            raise Malformed(str(error), raw=_head(text)) from None
        except _FOREIGN:
            raise Malformed("not a Socket.IO packet", raw=_head(text)) from None
        return _Waiting(packet, _head(text)) if count else _packet(packet)

    def ack(self, namespace: str, id_: int) -> str:
        """The packet that acknowledges an event, without values: `3<id>[]`, with its namespace unless that is `/`."""
        return str(_Packet(foreign.ACK, data=[], namespace=namespace, id=id_, binary=False).encode())


def _head(text: str) -> bytes:
    return text[:LONGEST_RAW].encode("utf-8", "replace")[:LONGEST_RAW]


def _packet(packet: Any) -> Packet:
    kind = packet.packet_type
    kind -= 3 * (kind in (foreign.BINARY_EVENT, foreign.BINARY_ACK))
    return Packet(kind, packet.namespace or "/", packet.id, packet.data)


def _announced(text: str) -> int | None:
    """How many attachments a packet's head announces; None: it is of a kind that has none. Raises Malformed."""
    head = _HEAD.match(text)
    if head is None:
        raise Malformed("a Socket.IO packet of an unknown type" if text else "an empty Socket.IO packet")
    binary, digits = head[1] in "56", head[2]
    if binary is not (digits is not None) or _STRAY_DASH.match(text, head.end() if binary else 1):
        raise Malformed("a Socket.IO packet whose type and number of attachments contradict each other")
    start = head.end()
    if text.startswith("/", start):
        start = text.find(",", start) + 1 or len(text)
    if _ID.match(text, start) is None:
        raise Malformed("a Socket.IO packet with a number that is none")
    if digits is None:
        return None
    if len(digits) > 9 or int(digits) > MOST_ATTACHMENTS:
        raise Malformed(f"a Socket.IO packet with more than {MOST_ATTACHMENTS} attachments")
    return int(digits)


def _check_placeholders(data: Json, count: int | None) -> None:
    """Raises Malformed unless each of `count` attachments has exactly one place. None: places mean nothing here."""
    if count is None:
        return
    places: list[Json] = []
    stack = [data]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack += value
        elif isinstance(value, dict):
            # As the foreign codec finds them; what stands in a placeholder besides is lost with it.
            if value.get("_placeholder") and "num" in value:
                places.append(value["num"])
            else:
                stack += value.values()
    if not all(type(place) is int for place in places) or sorted(places) != list(range(count)):
        raise Malformed(f"a Socket.IO packet whose placeholders are not those of its {count} attachments")
