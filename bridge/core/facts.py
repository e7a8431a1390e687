"""The vocabulary of a vendor's facts: requests, answers, tokens, walks, pages. Data only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bridge.core.record import Json
from bridge.core.secret import Secret


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as data. `Secret` values may stand in `headers`, in `form` and anywhere inside `json`."""

    method: str
    url: str
    headers: Mapping[str, str | Secret] = field(default_factory=dict)
    json: Json = field(default=None, repr=False)
    counts: bool = True
    """Whether it is charged to the vendor's budget."""
    form: Mapping[str, str | Secret] | None = field(default=None, repr=False)
    """A body as `application/x-www-form-urlencoded`, in place of `json`."""
    redirects: bool = False
    """Whether a redirect is an answer like any other. It is never followed; otherwise it is a failure to answer."""
    body: bytes | None = field(default=None, repr=False)
    """A body that is sent as it is, in place of `json`. `headers` say what it is."""
    status_only: bool = False
    """Whether only the answer's status and headers matter: its body is not read, and it may be of any length."""


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer. `json` is the decoded body, or None with `problem` set.

    Header names are lower case. A header that came several times is joined by ", ", but `set-cookie` by line feeds.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    json: Json = field(default=None, repr=False)
    problem: str = ""
    """Why the body is not JSON: `HTML page`, `truncated JSON at byte 512`, …; "" when it is."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a login yielded. Times are milliseconds since the Unix epoch; `facts` feed walks (a tenant id).

    `lasts_s`: how long it is valid from when the login began, in seconds, where the login can tell: the times are then
    not asked, nor is our clock. `beside`: another credential that the same login yielded, such as a session cookie.
    """

    value: Secret
    issued_ms: int | None = None
    expires_ms: int | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    lasts_s: float | None = None
    beside: Secret | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One GraphQL subscription to be held. `name` is unique in its source and says which one a push belongs to."""

    name: str
    document: str
    variables: Mapping[str, Json] = field(default_factory=dict, repr=False)


Subprotocol = Literal["graphql-ws", "graphql-transport-ws", "actioncable-v1-json"]
"""The three ways to speak GraphQL on a WebSocket. `graphql-ws` is the legacy one of `subscriptions-transport-ws`."""


@dataclass(frozen=True, slots=True)
class GraphqlSession:
    """A live GraphQL session as data: where to connect, how to log in there, what to subscribe to, when to give up.

    `headers` go into the upgrade request, `init` is the payload of `connection_init`; both may hold `Secret` values.
    Times are seconds. `settle_s`: how long after the last subscription the catch-up begins, as no server says when it
    has begun to listen (ActionCable does). `beat_timeout_s`: silence after the first `ka` or `ping` that means a dead
    peer (None: three times the interval seen). `idle_timeout_s`: silence from the start that does (None: any is
    fine). `ping_interval_s` and `ping_timeout_s`: WebSocket pings of our own (None: none). `close_codes`: what the
    operator knows of this vendor's private codes, by code: "refresh", "retry" or "slow".
    """

    url: str
    subprotocol: Subprotocol
    operations: Sequence[Operation]
    headers: Mapping[str, str | Secret] = field(default_factory=dict)
    init: Json = field(default=None, repr=False)
    channel: str = "GraphqlChannel"
    connect_timeout_s: float = 10.0
    ack_timeout_s: float = 10.0
    settle_s: float = 2.0
    beat_timeout_s: float | None = None
    idle_timeout_s: float | None = None
    ping_interval_s: float | None = 20.0
    ping_timeout_s: float | None = 20.0
    max_message_mb: float = 8.0
    proxy: str | None = None
    close_codes: Mapping[int, str] = field(default_factory=dict)


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
    `lag_s`: how long the vendor's queries may show an older state than its pushes or another of its replicas did; a
    record without version that disagrees with what was learned less than that ago is left alone and read again.
    `again_s`: how long after each connect the walk is read once more, for the same reason.
    `batch`: the walk reads known entities by their ids, so many at a time (`Ask.ids`), and all of them in one pass.
    `of`: it reads not these entities but what belongs to them, such as the packets of objects: the known ones of this
    kind are asked for by their ids, and for each the pages may be many. It goes with `batch`.
    `spares`: how many requests of the quota's burst it leaves to others. `on_connect`: whether it is read at once
    after each connect of the live session, or only when it is due.
    `worth`: how much its freshness is worth beside that of other walks, where the quota is too small for all of them.
    `wakes`: the walk is a cheap look that says only whether another one, of this name, has something to tell
    (`Page.evidence`); that one is then read soon. `confirms`: before an entity counts as deleted it is asked for by
    its id (`Ask.ids`, one at a time), and only an answer without it confirms that it is gone.
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
    lag_s: float = 0.0
    again_s: Sequence[float] = ()
    batch: int = 0
    of: str = ""
    spares: int = 0
    on_connect: bool = True
    worth: float = 1.0
    wakes: str = ""
    confirms: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """What one pass covers, in milliseconds since the Unix epoch. Fixed for the whole pass."""

    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Ask:
    """One page to read: of which walk, in which window, from which position (None: the first).

    `ids`: the entities to read, for walks that read by id.
    """

    walk: Walk
    window: Window | None
    position: Json = None
    ids: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """One page as the vendor gave it.

    `rows` are undigested; each goes through `Adapter.record`. `next` is the position to go on from, None at the
    end. `complete` is False while the vendor says that it is still loading: the pass then proves nothing.
    `reaches_back_to_ms`: the vendor holds nothing older. `aliases`: ids the vendor answered with, by which it now calls
    things that were asked for by another id. `repeats`: pages of this walk overlap, so all rows may have been seen
    before; that it advances is then told by `next` alone. `proves_absence` is False where rows may be there that this
    pass cannot see: it still completes, and nothing that it did not hold counts as deleted.
    `total`: how many rows the vendor says the whole walk has, or, where its pages name a `part`, that part. `covers`:
    where rows come sorted by a whole number that is their entity's id, the first and last id between which (both
    included; None: without end) this page shows all there is: what is missing from one answer is missing, whatever
    moved between two. A walk that covers proves absence only there, in every `part` that its pages name (such as active
    and inactive rows; as one may change sides while they are read, it should also confirm). `evidence`: of a walk that
    `wakes` another: as long as it stays the same, that one need not be read.
    """

    rows: Sequence[Json]
    next: Json = None
    complete: bool = True
    reaches_back_to_ms: int | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    repeats: bool = False
    proves_absence: bool = True
    total: int | None = None
    covers: tuple[int | None, int | None] | None = None
    part: str = ""
    evidence: Json = None
