"""All an adapter may import: the vocabulary for a vendor's facts, and the promises an adapter makes.

An adapter is one file in `adapters/`, found by its file name, holding one class named `Adapter`. It is pure:
it builds requests, reads answers and maps records, and never touches a socket, a clock or a random number.
The engine does the waiting, retrying, counting and storing, the same way for every vendor.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from bridge.core.budget import Limit
from bridge.core.errors import CursorExpired, Malformed, Refused, Retry, Throttled, Unauthorized
from bridge.core.record import Json, Record
from bridge.core.secret import Secret

__all__ = [
    "Adapter", "Ask", "BaseSettings", "CursorExpired", "Json", "Limit", "Login", "Malformed", "Page",
    "Record", "Refused", "Request", "Response", "Retry", "Secret", "Throttled", "Token", "Unauthorized",
    "Walk", "Window", "setting",
]  # fmt: skip


def setting(default: Any = dataclasses.MISSING, *, doc: str, inferred: bool = False) -> Any:
    """Declare one configuration key of an adapter: its default (none: required) and what it means.

    `inferred` marks a vendor fact nobody has documented: the reference page says so.
    """
    metadata = {"doc": doc, "inferred": inferred}
    if isinstance(default, (list, dict, set)):
        kind = type(default)
        return field(default_factory=lambda: kind(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class BaseSettings:
    """The keys every `[[source]]` has. Adapters subclass it; types and `setting` declare the rest."""

    name: str = setting(doc="unique name of the source; becomes a subject token")
    adapter: str = setting(doc="which adapter file speaks to the vendor")
    omit: list[str] = setting([], doc="paths never published, such as participants.*.email")
    raw: bool = setting(False, doc="publish the vendor's own record beside the normalised one")
    max_body_mb: int = setting(32, doc="an HTTP answer longer than this is refused (MiB)")
    request_timeout_s: float = setting(30.0, doc="an HTTP request that takes longer is given up (seconds)")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as data. `Secret` values may stand in `headers` and anywhere inside `json`."""

    method: str
    url: str
    headers: Mapping[str, str | Secret] = field(default_factory=dict)
    json: Json = None
    counts: bool = True
    """Whether it is charged to the vendor's budget."""


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer. Header names are lower case. `json` is the decoded body, or None with `problem` set."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    json: Json = None
    problem: str = ""
    """Why the body is not JSON: `HTML page`, `truncated JSON at byte 512`, …; "" when it is."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a login yielded. Times are milliseconds since the Unix epoch; `facts` feed walks (a tenant id)."""

    value: Secret
    issued_ms: int | None = None
    expires_ms: int | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


Login = Generator[Request, Response, Token]
"""A login flow: yields requests, is sent their responses, returns the token."""


@dataclass(frozen=True, slots=True)
class Walk:
    """One way of reading one collection, over and over.

    `name` keys the cursor. Every `every_s` seconds a pass reads the window `reach_s` long that ends now
    (None: everything). `overlap_s` widens the window on both ends, for clocks that differ and ends whose
    inclusiveness nobody documents. `page_size` is asked for per page. `scope` is the adapter's own (a company).
    `reports_absence`: a record of the window that two complete passes did not hold counts as deleted.
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


S = TypeVar("S", bound=BaseSettings)


class Adapter(abc.ABC, Generic[S]):
    """A vendor's facts. Every method is pure and may be called any number of times, in any order."""

    Settings: ClassVar[type[BaseSettings]]
    vendor: ClassVar[str]
    """The first token of the vendor's subjects."""
    type_prefix: ClassVar[str]
    """Reverse-DNS prefix of `ce-type`, such as `de.pcvisit`."""
    mapping_version: ClassVar[str]
    """Raise it when `record` maps differently: what is known is then re-read as `snapshot`, not as news."""
    omit: ClassVar[Sequence[str]] = ()
    """Paths of personal data left out unless the configuration sets `omit` itself."""

    def __init__(self, settings: S) -> None:
        self.settings = settings

    @property
    @abc.abstractmethod
    def budget_key(self) -> str:
        """Sources with the same key share one quota. Must not reveal a secret (hash it)."""

    @property
    @abc.abstractmethod
    def limit(self) -> Limit:
        """The quota to start from, until the vendor names its own."""

    @abc.abstractmethod
    def login(self) -> Login:
        """How to get a token. Raises Refused for bad credentials, Retry or Throttled for the rest."""

    def token_margin_s(self, token: Token) -> float:
        """How long before its expiry a token is renewed, in seconds."""
        if token.issued_ms is None or token.expires_ms is None:
            return 60.0
        return max(60.0, (token.expires_ms - token.issued_ms) / 10_000)

    @abc.abstractmethod
    def walks(self, token: Token) -> Sequence[Walk]:
        """What to read, fast walks first."""

    @abc.abstractmethod
    def request(self, ask: Ask, token: Token) -> Request:
        """The request for one page."""

    @abc.abstractmethod
    def page(self, ask: Ask, response: Response) -> Page:
        """Read one answer.

        Raises Unauthorized, Throttled, Retry, CursorExpired, Refused or Malformed, by what happens next.
        """

    @abc.abstractmethod
    def record(self, ask: Ask, row: Json) -> Record:
        """Map one row. Raises Malformed when it cannot be read: it goes to quarantine, the page goes on."""
