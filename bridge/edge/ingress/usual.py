"""The usual webhook, read and answered in a few steps: a POST whose head came whole, with a length and nothing special.

h11 takes a fifth of a millisecond for what a sender says a thousand times alike. Whatever is unusual in any way is left
to h11, which also says what is wrong with it: here nothing is refused, only not taken. What is taken here h11 would
take, and understand the same (RFC 9112); tests/edge/test_ingress_usual.py holds the two against each other.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

from bridge.edge.ingress.target import MOST_FIELDS
from bridge.engine.ports import Reply

MOST_HEAD = 8_192
"""Bytes of a request line with its headers. More is unusual."""
MOST_DIGITS = 9
SHORT = 200
"""Characters of a reply's body. One without headers of its own is then made once a second."""

FRAMING = frozenset({"connection", "content-length", "date", "keep-alive", "transfer-encoding", "upgrade"})
"""Headers of a reply that are ours to set."""

_END = b"\r\n\r\n"
_LINE = re.compile(r"POST (/[!-~]*) HTTP/1\.1")
_TOKEN = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_UNUSUAL = frozenset({"connection", "expect", "te", "trailer", "transfer-encoding", "upgrade"})
_SINGLE = frozenset({"content-length", "host"})
# Of what a reply says, HTTP allows a little more than we have to say.
_SAYABLE = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")


class Head(NamedTuple):
    """A head, its headers by lower-case name, and where in the bytes its body begins."""

    target: str
    headers: dict[str, str]
    length: int
    begins: int


def read(data: bytes) -> Head | None:
    """The head that `data` begins with; None for any that is not whole, or not usual."""
    end = data.find(_END, 0, MOST_HEAD)
    if end < 0:
        return None
    try:
        line, *fields = data[:end].decode("ascii").split("\r\n")
    except UnicodeDecodeError:
        return None
    started = _LINE.fullmatch(line)
    if started is None or len(fields) > MOST_FIELDS:
        return None
    headers: dict[str, str] = {}
    for field in fields:
        raw, colon, value = field.partition(":")
        name = _name(raw)
        value = value.strip(" \t")
        # Nor a line break of another kind, nor a line that goes on with the one before: neither prints, or is a name.
        if not name or not colon or not value.isprintable():
            return None
        if name in _UNUSUAL and not (name == "connection" and value.lower() == "keep-alive"):
            return None
        if name in headers:
            if name in _SINGLE:
                return None
            value = f"{headers[name]}, {value}"
        headers[name] = value
    length = headers.get("content-length", "")
    # All of it is ASCII: what counts as a digit is one from 0 to 9.
    if "host" not in headers or not length.isdigit() or len(length) > MOST_DIGITS:
        return None
    return Head(started[1], headers, int(length), end + len(_END))


@lru_cache(maxsize=512)
def _name(raw: str) -> str:
    """A header's name in lower case; "" where HTTP knows no such name."""
    return raw.lower() if len(raw) <= 64 and _TOKEN.fullmatch(raw) else ""


def date() -> str:
    """Now, as a header says it. Made once a second."""
    return _date(int(time.time()))


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def fields(reply: Reply, *, last: bool) -> tuple[dict[str, str], bytes]:
    """A reply's headers by lower-case name, and its body. `last`: the connection ends with it."""
    body = reply.body if isinstance(reply.body, bytes) else reply.body.encode("utf-8")
    headers = {"date": date(), "x-content-type-options": "nosniff"}
    if reply.status in (204, 304):
        body = b""
    else:
        headers["content-type"] = "text/plain; charset=utf-8"
        if reply.stream is None:
            headers["content-length"] = str(len(body))
    headers |= {low: value for name, value in reply.headers.items() if (low := name.lower()) not in FRAMING}
    if last:
        headers["connection"] = "close"
    return headers, body


def phrase(status: int) -> str:
    """What HTTP calls the status; "" where it does not know it."""
    return HTTPStatus(status).phrase if status in _KNOWN else ""


_KNOWN = frozenset(status.value for status in HTTPStatus)


def said(reply: Reply, *, last: bool) -> bytes:
    """The bytes of a reply to what `read` has taken. Raises ValueError for one that HTTP cannot say."""
    if reply.stream is not None:
        raise ValueError("only what is asked by GET is answered with a stream")
    if not reply.headers and len(reply.body) <= SHORT:
        return _alike(reply.status, reply.body, date(), last)
    return _said(reply.status, *fields(reply, last=last))


@lru_cache(maxsize=64)
def _alike(status: int, body: str | bytes, _: str, last: bool) -> bytes:
    return _said(status, *fields(Reply(status, body), last=last))


def _said(status: int, headers: Mapping[str, str], body: bytes) -> bytes:
    if not 200 <= status <= 599:
        raise ValueError(f"status {status} ends no request")
    if not all(_TOKEN.fullmatch(name) and _SAYABLE.fullmatch(value) for name, value in headers.items()):
        raise ValueError("a header that HTTP cannot say")
    lines = [f"HTTP/1.1 {status} {phrase(status)}", *map(": ".join, headers.items()), "", ""]
    return "\r\n".join(lines).encode("ascii") + body
