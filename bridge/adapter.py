"""All an adapter may import: the vocabulary for a vendor's facts, and the promises an adapter makes.

An adapter is one file in `adapters/`, found by its file name, holding one class named `Adapter`. It is pure:
it builds requests, reads answers and maps records, and never touches a socket, a clock or a random number.
The engine does the waiting, retrying, counting and storing, the same way for every vendor.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from bridge.core import answer, fields, graphql, jwt, paging
from bridge.core.budget import Limit
from bridge.core.errors import BridgeError, CursorExpired, Malformed, Refused, Retry, Throttled, Unauthorized
from bridge.core.facts import Ask, GraphqlSession, Operation, Page, Request, Response, Token, Walk, Window
from bridge.core.record import Json, Record
from bridge.core.secret import Secret

__all__ = [
    "Adapter", "Ask", "BaseSettings", "BridgeError", "CursorExpired", "GraphqlSession", "Json", "Limit", "Login",
    "Malformed", "Operation", "Page", "Record", "Refused", "Request", "Response", "Retry", "Secret", "Throttled",
    "Token", "Unauthorized", "Walk", "Window", "answer", "fields", "graphql", "jwt", "paging", "setting",
]  # fmt: skip


def setting(
    default: Any = dataclasses.MISSING, *, doc: str, inferred: bool = False, at_least: float | None = None
) -> Any:
    """Declare one configuration key of an adapter: its default (none: required) and what it means.

    `inferred` marks a vendor fact nobody has documented: `bridged adapters` says so. `at_least` is the smallest
    number allowed.
    """
    metadata = {"doc": doc, "inferred": inferred, "at_least": at_least}
    if isinstance(default, (list, dict, set)):
        kind = type(default)
        return field(default_factory=lambda: kind(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class BaseSettings:
    """The keys every `[[source]]` has. Adapters subclass it; types and `setting` declare the rest."""

    name: str = setting(doc="unique name of the source; becomes a subject token")
    adapter: str = setting(doc="which adapter file speaks to the vendor")
    omit: list[str] | None = setting(
        None, doc="paths never published, such as participants.*.email; replaces the adapter's cautious default"
    )
    raw: bool = setting(False, doc="publish the vendor's own record beside the normalised one")
    max_body_mb: int = setting(32, doc="an HTTP answer longer than this is refused (MiB)")
    request_timeout_s: float = setting(30.0, doc="an HTTP request that takes longer is given up (seconds)")


Login = Generator[Request, Response, Token]
"""A login flow: yields requests, is sent their responses, returns the token."""


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

    def belongs(self, ask: Ask, after: Json) -> bool:  # noqa: ARG002 - a default that claims nothing
        """Whether an entity last known as `after` must be in a complete pass over `ask`'s window, if it exists.

        Asked only for walks that report absence. The default claims nothing, so nothing is ever called deleted.
        """
        return False

    @property
    def listens(self) -> bool:
        """Whether the source has a live session; if not it is polled only."""
        return False

    def session(self, token: Token) -> GraphqlSession:  # noqa: ARG002 - a default that refuses
        """The live session to hold while this token is valid. Asked only if the source `listens`."""
        raise Refused(f"{self.vendor} has no live session")

    def live(self, frame: Json) -> Sequence[Record]:  # noqa: ARG002 - a default that refuses
        """Map one live frame. Raises Malformed (quarantine), Unauthorized, Retry, Refused."""
        raise Malformed(f"{self.vendor} has no live feed")
