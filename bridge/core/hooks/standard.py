"""Standard Webhooks 1.0.0: signing and verifying, by shared keys (`v1`, HMAC-SHA256) and key pairs (`v1a`, ed25519).

Source: https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md. What is signed is
`{id}.{timestamp}.{body}`, the body as the very bytes on the wire.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence

from bridge.core.hooks import replay
from bridge.core.hooks.keys import Key, SignEd25519, VerifyEd25519
from bridge.core.hooks.refusal import Unverified

PREFIX = "webhook"
"""Of the three header names. Some senders write their own (`svix-id`)."""

MOST_SIGNATURES = 16
"""In one header: each may cost as much as a signature of ours, and rotation needs two."""

# No full stop: `a` at `1` with the body `2.x` would be signed like `a.1` at `2` with the body `x`.
_ID = re.compile(r"[!-\-/-~]{1,256}", re.ASCII)
_SIGNATURE_BYTES = 64


def verify(
    keys: Sequence[Key],
    headers: Mapping[str, str],
    body: bytes,
    now_ms: int,
    tolerance_s: float = replay.TOLERANCE_S,
    ed25519: VerifyEd25519 | None = None,
    prefix: str = PREFIX,
) -> None:
    """Returns if one of the signatures is by one of the keys and was made within `tolerance_s` of `now_ms`.

    Otherwise raises Unverified, and nothing else whatever the request holds. Header names are lower case. Several keys:
    the sender is changing from one to the other. `ed25519` is needed for keys that are not shared.
    """
    id_ = _one(headers, f"{prefix}-id")
    stamp = _one(headers, f"{prefix}-timestamp")
    given = _one(headers, f"{prefix}-signature").split()
    if not _ID.fullmatch(id_):
        raise Unverified(
            f"the header {prefix}-id holds what no id may: a space, a full stop, or more than 256 characters"
        )
    at_ms = replay.signed_ms(stamp, "s", f"the header {prefix}-timestamp")
    if len(given) > MOST_SIGNATURES:
        raise Unverified(f"more than {MOST_SIGNATURES} signatures")
    content = _content(id_, stamp, body)
    matches = False
    # All are compared, so that the time taken does not tell which key or signature was near.
    for key in keys:
        if key.kind == "shared":
            expected = b"v1," + _hmac(key.value, content)
            for signature in given:
                matches |= hmac.compare_digest(expected, signature.encode("utf-8", "surrogatepass"))
        elif ed25519 is not None and key.public:
            for signature in given:
                raw = _raw(signature)
                matches |= raw is not None and ed25519(key.public, raw, content)
    if not matches:
        raise Unverified("no signature is by a key that is configured here")
    # Only now: of a stranger's request nobody needs to know how its clock goes.
    replay.check(at_ms, now_ms, tolerance_s)


def sign(
    keys: Sequence[Key],
    id_: str,
    now_ms: int,
    body: bytes,
    ed25519: SignEd25519 | None = None,
    prefix: str = PREFIX,
) -> dict[str, str]:
    """The three headers of a webhook of ours, with a signature by each key, in the keys' order.

    The same `id_` for every attempt at the same delivery; the time is that of the attempt. Raises ValueError for an id
    that no receiver could verify, and for a key that cannot sign.
    """
    if not is_id(id_):
        raise ValueError("a webhook's id is printable ASCII without space and full stop")
    stamp = str(now_ms // 1000)
    content = _content(id_, stamp, body)
    signatures = []
    for key in keys:
        if key.kind == "shared":
            signatures.append("v1," + _hmac(key.value, content).decode("ascii"))
        elif key.kind == "private" and ed25519 is not None:
            signatures.append("v1a," + base64.b64encode(ed25519(key.value, content)).decode("ascii"))
        else:
            raise ValueError(f"the key of {key.origin or 'the configuration'} cannot sign: it takes whsec_ or whsk_")
    return {f"{prefix}-id": id_, f"{prefix}-timestamp": stamp, f"{prefix}-signature": " ".join(signatures)}


def is_id(text: str) -> bool:
    """Whether a delivery can be called so."""
    return _ID.fullmatch(text) is not None


def _one(headers: Mapping[str, str], name: str) -> str:
    # Only HTTP's own blanks: any other is part of what is signed, or it would make another name of a repeated request.
    value = headers.get(name, "").strip(" \t")
    if not value:
        raise Unverified(f"the header {name} is missing")
    return value


def _content(id_: str, stamp: str, body: bytes) -> bytes:
    return b".".join((id_.encode("ascii"), stamp.encode("ascii"), body))


def _hmac(key: bytes, content: bytes) -> bytes:
    return base64.b64encode(hmac.digest(key, content, hashlib.sha256))


def _raw(signature: str) -> bytes | None:
    """The 64 bytes of a `v1a` signature, None for any other. Only the one right spelling of them counts."""
    version, _, text = signature.partition(",")
    if version != "v1a" or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == _SIGNATURE_BYTES and base64.b64encode(raw).decode("ascii") == text else None
