"""What a request line and headers say, read strictly: decoded once, and nothing two readers might read differently."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, unquote_to_bytes

from bridge.engine.ports import Reply

MOST_FIELDS = 100
"""Headers of a request, and parameters of a query."""

_PLAIN = re.compile(r"/[-./0-9A-Z_a-z~]*")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ABSOLUTE = re.compile(r"https?://[^/?#]+(?P<rest>[/?].*)?", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class BadRequest(Exception):
    """What is answered instead, before the connection is closed."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.reply = Reply(status, text)


def read_target(method: str, target: str) -> tuple[str, Mapping[str, str]]:
    """The decoded path, and the first value of each name in the query. Raises BadRequest.

    Takes what RFC 9112 section 3.2 knows as origin form (/path), absolute form (http://host/path, as proxies send it)
    and asterisk form (OPTIONS *). Percent escapes are decoded once, as UTF-8 (RFC 3986 section 2.1).
    """
    if _PLAIN.fullmatch(target):
        # As nearly always: no query, and nothing to decode.
        return target, {}
    if target == "*" and method == "OPTIONS":
        return target, {}
    if not target.startswith("/"):
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None:
            raise BadRequest("the request's target is neither a path nor an http(s) URL")
        target = absolute["rest"] or "/"
        target = target if target.startswith("/") else f"/{target}"
    if "#" in target:
        raise BadRequest("the request's target holds a fragment")
    if _BROKEN_ESCAPE.search(target):
        raise BadRequest("the request's target holds a percent sign that escapes nothing")
    path, _, query = target.partition("?")
    try:
        path = unquote_to_bytes(path).decode("utf-8")
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except UnicodeDecodeError:
        raise BadRequest("the request's target is not UTF-8 once decoded") from None
    except ValueError:
        raise BadRequest(f"the query has more than {MOST_FIELDS} parameters") from None
    if _CONTROL.search(path) or "\t" in path:
        raise BadRequest("the request's path holds a control character")
    first: dict[str, str] = {}
    for name, value in pairs:
        first.setdefault(name, value)
    return path, first


def read_headers(items: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Values by lower-case name; what came several times is joined by ", ". Raises BadRequest.

    Values are UTF-8, or else Latin-1, which reads everything (RFC 9110 section 5.5 leaves it open).
    """
    found: dict[str, str] = {}
    for count, (raw_name, raw_value) in enumerate(items):
        if count == MOST_FIELDS:
            raise BadRequest(f"the request has more than {MOST_FIELDS} headers", 431)
        name = raw_name.decode("ascii").lower()
        try:
            value = raw_value.decode("utf-8")
        except UnicodeDecodeError:
            value = raw_value.decode("latin-1")
        if _CONTROL.search(value):
            raise BadRequest(f"the value of header {name} holds a control character")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def check(version: str, headers: Mapping[str, str]) -> None:
    """Raises BadRequest for what the protocol forbids, or we do not speak.

    A length and chunks at once is how one request is smuggled inside another past a proxy (RFC 9112 section 6.3).
    """
    if version not in ("1.0", "1.1"):
        raise BadRequest("only HTTP/1.0 and HTTP/1.1 are spoken here", 505)
    if "transfer-encoding" in headers and ("content-length" in headers or version == "1.0"):
        raise BadRequest("Transfer-Encoding is not allowed beside Content-Length, nor in HTTP/1.0")
    if headers.get("expect", "100-continue").lower() != "100-continue":
        raise BadRequest("the only expectation that can be met is 100-continue", 417)
