"""Rules about several keys at once: of `[nats]`, with its names and addresses, of sources and of subscriptions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bridge.core import url as core_url
from bridge.core.config import EMBEDDED, NatsSettings
from bridge.core.oauth import OAuthSettings
from bridge.core.settings import BaseSettings, GraphqlSettings, Subscription
from bridge.edge.config.convert import Converter, fields_of, plain_problem, url_problem
from bridge.edge.config.judge import Judge
from bridge.edge.config.lines import Path
from bridge.edge.discovery import AdapterClass

SCHEMES = ("nats", "tls", "ws", "wss")

# One way to log in; each may be used alone.
_LOGINS = ("creds", "nkey", "user", "token")
# What only a server elsewhere can need.
_REMOTE = ("tls", "plaintext", *_LOGINS, "password", "domain", "api_prefix")

_NAME = re.compile(r"[A-Za-z0-9_-]{1,200}\Z")
_PREFIX = re.compile(r"[A-Za-z0-9_$-]+(\.[A-Za-z0-9_$-]+)*\Z")


def check_nats(converter: Converter, nats: NatsSettings, given: Mapping[str, Any]) -> None:
    """Report what each key allows and all together do not. `given` is the table as it was written."""

    def fail(key: str, message: str) -> None:
        converter.fail(("nats", key), message)

    _check_urls(converter, nats)
    logins = [key for key in _LOGINS if key in given]
    for key in logins[1:]:
        fail(key, f"{logins[0]} is set already: only one way to log in can be used")
    for key, partner in (("user", "password"), ("password", "user")):
        if key in given and partner not in given:
            fail(key, f"the key {partner} is missing: user and password belong together")
    if nats.tls and bool(nats.tls.cert) != bool(nats.tls.key):
        converter.fail(("nats", "tls"), "cert and key belong together: one of them is missing")
    if "domain" in given and "api_prefix" in given:
        fail("api_prefix", "domain is set already: only one of the two can be used")
    if nats.embedded:
        for key in [key for key in _REMOTE if key in given]:
            fail(key, 'has no meaning for the embedded server; set url to "nats://…" or remove it')
        if nats.replicas > 1:
            fail("replicas", "the embedded server is a single one: expected 1")
    elif "sync_always" in given:
        converter.warn(("nats", "sync_always"), "has no effect: it is a setting of the embedded server")
    for key in ("stream", "telemetry_stream", "state_bucket", "lease_bucket"):
        if not _NAME.match(getattr(nats, key)):
            fail(key, "expected a name of letters, digits, - and _")
    for key in ("domain", "api_prefix", "inbox_prefix"):
        value = getattr(nats, key)
        if value is not None and not _PREFIX.match(value):
            fail(key, "expected subject tokens with dots between them, without wildcards")


def _check_urls(converter: Converter, nats: NatsSettings) -> None:
    if isinstance(nats.url, list) and not nats.url:
        converter.fail(("nats", "url"), f'expected at least one address, or "{EMBEDDED}"')
    for index, url in enumerate(nats.urls):
        path: Path = ("nats", "url") if isinstance(nats.url, str) else ("nats", "url", index)
        problem = url_problem(url, SCHEMES)
        if not problem and (shown := _shown_on_the_way(nats, url)):
            converter.fail(path, shown)
        if problem:
            converter.fail(path, f'expected "{EMBEDDED}" or an address such as nats://host:4222 (nats, tls, ws, wss)')


def _shown_on_the_way(nats: NatsSettings, url: str) -> str:
    """Why `url` must not be connected to unencrypted; "" if it may, or is not."""
    scheme, host, tls = url.partition("://")[0].lower(), core_url.host_of(url), nats.tls
    encrypted = scheme in ("tls", "wss") or (tls and (tls.ca or tls.cert or tls.hostname or tls.handshake_first))
    if encrypted or nats.plaintext or core_url.is_loopback(host):
        return ""
    return (
        f"{scheme}:// would show credentials and events to everyone on the way to {host}; use tls:// or [nats.tls], or "
        "allow it by plaintext = true"
    )


def check_addresses(converter: Converter, cls: AdapterClass, settings: BaseSettings, path: Path) -> None:
    """Report unencrypted addresses that the run would refuse to speak to; warn of one that nobody speaks to so far."""
    issuer = settings.issuer if isinstance(settings, OAuthSettings) and not settings.token_url else None
    if issuer and (refused := plain_problem(issuer)):
        converter.fail((*path, "issuer"), refused)
    for key, (field, _) in fields_of(type(settings)).items():
        if not (key == "url" or key.endswith("_url")) or not field.metadata.get("live"):
            continue
        value = getattr(settings, key)
        if not isinstance(value, str) or not (refused := plain_problem(value)):
            continue
        if cls(settings).listens:
            converter.fail((*path, key), refused)
        else:
            converter.warn((*path, key), f"a live session would be refused: {refused}")


def check_subscriptions(
    converter: Converter, cls: AdapterClass, settings: GraphqlSettings, path: Path
) -> list[tuple[Path, Subscription]]:
    """Report mappings that the adapter does not have. Returns what is still to be judged by `check_documents`."""
    found = [((*path, "subscription", index), one) for index, one in enumerate(settings.subscription)]
    for at, one in found:
        _check_shape(converter, cls, one, at)
    return found


def check_documents(converter: Converter, judge: Judge, found: Sequence[tuple[Path, Subscription]]) -> None:
    """Report documents that are not one subscription."""
    for (at, one), verdict in zip(found, judge.judge([one for _, one in found]), strict=True):
        for key, problem in verdict:
            converter.fail((*at, key), f"subscription {one.name}: {problem}")


def _check_shape(converter: Converter, cls: AdapterClass, one: Subscription, path: Path) -> None:
    shapes = ", ".join(cls.shapes) or "none"
    if one.shape is not None and one.shape not in cls.shapes:
        converter.fail((*path, "shape"), f"the adapter has no such mapping; there are: {shapes}")
    if one.entity in cls.shapes and one.fields:
        text = "the adapter maps these itself, and the two would take turns: in place of `entity` set"
        converter.fail((*path, "entity"), f'{text} shape = "{one.entity}"')
