"""What no Socket.IO or event stream server should send, and some do: open packets, packets, frames, HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_BODY: Final = b'{"code":5,"message":"Unsupported protocol version"}'
RAW_HTTP: Final = (
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-type: text/html\r\nContent-Length: %d\r\n\r\n%b"
    % (len(_BODY), _BODY)
)
"""What socket.io 4 without `allowEIO3` sends a client of revision 3, in the socket whose upgrade it has confirmed."""

_Shapes = dict[str, list[str | bytes]]
_UNFILLED: Final = '["odd",{"blob":{"_placeholder":true,"num":0}}]'
DEEP: Final = 10_000

# Shape: frames after which the session can go on.
_PACKETS: Final[_Shapes] = {
    "not_json": ['42["odd",{"_msgid":'],
    "object": ['42{"odd":1}'],
    "empty_array": ["42[]"],
    "number_name": ["42[7,{}]"],
    "no_args": ['42["odd"]'],
    "wrong_types": ['42["object-packet",{"_msgid":7,"event":[],"time":"soon","data":null}]'],
    "text_argument": ['42["object-packet","text"]'],
    "nan": ['42["object-packet",{"_msgid":"odd","event":"object-packet","time":NaN,"data":{}}]'],
    "deep": ['42["odd",' + "[" * DEEP + "]" * DEEP + "]"],
    "unknown_packet": ["47"],
    "empty_message": ["4"],
    "empty_frame": [""],
    "unknown_type": ["9"],
    "text_type": ["odd"],
    "noop": ["6"],
    "upgrade": ["5"],
    "stray_pong": ["3"],
    "stray_binary": [b"\x04\x00\x01\xff"],
    "wrong_placeholder": ['451-["odd",{"blob":{"_placeholder":true,"num":7}}]', b"\x04\x00"],
    "attachment_missing": [f"451-{_UNFILLED}"],
    "attachments_without_number": [f"45{_UNFILLED}"],
    "no_dash": ["451"],
    "many_attachments": [f"45999999999-{_UNFILLED}"],
    "stray_ack": ["43999[]"],
    "long_ack_id": ["42" + "9" * 400 + '["odd",{}]'],
    "ack_of_nothing": ["43[]"],
    "other_namespace": ['42/elsewhere,["odd",{}]'],
    "second_open": ['0{"sid":"odd","upgrades":[],"pingInterval":25000,"pingTimeout":60000}'],
}
_STREAM: Final[_Shapes] = {
    "not_json": ['{"_msgid":'],
    "empty_frame": [""],
    "null": ["null"],
    "array": ["[]"],
    "text_argument": ['"text"'],
    "object": ["{}"],
    "wrong_types": ['{"_msgid":7,"event":[],"time":"soon","data":null}'],
    "nan": ['{"_msgid":"odd","event":"object-packet","time":NaN,"data":{}}'],
    "deep": ["[" * DEEP + "]" * DEEP],
    "stray_binary": [b"\x00\x01\xff"],
}
SHAPES: Final[dict[str, Sequence[str]]] = {"socketio": tuple(_PACKETS), "stream": tuple(_STREAM)}
"""By transport: what a session should survive."""

_ENDINGS: Final[_Shapes] = {
    "disconnected": ["41"],
    "refused": ['44"not any more"'],
    "closed": ["1"],
}
ENDING: Final = (*_ENDINGS, "http")
"""Those that end a session of Socket.IO. `http`: a whole HTTP answer, where frames belong."""

OPENINGS: Final[dict[str, str]] = {
    "no_intervals": '0{"sid":"odd","upgrades":[]}',
    "zero": '0{"sid":"odd","upgrades":[],"pingInterval":0,"pingTimeout":0}',
    "negative": '0{"sid":"odd","upgrades":[],"pingInterval":-1,"pingTimeout":-1}',
    "endless": '0{"sid":"odd","upgrades":[],"pingInterval":9007199254740993,"pingTimeout":9007199254740993}',
    "infinite": '0{"sid":"odd","upgrades":[],"pingInterval":1e999,"pingTimeout":1e999}',
    "texts": '0{"sid":"odd","upgrades":[],"pingInterval":"25000","pingTimeout":"60000"}',
    "booleans": '0{"sid":"odd","upgrades":[],"pingInterval":true,"pingTimeout":true}',
    "array": "0[]",
    "nothing": "0",
    "not_json": '0{"sid":',
    "not_first": '42["odd",{}]',
    "empty_frame": "",
}
"""Open packets, or what comes in their place."""


def packets(shape: str, *, marked: bool) -> Sequence[str | bytes]:
    """The frames of a shape for Socket.IO. `marked`: revision 3, whose binary frames begin with their type.

    `http` is `RAW_HTTP` itself, which is to be written as it is. Raises ValueError for an unknown shape.
    """
    if shape == "http":
        return [RAW_HTTP]
    found = _ENDINGS.get(shape) or _known(_PACKETS, shape, ENDING)
    return [frame if marked or isinstance(frame, str) else frame[1:] for frame in found]


def messages(shape: str) -> Sequence[str | bytes]:
    """The frames of a shape for the event stream. Raises ValueError for an unknown one."""
    return _known(_STREAM, shape, ())


def opening(shape: str, sid: str) -> str:
    """The open packet of a shape, or what comes instead."""
    return OPENINGS[shape].replace('"sid":"odd"', f'"sid":"{sid}"')


def _known(shapes: _Shapes, shape: str, more: Sequence[str]) -> list[str | bytes]:
    if shape not in shapes:
        raise ValueError(f"a frame is odd as {', '.join((*shapes, *more))}, not as {shape!r}")
    return shapes[shape]
