"""Frames no server should send, and some do: the shapes of the fault `odd_frame`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from bridge.sandbox.dialect import Dialect

SHAPES: Final = (
    "null", "array", "not_json", "empty", "binary", "unknown_type", "no_type", "unknown_id", "text_id", "number_id",
    "null_payload", "no_payload", "second_ack",
)  # fmt: skip
ENDING: Final = ("empty_error_list", "error_object", "error_list", "connection_error")
"""Those that end an operation, or the session, if the client takes them at their word."""


def odd(shape: str, dialect: Dialect, id_: str) -> Sequence[str | bytes]:
    """The frames of a shape, aimed at the running operation `id_`. Raises ValueError for an unknown shape."""
    cable = dialect.name == "actioncable-v1-json"
    data = dialect.data(id_, {"data": {}})
    frame: Any
    match shape:
        case "null":
            frame = None
        case "array":
            frame = [data]
        case "not_json":
            return ['{"type":']
        case "empty":
            return [""]
        case "binary":
            return [b"\x00\x01\xff"]
        case "unknown_type":
            frame = {"type": "surprise", "id": id_}
        case "no_type":
            frame = {"id": id_, "payload": {}}
        case "unknown_id":
            frame = dialect.data(f'{id_} {{"channel":"Elsewhere"}}' if cable else "999999999", {"data": {}})
        case "text_id":
            frame = dialect.data('0 "no such channel"' if cable else "no such operation", {"data": {}})
        case "number_id":
            frame = {**data, "identifier" if cable else "id": 17}
        case "null_payload":
            frame = {**data, "message" if cable else "payload": None}
        case "no_payload":
            frame = {name: value for name, value in data.items() if name not in ("message", "payload")}
        case "second_ack":
            frame = {"type": "welcome" if cable else "connection_ack"}
        case "empty_error_list":
            frame = {**dialect.failed(id_, []), **({} if cable else {"payload": []})}
        case "error_object":
            frame = {**dialect.failed(id_, [{"message": "odd"}]), **({} if cable else {"payload": {"message": "odd"}})}
        case "error_list":
            frame = {
                **dialect.failed(id_, [{"message": "odd"}]),
                **({} if cable else {"payload": [{"message": "odd"}]}),
            }
        case "connection_error":
            frame = {"type": "connection_error", "payload": {"message": "odd"}}
        case _:
            raise ValueError(f"a frame is odd as {', '.join((*SHAPES, *ENDING))}, not as {shape!r}")
    return [msgspec.json.encode(frame).decode()]
