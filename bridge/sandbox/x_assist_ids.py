"""Opaque ids of the X-Assist sandbox: several encodings of one number, of which the newest is handed out.

The vendor may re-encode its ids: old ones stay valid as input, answers carry the new ones. Generation 0 has the form
of the vendor's sample, Base64 of `Event-<number>`.
"""

from __future__ import annotations

import base64
import binascii
import re


def key(number: int) -> str:
    """The ledger's name for an event, which no re-encoding alters."""
    return f"Event-{number}"


def encoded(number: int, generation: int = 0) -> str:
    """The id that answers carry."""
    text = key(number) if generation == 0 else f"v{generation}/Event/{number:08d}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def number_of(id_: str) -> int | None:
    """The event's number, from an id of any generation; None if it is none."""
    try:
        text = base64.b64decode(id_ + "=" * (-len(id_) % 4), b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    found = re.fullmatch(r"Event-(\d+)|v\d+/Event/(\d+)", text)
    return int(found[1] or found[2]) if found else None


def canonical(id_: str) -> str:
    """The ledger's name for whatever id the vendor ever handed out; another text as it is."""
    number = number_of(id_)
    return id_ if number is None else key(number)
