"""Faults on request: what a vendor's server does wrong, how often, and to which requests.

Drawn from a seed: the same plan and the same requests meet the same faults. How a fault looks on the wire is
in `delivery`; what it does to a page is each sandbox's own.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

ANSWER: Final = "answer"
"""The request is not carried out; something else is answered."""
RESOLVE: Final = "resolve"
"""The request is refused, or its effect is wrong. Drawn before the caller is identified."""
PAGE: Final = "page"
"""A page is put together wrongly. Drawn only for callers who may see it."""
ROWS: Final = "rows"
"""Rows of a page that was answered rightly are spoilt. Drawn only for pages that have rows."""
SEND: Final = "send"
"""The right answer is spoilt on its way out."""
UPGRADE: Final = "upgrade"
"""The request for a socket is answered wrongly."""
ADMIT: Final = "admit"
"""A client with good credentials is turned away from its socket."""
INIT: Final = "init"
"""The acknowledgement of a live session is wrong."""
LIFE: Final = "life"
"""A live session ends, or falls silent, some time after its acknowledgement."""
REGISTER: Final = "register"
"""A subscription is registered wrongly."""
PUSH: Final = "push"
"""One event of a subscription is spoilt. Every socket draws for itself."""
BEAT: Final = "beat"
"""A sign of life is spoilt."""

KINDS: Final[dict[str, tuple[str, str, str]]] = {
    # kind: (stage, requests it strikes by default, what happens)
    "http_500": (ANSWER, "any", "HTTP 500 with a text body"),
    "http_502": (ANSWER, "any", "HTTP 502 with a proxy's HTML page"),
    "http_503": (ANSWER, "any", "HTTP 503; with a Retry-After header if `seconds` is set"),
    "http_429": (ANSWER, "any", "HTTP 429 with a Retry-After header of `seconds` (default 1)"),
    "http_401": (ANSWER, "any", "HTTP 401, as if the credentials had expired"),
    "http_403": (ANSWER, "any", "HTTP 403, as if they were not allowed to"),
    "html": (ANSWER, "any", "an HTML page with status 200"),
    "huge": (ANSWER, "any", "a streamed body of `size` bytes (default 100 MB)"),
    "redirect": (ANSWER, "any", "HTTP 307 to `url`"),
    "graphql_errors": (ANSWER, "any", "a GraphQL `errors` array, no data"),
    "hang": (ANSWER, "any", "no answer for `seconds` (default 30), then HTTP 504"),
    "failure": (RESOLVE, "any", "the vendor's failure `error` with the text `comment`"),
    "revoked": (RESOLVE, "any", "every token issued so far becomes invalid"),
    "garbage_token": (RESOLVE, "login", "the login yields a text that is no token"),
    "loading": (PAGE, "page", "the server says it is still loading, and holds half of the rows back"),
    "cursor_refused": (PAGE, "next page", "the cursor is refused with `error` (default InvalidValue)"),
    "stuck": (PAGE, "next page", "the page's cursors are all the one asked with: it does not advance"),
    "repeat": (PAGE, "next page", "the page before is served again, with cursors that advance"),
    "overlap": (PAGE, "next page", "the page starts `rows` rows early (default 2)"),
    "total_lies": (PAGE, "page", "the total is `rows` more (default 5; negative: fewer) than there are"),
    "data_object": (PAGE, "page", "the rows come as an object, by their places"),
    "doubled": (ROWS, "page", "the first row of the page appears twice"),
    "unreadable": (ROWS, "page", "`rows` rows (default 1), or the row `id`, cannot be read; see `shape`"),
    "retyped": (ROWS, "page", "whole numbers are written as text (polled vendors only)"),
    "misshapen": (ROWS, "page", "`data` is an object that holds the rows, and no list (polled vendors only)"),
    "truncated": (SEND, "any", "the JSON ends in the middle, the HTTP message is complete"),
    "cut": (SEND, "any", "the connection closes in the middle of the body"),
    "trickle": (SEND, "any", "the body takes `seconds` (default 2) to arrive, in 20 pieces"),
    "partial": (ROWS, "page", "`rows` rows (default 1) are null, and `errors` says so (x_assist only)"),
    "upgrade_refused": (UPGRADE, "upgrade", "HTTP `status` (default 503), with Retry-After if `seconds` is set"),
    "subprotocol": (UPGRADE, "upgrade", "the agreed sub-protocol is not confirmed (`shape` none), or is `wrong`"),
    "upgrade_hangs": (UPGRADE, "upgrade", "the upgrade is never answered (platform only)"),
    "init_refused": (ADMIT, "session", "refused as with bad credentials, closed with `code` if it is set"),
    "ack_withheld": (INIT, "session", "admitted, but never told so"),
    "odd_open": (INIT, "session", "the open packet is of `shape`, see `platform_odd` (platform only)"),
    "raw_http": (INIT, "session", "after the upgrade an HTTP answer comes inside the socket (platform only)"),
    "closed_at_once": (INIT, "session", "closed with `code` (0: 1005) before a word was said (platform only)"),
    "ping_first": (INIT, "session", "a sign of life comes before the acknowledgement"),
    "dropped": (LIFE, "session", "closed with `code` (0: drawn) after about `seconds` (default 3); 1006 is a cut"),
    "frozen": (LIFE, "session", "after about `seconds` it neither reads nor answers; the connection stays open"),
    "late_registration": (REGISTER, "session", "events of the first `seconds` (default 1) are lost to it"),
    "withheld": (PUSH, "push", "never sent"),
    "pushed_twice": (PUSH, "push", "sent twice"),
    "reordered": (PUSH, "push", "sent after the next one of another entity (`shape` same: of any), or `seconds` later"),
    "failure_pushed": (PUSH, "push", "the vendor's failure `error` comes before it"),
    "errors_pushed": (PUSH, "push", "`errors` without data comes before it; with `shape` partial: beside its data"),
    "null_pushed": (PUSH, "push", "`data: null` comes before it"),
    "odd_frame": (PUSH, "push", "a frame of `shape` comes before it (default: drawn), see `odd`"),
    "completed": (PUSH, "push", "the server ends the subscription after it, unasked"),
    "huge_push": (PUSH, "push", "it carries `size` bytes more (default 2 MiB)"),
    "with_attachment": (PUSH, "push", "it carries a binary attachment of `size` bytes (default 4; Socket.IO only)"),
    "last_event": (BEAT, "session", "no sign of life; `seconds` later (default: as it is missed) an event instead"),
    "beat_withheld": (BEAT, "session", "no sign of life"),
}

TARGETS: Final = ("any", "login", "page", "next page", "upgrade", "session", "push")
SHAPES: Final = ("null_id", "wrong_types", "text_nan", "no_object")
"""How a row is unreadable. `nan_literal` (a bare NaN: the whole body is no JSON then) only on request."""


@dataclass(slots=True)
class Fault:
    """One planned fault. `times`: how many requests it strikes (None: all of them); `probability`: of each.

    `on`: one of `TARGETS` (`next page`: a page asked for with a cursor), or "" for the kind's default.
    The other fields belong to single kinds, see `KINDS`; None means the default there.
    """

    kind: str
    times: int | None = 1
    probability: float = 1.0
    on: str = ""
    seconds: float | None = None
    size: int | None = None
    rows: int | None = None
    url: str = "https://elsewhere.invalid/graphql"
    error: str = ""
    comment: str = ""
    id: str = ""
    shape: str = ""
    code: int = 0
    status: int = 503

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no fault is called {self.kind!r}; there are: {', '.join(KINDS)}")
        self.on = self.on or KINDS[self.kind][1]
        if self.on not in TARGETS:
            raise ValueError(f"a fault strikes on {', '.join(TARGETS)}, not on {self.on!r}")
        if self.kind == "unreadable" and self.shape and self.shape not in (*SHAPES, "nan_literal"):
            raise ValueError(f"a row is unreadable as {', '.join(SHAPES)} or nan_literal, not as {self.shape!r}")

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Fault:
        """A fault from the control interface. Raises ValueError for anything it does not know."""
        unknown = set(data) - {item.name for item in fields(cls)}
        if unknown or "kind" not in data:
            raise ValueError(f"a fault needs a kind, and has no {', '.join(sorted(unknown)) or 'other fields'}")
        return cls(**data)


class Faults:
    """The plan, and a count of what was served. At most one fault per stage strikes a request."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.planned: list[Fault] = []
        self.served: Counter[str] = Counter()

    def plan(self, kind: str, **how: Any) -> Fault:
        """Add a fault; the arguments are the fields of `Fault`. Raises ValueError for an unknown kind."""
        fault = Fault(kind, **how)
        self.planned.append(fault)
        return fault

    def clear(self) -> None:
        """Behave from now on. The counts stay."""
        self.planned.clear()

    def draw(self, stage: str, operation: str, *, ids: frozenset[str] | None = None) -> Fault | None:
        """The fault that strikes this request at this stage, counted as served; None for none.

        `operation`: one of `TARGETS` or `other`. `ids`: the ids a page or push holds, at stages ROWS and PUSH.
        """
        for fault in self.planned:
            if KINDS[fault.kind][0] != stage or not _strikes(fault.on, operation):
                continue
            if fault.id and (ids is None or fault.id not in ids):
                continue
            if fault.probability < 1.0 and self.rng.random() >= fault.probability:
                continue
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self.planned.remove(fault)
            self.served[fault.kind] += 1
            return fault
        return None

    def to_json(self) -> list[dict[str, Any]]:
        """The plan, for the control interface."""
        return [asdict(fault) for fault in self.planned]


def _strikes(on: str, operation: str) -> bool:
    if on == "any" or on == operation:
        return True
    return on == "page" and operation == "next page"
