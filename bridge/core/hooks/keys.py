"""Keys that webhooks are signed with: parsed once, from configured secrets, and never shown."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from bridge.core.secret import Secret
from bridge.core.settings import BadSetting

VerifyEd25519 = Callable[[bytes, bytes, bytes], bool]
"""Public key (32 bytes), signature, message: whether the signature is right. Never raises."""

SignEd25519 = Callable[[bytes, bytes], bytes]
"""Private key (its seed, 32 bytes), message: the signature, 64 bytes."""

ED25519_BYTES = 32
SHORTEST = 16
"""Bytes of a shared key: what is shorter can be guessed."""
RECOMMENDED = 24
LONGEST = 64

Spelling = Literal["text", "hex", "base64"]


@dataclass(frozen=True, slots=True)
class Key:
    """`shared`: signs and verifies. `public`: verifies. `private`: signs; verifies where its public half is known."""

    kind: Literal["shared", "public", "private"]
    value: bytes = field(repr=False)
    origin: str = ""
    """Where it was configured, for texts."""
    public: bytes = field(default=b"", repr=False)

    @classmethod
    def parse(cls, secret: Secret) -> Key:
        """A key as Standard Webhooks writes it: `whsec_` (shared), `whpk_` (public) or `whsk_` (private), then base64.

        A private key is a seed of 32 bytes, alone or with the public key behind it. Raises BadSetting, which names
        where the secret was configured and never shows it.
        """
        # Some senders show the signature's version in front of the key.
        text = secret.reveal().strip().removeprefix("v1,")
        for prefix, read in (("whsec_", cls._shared), ("whpk_", cls._public), ("whsk_", cls._private)):
            if text.startswith(prefix):
                return read(_base64(text.removeprefix(prefix), secret), secret)
        raise BadSetting(
            f"the key{_from(secret)} is none of Standard Webhooks: it begins with whsec_ (shared), "
            "whpk_ (public) or whsk_ (private)"
        )

    @classmethod
    def raw(cls, secret: Secret, spelling: Spelling = "text") -> Key:
        """A shared key of any other scheme: the text itself, or the bytes it spells. Raises BadSetting."""
        text = secret.reveal()
        if spelling == "base64":
            value = _base64(text.strip(), secret)
        elif spelling == "hex":
            try:
                value = bytes.fromhex(text.strip())
            except ValueError:
                raise BadSetting(f"the key{_from(secret)} is not hexadecimal") from None
        else:
            value = text.encode("utf-8", "surrogatepass")
        if not value:
            raise BadSetting(f"the key{_from(secret)} is empty")
        return cls("shared", value, secret.origin)

    @property
    def verifies(self) -> bool:
        """Whether signatures can be verified with it."""
        return self.kind == "shared" or bool(self.public)

    @property
    def signs(self) -> bool:
        """Whether it can sign."""
        return self.kind != "public"

    @property
    def weak(self) -> str:
        """What is to be said of the key when the configuration is checked; "" if nothing."""
        if self.kind == "shared" and len(self.value) < RECOMMENDED:
            name = f" ({self.origin})" if self.origin else ""
            return f"the key{name} has {len(self.value)} bytes; take at least {RECOMMENDED} random ones"
        return ""

    @classmethod
    def _shared(cls, value: bytes, secret: Secret) -> Key:
        if not SHORTEST <= len(value) <= LONGEST:
            raise BadSetting(
                f"the key{_from(secret)} has {len(value)} bytes; a whsec_ key has {RECOMMENDED} to {LONGEST}, "
                f"and fewer than {SHORTEST} can be guessed"
            )
        return cls("shared", value, secret.origin)

    @classmethod
    def _public(cls, value: bytes, secret: Secret) -> Key:
        if len(value) != ED25519_BYTES:
            raise BadSetting(f"the key{_from(secret)} has {len(value)} bytes; a whpk_ key has {ED25519_BYTES}")
        return cls("public", value, secret.origin, value)

    @classmethod
    def _private(cls, value: bytes, secret: Secret) -> Key:
        if len(value) not in (ED25519_BYTES, 2 * ED25519_BYTES):
            raise BadSetting(
                f"the key{_from(secret)} has {len(value)} bytes; a whsk_ key has {ED25519_BYTES}, or "
                f"{2 * ED25519_BYTES} with its public key"
            )
        return cls("private", value[:ED25519_BYTES], secret.origin, value[ED25519_BYTES:])


def _base64(text: str, secret: Secret) -> bytes:
    try:
        # Padding is often lost where keys are copied by hand.
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise BadSetting(f"the key{_from(secret)} is not base64") from None


def _from(secret: Secret) -> str:
    return f" of {secret.origin}" if secret.origin else ""
