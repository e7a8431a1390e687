"""What a source may be told that takes webhooks: who may post to it, and what a delivery means."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Literal

from bridge.core import mapping
from bridge.core.hooks import tables
from bridge.core.hooks.event_table import EventTable
from bridge.core.hooks.keys import Key, Spelling
from bridge.core.hooks.replay import Unit
from bridge.core.hooks.scheme import Algorithm, Encoding, HmacScheme
from bridge.core.hooks.tables import Tables, Unmatched
from bridge.core.hooks.verification import Basic, Clients, Hmac, Proof, Standard, Tokens
from bridge.core.secret import Secret
from bridge.core.session import Content, HookSession
from bridge.core.settings import BadSetting, BaseSettings, setting

Verify = Literal["standard", "hmac", "bearer", "basic", "mtls"]

PREFIX = "/hooks/"
"""Where senders post to, with the name of the source behind it."""
MOST_KB = 8192
"""The most a delivery may have. NATS takes events of 1 MiB unless it is told otherwise."""


@dataclass(frozen=True, kw_only=True)
class HmacTable:
    """`[source.hmac]`: how a sender signs that does not follow Standard Webhooks. See `HmacScheme`."""

    header: str = setting(doc="the header that holds the signature, such as X-Hub-Signature-256")
    algorithm: Algorithm = setting("sha256", doc="the hash")
    encoding: Encoding = setting("hex", doc="how the signature is spelled")
    prefix: str = setting("", doc='what stands before it, such as "sha256="')
    separator: str = setting(",", doc="what stands between several parts of the header")
    timestamp_header: str = setting("", doc="the header that tells when it was signed")
    timestamp_prefix: str = setting("", doc='or what stands before the time in the same header, such as "t="')
    timestamp_unit: Unit = setting("s", doc="how the time is spelled: seconds or milliseconds since 1970, or RFC 3339")
    signed: str = setting(
        "{body}", doc="what is signed, of {body}, {timestamp} and {header.NAME}, such as {timestamp}.{body}"
    )
    key: Spelling = setting("text", doc="what the secrets are: the key itself, or its bytes in hex or base64")

    @property
    def scheme(self) -> HmacScheme:
        """The same, settled. Raises BadSetting."""
        return HmacScheme(**{one.name: getattr(self, one.name) for one in fields(self) if one.name != "key"})


@dataclass(frozen=True, kw_only=True)
class WebhookSettings(BaseSettings):
    """The keys of every source that takes webhooks, at `/hooks/NAME`. Raises BadSetting for what contradicts itself."""

    verify: Verify = setting(
        doc="how senders prove themselves: standard (Standard Webhooks), hmac (a signature in a header), bearer, "
        "basic, or mtls (a client certificate)"
    )
    secrets: list[Secret] = setting(
        [], doc="signing keys (standard: whsec_… or whpk_…), tokens (bearer) or passwords (basic); several: any of them"
    )
    public_keys: list[str] = setting([], doc="standard: public keys, whpk_…; they are no secrets")
    header_prefix: str = setting("webhook", doc="standard: what the three headers begin with, such as svix")
    hmac: HmacTable | None = setting(None, doc="hmac: the table [source.hmac] says how it is signed")
    header: str = setting("authorization", doc="bearer: the header that holds the token, such as X-Gitlab-Token")
    query_token: bool = setting(False, doc="bearer: also take it as access_token in the query, which ends up in logs")
    user: str = setting("", doc="basic: the user's name")
    clients: list[str] = setting([], doc="mtls: the names accepted in client certificates (common name, DNS or URI)")
    tolerance_s: float = setting(300.0, doc="how far the time it was signed may be from now, both ways", at_least=1)
    max_body_kb: int = setting(1024, doc="a longer body is answered with 413 (KiB)", at_least=1)
    max_in_flight: int = setting(1000, doc="deliveries under way at once; more are answered with 429", at_least=1)
    content: Content = setting("auto", doc="what a body is: json, cloudevents, or auto, which goes by the headers")
    delivery_id: str | None = setting(
        None, doc="path of what names a delivery, such as headers.x-github-delivery or body.id; default: webhook-id"
    )
    allowed_origins: list[str] = setting(
        [], doc='CloudEvents senders that may ask by OPTIONS and post; "*": any; empty: OPTIONS is answered with 405'
    )
    allowed_rate: int | None = setting(
        None, doc="deliveries in a minute that such a sender is granted; default: as many as it likes", at_least=1
    )
    retired: bool = setting(False, doc="the source is no longer wanted: 410, and senders stop")
    zone: str = setting("UTC", doc="time zone of times that name none, such as Europe/Berlin")
    unmatched: Unmatched = setting(
        "quarantine", doc="a delivery that no [[source.event]] fits: quarantine, drop, or publish it as it is"
    )
    event: list[EventTable] = setting([], doc="what deliveries mean; none: each is published as it is")

    def __post_init__(self) -> None:
        self._check_keys()
        if self.max_body_kb > MOST_KB:
            raise BadSetting(f"expected at most {MOST_KB}", "max_body_kb")
        if self.verify == "hmac" and self.hmac is not None:
            try:
                self.hmac.scheme  # noqa: B018 - made now, so that what is wrong is said at once
            except BadSetting as error:
                raise BadSetting(str(error), "hmac", *error.key) from None
        try:
            mapping.zone_of(self.zone)
        except BadSetting as error:
            raise BadSetting(str(error), "zone") from None
        if self.delivery_id is not None:
            tables.path(self.delivery_id, "delivery_id")
        self.tables  # noqa: B018

    def _check_keys(self) -> None:
        needs = {"standard": "secrets", "bearer": "secrets", "basic": "secrets", "hmac": "secrets", "mtls": "clients"}
        needed = needs[self.verify]
        if not getattr(self, needed) and not (self.verify == "standard" and self.public_keys):
            raise BadSetting(f'the key {needed} is missing: verify = "{self.verify}" needs it')
        if self.verify == "hmac" and self.hmac is None:
            raise BadSetting('the table [source.hmac] is missing: verify = "hmac" needs it')
        if self.verify == "basic" and (not self.user or ":" in self.user):
            raise BadSetting("expected the name of a user, without a colon", "user")
        belongs = {"public_keys": "standard", "hmac": "hmac", "query_token": "bearer", "user": "basic"}
        belongs |= {"clients": "mtls"}
        for key, verify in belongs.items():
            if getattr(self, key) and self.verify != verify:
                raise BadSetting(f'goes with verify = "{verify}"', key)
        if self.secrets and self.verify == "mtls":
            raise BadSetting('goes not with verify = "mtls", which needs none', "secrets")

    @cached_property
    def tables(self) -> Tables:
        """What deliveries mean. Raises BadSetting."""
        return Tables(self.event, zone=self.zone, unmatched=self.unmatched)

    @cached_property
    def hook(self) -> HookSession:
        """How deliveries are taken. Raises BadSetting for a secret that is no key."""
        return self.session(self._proof())

    def session(self, proof: Proof) -> HookSession:
        """The same, proven in another way: `check` tries out deliveries that nobody has sent."""
        return HookSession(
            proof=proof,
            credentials=tuple(self._credentials()),
            max_body_bytes=self.max_body_kb << 10,
            most=self.max_in_flight,
            content=self.content,
            named=tables.path(self.delivery_id) if self.delivery_id else None,
            count=self.tables.count,
            allowed_origins=tuple(self.allowed_origins),
            allowed_rate=self.allowed_rate,
            retired=self.retired,
        )

    def _proof(self) -> Proof:
        if self.verify == "standard":
            keys = [Key.parse(secret) for secret in (*self.secrets, *map(Secret, self.public_keys))]
            return Standard(keys, self.tolerance_s, self.header_prefix.lower())
        if self.verify == "hmac" and self.hmac is not None:
            raw = [Key.raw(secret, self.hmac.key) for secret in self.secrets]
            return Hmac(self.hmac.scheme, raw, self.tolerance_s)
        if self.verify == "bearer":
            return Tokens(self.secrets, self.header.lower(), self.query_token)
        if self.verify == "basic":
            return Basic(self.user, self.secrets)
        return Clients(self.clients)

    def _credentials(self) -> list[str]:
        """Headers that never get further than the verification."""
        if self.verify == "hmac" and self.hmac is not None:
            return list(self.hmac.scheme.credentials)
        return [self.header.lower()] if self.verify == "bearer" else []
