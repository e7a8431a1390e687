"""What a source may be told, as plain data: the keys every `[[source]]` has, and those of every live session.

The classes are the one declaration: the loader, the JSON Schema, `check` and `adapters` are made from their types,
defaults and `doc` texts. What a `[[source.subscription]]` table means is in `bridge/core/subscription.py`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bridge.core.facts import Subprotocol
from bridge.core.record import Json

_NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")
_ENTITY = re.compile(r"[a-z][a-z0-9_-]{0,59}")
_OURS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PATH = re.compile(r"/?[^./\s]+(\.[^./\s]+)*")


class BadSetting(ValueError):
    """Settings that contradict one another. `key` is where in the table: keys and, in lists, positions."""

    def __init__(self, message: str, *key: str | int) -> None:
        super().__init__(message)
        self.key: Sequence[str | int] = key


def setting(
    default: Any = dataclasses.MISSING,
    *,
    doc: str,
    inferred: bool = False,
    at_least: float | None = None,
    live: bool = False,
) -> Any:
    """Declare one configuration key of an adapter: its default (none: required) and what it means.

    `inferred` marks a vendor fact nobody has documented: `bridged adapters` says so. `at_least` is the smallest
    number allowed. `live`: it matters only to a source with a live session.
    """
    metadata = {"doc": doc, "inferred": inferred, "at_least": at_least, "live": live}
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
    conditional: bool = setting(
        True, doc="ask only for what has changed where the vendor offers it (ETag, Last-Modified); false if those lie"
    )
    delete_brake_share: float = setting(
        0.2, doc="deletes wait for an operator where more than this share of a walk's entities, and more than "
        "delete_brake_count of them, are gone at once; 1: never, but for all of them", at_least=0,
    )  # fmt: skip
    delete_brake_count: int = setting(10, doc="so many deletes at once never wait, but for all of them", at_least=0)


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """One `[[source.subscription]]` table: what to subscribe to, and what an entity is in what arrives.

    Either `shape` or `entity` with `id`. Paths go through objects, with dots; those of `id`, `at`, `version`, `gone`
    and `fields` begin at the record, or with a leading `/` at `data`. Raises BadSetting for what contradicts itself.
    """

    name: str = setting(doc="unique name within the source: letters, digits, - and _")
    document: str = setting(doc="the GraphQL document: one subscription with one root field, and its fragments")
    variables: dict[str, Any] = setting(
        {}, doc='its variables; "{company}" stands for each company, "{customerUuid}" for a fact of the login'
    )
    path: str | None = setting(
        None, doc="where in `data` the record is, or a list of records; default: the only root field"
    )
    shape: str | None = setting(None, doc="the adapter's own mapping to use, such as session; in place of `entity`")
    entity: str | None = setting(None, doc="what the record is called in our events; in place of `shape`")
    id: str | None = setting(None, doc="path of the entity's id; needed with `entity`")
    fields: dict[str, str] = setting({}, doc="what to publish: our name = path; values stay as the vendor has them")
    at: str | None = setting(None, doc="path of when it happened: milliseconds since 1970 or an RFC 3339 time")
    version: str | None = setting(None, doc="path of the vendor's version, if versions can be ordered")
    gone: str | None = setting(None, doc="path that is there, and not false, when the entity was deleted")
    null_is_gone: bool = setting(False, doc="a null record means deleted; `id` must then begin with /")
    occurred: bool = setting(False, doc="each record occurs once and never changes")

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise BadSetting("expected letters, digits, - and _, at most 60", "name")
        for key in ("path", "id", "at", "version", "gone"):
            self._check_path(getattr(self, key), key)
        if self.path is not None and self.path.startswith("/"):
            raise BadSetting("begins at `data` anyway: take the / away", "path")
        if self.shape is not None:
            self._check_shape()
        elif self.entity is None:
            raise BadSetting("says not what a record is: set `shape`, or `entity` with `id` and `fields`")
        else:
            self._check_entity(self.entity)

    def _check_path(self, path: str | None, *key: str) -> None:
        if path is not None and not _PATH.fullmatch(path):
            raise BadSetting("expected a path of names with dots between them, such as session.id", *key)

    def _check_shape(self) -> None:
        others = ("entity", "id", "fields", "at", "version", "gone", "null_is_gone", "occurred")
        for key in others:
            if getattr(self, key):
                raise BadSetting("goes not with `shape`, which maps the whole record: remove one of the two", key)

    def _check_entity(self, entity: str) -> None:
        if not _ENTITY.fullmatch(entity):
            raise BadSetting("expected a lower-case name, such as session", "entity")
        if self.id is None:
            raise BadSetting("the key id is missing: `entity` needs the path of the entity's id")
        if not self.fields and self.gone is None and not self.null_is_gone:
            raise BadSetting("the key fields is missing: nothing of the record would be published")
        for name, path in self.fields.items():
            if not _OURS.fullmatch(name):
                raise BadSetting("expected a name of letters, digits and _ on the left", "fields", name)
            self._check_path(path, "fields", name)
        if self.occurred and (self.gone or self.null_is_gone):
            raise BadSetting("what occurs once is never deleted: remove `occurred`, or what means deleted", "occurred")
        if self.null_is_gone and not self.id.startswith("/"):
            raise BadSetting("a null record holds no id: with `null_is_gone` begin the path at `data`, with /", "id")


@dataclass(frozen=True, kw_only=True)
class LiveSettings(BaseSettings):
    """The keys of every source that may hold a live session over a WebSocket."""

    ws_reconnect_before_expiry: bool = setting(
        True, doc="whether a new session replaces the old one before its token expires", inferred=True, live=True
    )
    ws_settle_s: float = setting(
        2.0, doc="pause between subscribing and catching up, as no server says when it listens", inferred=True,
        at_least=0, live=True,
    )  # fmt: skip
    push_disorder_s: float = setting(
        2.0, doc="pushes about one thing that come within so many seconds may have changed places: the vendor is asked",
        inferred=True, at_least=0, live=True,
    )  # fmt: skip
    ws_max_message_mb: float = setting(8.0, doc="a longer message ends the session (MiB)", at_least=0.01, live=True)
    ws_proxy: str | None = setting(
        None, doc="the proxy to connect through; default: none, whatever the environment says", live=True
    )
    ws_close_codes: dict[str, Literal["refresh", "retry", "slow"]] = setting(
        {}, doc='what a private close code of the vendor means: "4403" = "refresh" (a new token), "retry" or "slow"',
        inferred=True, live=True,
    )  # fmt: skip

    @property
    def close_codes(self) -> dict[int, str]:
        """`ws_close_codes` by number."""
        return {int(code): meaning for code, meaning in self.ws_close_codes.items()}

    def __post_init__(self) -> None:
        for code in self.ws_close_codes:
            if not re.fullmatch(r"[1-4]\d{3}", code):
                raise BadSetting("expected a close code of four digits", "ws_close_codes", code)


@dataclass(frozen=True, kw_only=True)
class GraphqlSettings(LiveSettings):
    """The keys of every source that may hold a live GraphQL session. Without a subscription it is polled only."""

    subscription: list[Subscription] = setting([], doc="what to listen to; empty: the source is polled only")
    ws_url: str | None = setting(None, doc="the WebSocket address, ws:// or wss://", live=True)
    ws_subprotocol: Subprotocol = setting(
        "graphql-ws",
        doc="how GraphQL is spoken on the WebSocket; graphql-ws is the older one",
        inferred=True,
        live=True,
    )
    ka_timeout_s: float | None = setting(
        None, doc="silence after the first sign of life that means a dead peer; default: three times its interval",
        inferred=True, at_least=1, live=True,
    )  # fmt: skip
    ws_idle_timeout_s: float | None = setting(
        None, doc="silence that means a dead peer also where it never gave a sign of life; default: any is fine",
        inferred=True, at_least=1, live=True,
    )  # fmt: skip
    ws_ping_interval_s: float = setting(20.0, doc="how often we ping; 0: never", inferred=True, at_least=0, live=True)
    ws_ping_timeout_s: float = setting(
        20.0, doc="how long an answer to a ping may take; 0: for ever", inferred=True, at_least=0, live=True
    )

    def __post_init__(self) -> None:
        LiveSettings.__post_init__(self)
        seen: set[str] = set()
        for index, one in enumerate(self.subscription):
            if one.name in seen:
                raise BadSetting("another subscription of this source has that name", "subscription", index, "name")
            seen.add(one.name)
        if self.ws_url is not None and not self.ws_url.lower().startswith(("ws://", "wss://")):
            raise BadSetting("expected an address such as wss://host/path", "ws_url")


__all__ = ["BadSetting", "BaseSettings", "GraphqlSettings", "Json", "LiveSettings", "Subscription", "setting"]
