"""All an adapter may import: the vocabulary for a vendor's facts, and the promises an adapter makes.

An adapter is one file in `adapters/`, found by its file name, holding one class named `Adapter`. It is pure:
it builds requests, reads answers and maps records, and never touches a socket, a clock or a random number.
The engine does the waiting, retrying, counting and storing, the same way for every vendor.
"""

from __future__ import annotations

import abc
from collections.abc import Generator, Mapping, Sequence
from functools import cached_property, partial
from typing import ClassVar, Generic, TypeVar

from bridge.core import (
    access_key,
    answer,
    credentials,
    fields,
    graphql,
    iso8601,
    journal,
    jsend,
    jwt,
    mapping,
    metered,
    numbered,
    oauth,
    paging,
    published,
    push,
    relay,
    resource,
    selection,
    shape,
    shapes,
    slices,
    subscription,
    url,
)
from bridge.core.budget import Allowance, Block, Limit
from bridge.core.credentials import CredentialSettings
from bridge.core.errors import (
    BridgeError,
    CursorExpired,
    Malformed,
    Refused,
    Retry,
    Throttled,
    TooComplex,
    Unauthorized,
)
from bridge.core.facts import Ask, GraphqlSession, Operation, Page, Request, Response, Subprotocol, Token, Walk, Window
from bridge.core.hooks.settings import WebhookSettings
from bridge.core.oauth import OAuthSettings
from bridge.core.published import Published
from bridge.core.push import PushSettings
from bridge.core.record import Json, Look, Record
from bridge.core.resource import Resource, ResourceSettings
from bridge.core.resource_table import ResourceTable
from bridge.core.secret import Secret
from bridge.core.session import HookSession, Session, SocketioSession, StreamSession
from bridge.core.settings import BadSetting, BaseSettings, GraphqlSettings, LiveSettings, Subscription, setting

__all__ = [
    "Adapter", "Allowance", "Ask", "BadSetting", "BaseSettings", "Block", "BridgeError", "CredentialSettings",
    "CursorExpired", "GraphqlSession", "GraphqlSettings", "HookSession", "Json", "Limit", "LiveSettings", "Login",
    "Look", "Malformed", "OAuthSettings", "Operation", "Page", "Published", "PushSettings", "Record", "Refused",
    "Request", "Resource", "ResourceSettings", "ResourceTable", "Response", "Retry", "Secret", "Session",
    "SocketioSession", "StreamSession", "Subprotocol", "Subscription", "Throttled", "Token", "TooComplex",
    "Unauthorized", "Walk", "WebhookSettings", "Window", "access_key", "answer", "credentials", "fields", "graphql",
    "iso8601", "journal", "jsend", "jwt", "mapping", "metered", "numbered", "oauth", "paging", "published", "push",
    "relay", "resource", "selection", "setting", "shape", "slices", "subscription", "url",
]  # fmt: skip


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
    shapes: ClassVar[Sequence[str]] = ()
    """The entities that a `[[source.subscription]]` may name as its `shape`: `record` maps them as it does pages'."""
    by_row: ClassVar[bool] = False
    """Whether `record` goes by nothing but the row and its walk's entity, save for what belongs to another thing."""
    failures: ClassVar[graphql.Failures | None] = None
    """How the vendor reports failures as data inside a live feed; None: it does not."""

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
        if token.lasts_s is not None:
            return max(60.0, token.lasts_s / 10)
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

        Raises Unauthorized, Throttled, Retry, CursorExpired, Refused (of this walk: the others of the source go on) or
        Malformed, by what happens next.
        """

    def allowance(self, response: Response) -> Allowance | Block | None:  # noqa: ARG002 - a default that knows nothing
        """What an answer says of the quota, whatever else it says. Asked of the answers to requests that count.

        Vendors that count in fixed blocks of time tell a `Block`, and tell nothing else.
        """
        return None

    @abc.abstractmethod
    def record(self, ask: Ask, row: Json) -> Record:
        """Map one row. Raises Malformed when it cannot be read: it goes to quarantine, the page goes on."""

    def basis(self, ask: Ask) -> Json:
        """What of `ask` `record` goes by, as JSON; with it a row that is as it was need not be mapped anew each time.

        Two rows that are the same, on the same basis, must give the same record. None: nobody has said. The default
        goes by `by_row`.
        """
        return "row" if self.by_row and not ask.walk.of else None

    def schema(self, entity: str) -> str | None:
        """The shared shape that `record` maps this entity to, as `person/1`; None: a shape of the vendor's own.

        The default knows those of `shapes` that are shared, unless a subscription maps the entity in its own way.
        """
        shape, settings = shapes.newest(entity), self.settings
        own = isinstance(settings, GraphqlSettings) and any(one.entity == entity for one in settings.subscription)
        return shape.id if shape is not None and entity in self.shapes and not own else None

    @property
    def entities(self) -> Sequence[Published]:
        """What the source publishes, by its settings alone: for `bridged asyncapi`. What is missing here must not come.

        The default goes by walks, by `shapes` and by subscriptions. Override it where `record` or `live` name entities
        that those do not, and give `Published(None, …)` where only the vendor's data names them.
        """
        found = [published.of_walk(walk) for walk in self.walks(published.stand_in())]
        found += [Published(entity, published.LIVES) for entity in self.shapes]
        if isinstance(self.settings, GraphqlSettings):
            found += [published.of_subscription(one) for one in self.settings.subscription]
        return published.joined(found)

    def edition(self, entity: str) -> str:  # noqa: ARG002 - a default for a mapping that settings do not change
        """Names how the settings have `record` map this entity; "" where they have no say in it.

        It goes with `mapping_version`: where it differs, what is known is re-read as `snapshot`, not as news.
        """
        return ""

    def belongs(self, ask: Ask, after: Json) -> bool:  # noqa: ARG002 - a default that claims nothing
        """Whether an entity last known as `after` must be in a complete pass over `ask`'s window, if it exists.

        Asked only for walks that report absence. The default claims nothing, so nothing is ever called deleted.
        """
        return False

    @property
    def listens(self) -> bool:
        """Whether the source has a live session, as one with a subscription has; if not it is polled only."""
        if isinstance(self.settings, PushSettings):
            return self.settings.transport != "none"
        return isinstance(self.settings, GraphqlSettings) and bool(self.settings.subscription)

    @property
    def push_disorder_s(self) -> float:
        """Pushes about one entity that come within so many seconds may come in the wrong order; 0: they never do."""
        return self.settings.push_disorder_s if isinstance(self.settings, LiveSettings) else 0.0

    @property
    def live_only(self) -> bool:
        """Whether the live session tells of entities that no walk reads: of those, what it misses is lost for good."""
        settings = self.settings
        return isinstance(settings, GraphqlSettings) and any(one.shape is None for one in settings.subscription)

    @property
    def hook(self) -> HookSession | None:
        """How webhooks are taken that the vendor posts to us; None: none are.

        Such a source has no walks: its vendor repeats what we have not confirmed, so it misses nothing. Every instance
        takes them at once, so its entities need versions.
        """
        return None

    def session(self, token: Token) -> Session:  # noqa: ARG002 - a default that refuses
        """The live session to hold while this token is valid. Asked only if the source `listens`."""
        raise Refused(f"{self.vendor} has no live session")

    def live(self, frame: Json) -> Sequence[Record | Look]:
        """Map one live frame. Raises Malformed (quarantine), Unauthorized, Retry, Refused.

        Frames of Socket.IO are `{"name", "args"}`; those of a stream are what the server sent; those of webhooks are
        described in `bridge/core/hooks/tables.py`.

        The default reads `{"operation", "payload"}` by the source's subscriptions; what their `shape` names goes
        through `record`, with an `Ask` of a walk called `live` over that entity.
        """
        if not isinstance(self.settings, GraphqlSettings):
            raise Malformed(f"{self.vendor} has no live feed")
        return subscription.records(frame, self.settings.subscription, self._shaped, self.failures)

    @cached_property
    def _shaped(self) -> Mapping[str, subscription.Shape]:
        return {name: partial(self.record, Ask(Walk("live", name, 0.0), None)) for name in self.shapes}

    def query(self, document: str, variables: Json, token: Token) -> Request:  # noqa: ARG002
        """The request for any GraphQL query, such as introspection; `variables` is an object.

        Raises Refused if the vendor speaks no GraphQL.
        """
        raise Refused(f"{self.vendor} speaks no GraphQL")
