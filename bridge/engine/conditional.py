"""Conditional requests (RFC 9110, 13): what has not changed since it was read is not sent again.

Where an answer carries an `ETag`, or an old enough `Last-Modified`, it is kept, and the next request for the same
thing says so. To 304 the kept answer is taken in place of the empty one, so that nobody behind here need know of it. A
304 costs a request like any other answer; what it saves is the vendor's work and the way.

What is kept is bounded and lives in memory only: without it the whole answer comes.
"""

from __future__ import annotations

import json
import re
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bridge.adapter import Request, Response, answer

MOST_BYTES = 4 * 1024 * 1024
"""What one source keeps at most, compressed; whatever was not asked for for the longest time goes first."""
ROUNDS, TURNS = 4, 100
"""What was asked for during the last so many answers per entry, and so many more, is kept: where a list is longer than
what can be kept, a part of it that stays is of use, and one that always goes just before it is asked for is of none."""
USUAL = 8
"""JSON is compressed to about this part: what will not fit need not be tried."""
SETTLED_MS = 60_000
"""`Last-Modified` counts whole seconds: in the seconds after it something may change without moving it."""
OVERHEAD = 512
"""Bytes an entry takes beside its body."""

_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,256}"')
_DATE = re.compile(r"[A-Za-z0-9,: +-]{0,64}")
_NOT_KEPT = ("content-length", "content-encoding", "transfer-encoding")
_Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(slots=True)
class _Kept:
    """An answer. `body`: its decoded JSON, written again and compressed; `condition`: the header to ask with."""

    body: bytes
    headers: Mapping[str, str]
    condition: tuple[str, str]
    turn: int
    """When it was asked for last, counted in answers."""

    @property
    def size(self) -> int:
        return len(self.body) + OVERHEAD + sum(map(len, self.headers.values()))


class Conditional:
    """The answers that a source may ask about instead of for. `unchanged` counts those that were still good."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self.bytes = 0
        self.unchanged = 0
        self._turn = 0

    def request(self, request: Request) -> Request:
        """The same request, with a condition if an answer to it is kept."""
        kept = self._kept.get(_key(request)) if _may(request) else None
        if kept is None:
            return request
        name, value = kept.condition
        return replace(request, headers={**request.headers, name: value})

    def response(self, request: Request, response: Response) -> Response:
        """What the vendor means: to 304 the answer that is kept, with its headers brought up to date.

        `request` is the one without condition.
        """
        key = _key(request)
        if response.status != 304 or (kept := self._kept.get(key)) is None:
            return response
        self._kept.move_to_end(key)
        self._turn += 1
        kept.turn = self._turn
        self.unchanged += 1
        body = zlib.decompress(kept.body)
        fresh = {name: value for name, value in response.headers.items() if name not in _NOT_KEPT}
        return Response(200, {**kept.headers, **fresh}, body, json.loads(body))

    def keep(self, request: Request, response: Response) -> None:
        """The vendor's answer was good: keep it, if it says how to ask about it. To be told of every one, 304 too."""
        if response.status == 304:
            return
        self.forget(request)
        condition = _condition(response)
        if not _may(request) or condition is None:
            return
        self._turn += 1
        if not self._room(len(response.body) // USUAL):
            return
        try:
            # Written anew from what was decoded: read again it is the same, whatever the vendor's spelling.
            written = json.dumps(response.json, separators=(",", ":"), allow_nan=False)
        except (ValueError, RecursionError):
            return
        headers = {name: value for name, value in response.headers.items() if name not in _NOT_KEPT}
        kept = _Kept(zlib.compress(written.encode("ascii"), 1), headers, condition, self._turn)
        if self._room(kept.size):
            self._kept[_key(request)] = kept
            self.bytes += kept.size

    def _room(self, size: int) -> bool:
        """Whether so much can be kept besides, once what nobody has asked for any more is gone."""
        while self._kept and self.bytes + size > self._most_bytes:
            key, oldest = next(iter(self._kept.items()))
            if self._turn - oldest.turn <= ROUNDS * len(self._kept) + TURNS:
                break
            del self._kept[key]
            self.bytes -= oldest.size
        return self.bytes + size <= self._most_bytes

    def forget(self, request: Request) -> None:
        """Ask for it as a whole next time."""
        kept = self._kept.pop(_key(request), None)
        self.bytes -= kept.size if kept is not None else 0

    def clear(self) -> None:
        """Ask for everything as a whole next time."""
        self._kept.clear()
        self.bytes = 0


def _may(request: Request) -> bool:
    return request.method == "GET" and request.json is None and request.form is None


def _key(request: Request) -> _Key:
    """What is asked for: the address, and the headers that are no secrets. Tokens change, whose they are does not."""
    return request.url, tuple(sorted((name, text) for name, text in request.headers.items() if isinstance(text, str)))


def _condition(response: Response) -> tuple[str, str] | None:
    headers = response.headers
    if response.status != 200 or response.problem or "no-store" in headers.get("cache-control", "").lower():
        return None
    if _TAG.fullmatch(tag := headers.get("etag", "").strip()):
        return "If-None-Match", tag
    modified = headers.get("last-modified", "").strip()
    then_ms, now_ms = answer.date_ms(modified), answer.server_ms(headers)
    if then_ms is None or now_ms is None or now_ms - then_ms < SETTLED_MS or not _DATE.fullmatch(modified):
        return None
    return "If-Modified-Since", modified
