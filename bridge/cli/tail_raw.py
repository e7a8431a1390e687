"""Messages as they are stored: their headers, and their payload byte for byte. For people, and for programs."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from rich.text import Text

from bridge.cli.plain import escaped
from bridge.edge.nats.jetstream import Message
from bridge.edge.operator.tail import STORED, stored_headers


def raw_json(message: Message) -> dict[str, Any]:
    """`payload` is its text, or where that is no UTF-8 `payload_base64`."""
    found: dict[str, Any] = {
        "seq": message.seq,
        "subject": message.subject,
        "stored": message.headers[STORED],
        "headers": stored_headers(message),
    }
    try:
        return {**found, "payload": message.payload.decode("utf-8")}
    except UnicodeDecodeError:
        return {**found, "payload_base64": base64.b64encode(message.payload).decode()}


def raw_lines(message: Message) -> Iterator[Text]:
    """A line of its own for each header; what is not a visible character is escaped as in JSON."""
    yield Text.assemble((f"#{message.seq}", "bold"), f" {escaped(message.subject)} {message.headers[STORED]}")
    for name, value in stored_headers(message).items():
        yield Text.assemble((f"{escaped(name)}: ", "bright_black"), escaped(value))
    yield Text()
    yield Text(escaped(message.payload.decode("utf-8", "backslashreplace")))
    yield Text()
