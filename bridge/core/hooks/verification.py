"""How a sender proves itself, as one call for all ways: what a source is told to go by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bridge.core.hooks import standard
from bridge.core.hooks.keys import Key, VerifyEd25519
from bridge.core.hooks.refusal import Unverified
from bridge.core.hooks.scheme import HmacScheme
from bridge.core.hooks.token import QUERY, verify_basic, verify_token
from bridge.core.secret import Secret


@dataclass(frozen=True, slots=True)
class Shown:
    """What of a request proves who has sent it. Header names are lower case.

    `names`: whom the client certificate names; () without one.
    """

    headers: Mapping[str, str] = field(repr=False)
    query: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    names: Sequence[str] = ()


class Proof(Protocol):
    """One way to prove it."""

    @property
    def challenge(self) -> str:
        """For the header `WWW-Authenticate` of a 401; "" where HTTP has no word for it."""
        ...

    @property
    def key_pairs(self) -> bool:
        """Whether `ed25519` is needed."""
        ...

    @property
    def signs(self) -> bool:
        """Whether `delivery_id` is signed, so that nobody who repeats a request can exchange it."""
        ...

    def delivery_id(self, shown: Shown) -> str:
        """What the sender calls this delivery, in a header that belongs to what is proven; "" if it does not."""
        ...

    def signed_at(self, shown: Shown) -> str:
        """When it was signed, as the sender spells it; "" where nothing is signed."""
        ...

    def check(self, shown: Shown, now_ms: int, ed25519: VerifyEd25519 | None) -> None:
        """Returns if it is proven. Raises Unverified, and nothing else whatever the request holds."""
        ...


class _Plain:
    challenge = ""
    key_pairs = False
    signs = False

    def delivery_id(self, shown: Shown) -> str:
        return shown.headers.get(f"{standard.PREFIX}-id", "")

    def signed_at(self, shown: Shown) -> str:  # noqa: ARG002
        return ""


@dataclass(frozen=True)
class Standard(_Plain):
    """Standard Webhooks, by `keys`."""

    keys: Sequence[Key]
    tolerance_s: float
    prefix: str
    signs = True

    @property
    def key_pairs(self) -> bool:  # type: ignore[override]
        """See `Proof`."""
        return any(key.kind != "shared" for key in self.keys)

    def delivery_id(self, shown: Shown) -> str:
        """See `Proof`."""
        return shown.headers.get(f"{self.prefix}-id", "").strip(" \t")

    def check(self, shown: Shown, now_ms: int, ed25519: VerifyEd25519 | None) -> None:
        """See `Proof`."""
        standard.verify(self.keys, shown.headers, shown.body, now_ms, self.tolerance_s, ed25519, self.prefix)


@dataclass(frozen=True)
class Hmac(_Plain):
    """A signature in a header."""

    scheme: HmacScheme
    keys: Sequence[Key]
    tolerance_s: float
    signs = True

    def delivery_id(self, shown: Shown) -> str:
        """See `Proof`. What is not signed may have been exchanged by whoever repeats a request."""
        name = f"{standard.PREFIX}-id"
        return shown.headers.get(name, "").strip(" \t") if f"{{header.{name}}}" in self.scheme.signed.lower() else ""

    def signed_at(self, shown: Shown) -> str:
        """See `Proof`."""
        scheme = self.scheme
        if scheme.timestamp_header:
            return shown.headers.get(scheme.timestamp_header, "").strip()
        parts = map(str.strip, shown.headers.get(scheme.header, "").split(scheme.separator))
        found = (part for part in parts if scheme.timestamp_prefix and part.startswith(scheme.timestamp_prefix))
        return next(found, "")

    def check(self, shown: Shown, now_ms: int, ed25519: VerifyEd25519 | None) -> None:  # noqa: ARG002
        """See `Proof`."""
        self.scheme.verify(self.keys, shown.headers, shown.body, now_ms, self.tolerance_s)


@dataclass(frozen=True)
class Tokens(_Plain):
    """A token in a header, or in the query."""

    tokens: Sequence[Secret]
    header: str
    in_query: bool

    @property
    def _scheme(self) -> str:
        return "Bearer" if self.header == "authorization" else ""

    @property
    def challenge(self) -> str:  # type: ignore[override]
        """See `Proof`."""
        return self._scheme

    def check(self, shown: Shown, now_ms: int, ed25519: VerifyEd25519 | None) -> None:  # noqa: ARG002
        """See `Proof`."""
        asked = QUERY if self.in_query else ""
        verify_token(self.tokens, shown.headers, shown.query, header=self.header, scheme=self._scheme, in_query=asked)


@dataclass(frozen=True)
class Basic(_Plain):
    """HTTP's basic scheme."""

    user: str
    passwords: Sequence[Secret]
    challenge = 'Basic realm="webhooks", charset="UTF-8"'

    def check(self, shown: Shown, now_ms: int, ed25519: VerifyEd25519 | None) -> None:  # noqa: ARG002
        """See `Proof`."""
        verify_basic(self.user, self.passwords, shown.headers)


@dataclass(frozen=True)
class Clients(_Plain):
    """A client certificate, which the listener has verified already, that names one of `names`."""

    names: Sequence[str]

    def check(self, shown: Shown, now_ms: int, ed25519: VerifyEd25519 | None) -> None:  # noqa: ARG002
        """See `Proof`."""
        if not shown.names:
            raise Unverified("no client certificate was shown")
        if not set(self.names) & set(shown.names):
            raise Unverified("the client certificate names nobody that is configured here")
