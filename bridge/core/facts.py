"""The vocabulary of a vendor's facts: requests, answers, tokens, walks, pages. Data only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bridge.core.record import Json
from bridge.core.secret import Secret


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as data. `Secret` values may stand in `headers` and anywhere inside `json`."""

    method: str
    url: str
    headers: Mapping[str, str | Secret] = field(default_factory=dict)
    json: Json = field(default=None, repr=False)
    counts: bool = True
    """Whether it is charged to the vendor's budget."""


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer. Header names are lower case. `json` is the decoded body, or None with `problem` set."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    json: Json = field(default=None, repr=False)
    problem: str = ""
    """Why the body is not JSON: `HTML page`, `truncated JSON at byte 512`, …; "" when it is."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a login yielded. Times are milliseconds since the Unix epoch; `facts` feed walks (a tenant id)."""

    value: Secret
    issued_ms: int | None = None
    expires_ms: int | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Walk:
    """One way of reading one collection, over and over.

    `name` keys the cursor. Every `every_s` seconds a pass reads the window `reach_s` long that ends now
    (None: everything). `overlap_s` widens the window on both ends, for clocks that differ and ends whose
    inclusiveness nobody documents. `page_size` is asked for per page. `scope` is the adapter's own (a company).
    `reports_absence`: a record of the window that two complete passes did not hold counts as deleted.
    `once`: its records occur once and never change. Such a walk always gets a window, which it must keep to: the
    stream forgets them after its retention, and what is read again after that would be published twice.
    `telemetry`: its records go to the telemetry stream, which keeps no state: they must be `once`.
    """

    name: str
    entity: str
    every_s: float
    reach_s: float | None = None
    overlap_s: float = 0.0
    page_size: int = 50
    scope: str = ""
    reports_absence: bool = False
    incomplete_retry_s: float = 10.0
    incomplete_wait_s: float = 600.0
    once: bool = False
    telemetry: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """What one pass covers, in milliseconds since the Unix epoch. Fixed for the whole pass."""

    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Ask:
    """One page to read: of which walk, in which window, from which position (None: the first)."""

    walk: Walk
    window: Window | None
    position: Json = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page as the vendor gave it.

    `rows` are undigested; each goes through `Adapter.record`. `next` is the position to go on from, None at the
    end. `complete` is False while the vendor says that it is still loading: the pass then proves nothing.
    `reaches_back_to_ms`: the vendor holds nothing older.
    """

    rows: Sequence[Json]
    next: Json = None
    complete: bool = True
    reaches_back_to_ms: int | None = None
