"""Signatures in a header, as vendors made them up before there was a standard: an HMAC over a text made of the request.

    GitHub    header x-hub-signature-256, prefix sha256=
    Slack     header x-slack-signature, prefix v0=, timestamp_header x-slack-request-timestamp,
              signed v0:{timestamp}:{body}
    Stripe    header stripe-signature, prefix v1=, timestamp_prefix t=, signed {timestamp}.{body}
    Shopify   header x-shopify-hmac-sha256, encoding base64

These are examples of what the keys can say. The code knows no vendor.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bridge.core.hooks import replay
from bridge.core.hooks.keys import Key
from bridge.core.hooks.refusal import Unverified
from bridge.core.settings import BadSetting

Algorithm = Literal["sha256", "sha384", "sha512", "sha1"]
Encoding = Literal["hex", "base64"]

MOST_PARTS = 16
"""Of one header: signatures by several keys, versions and the time."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_HEADER = "header."


@dataclass(frozen=True, slots=True, kw_only=True)
class HmacScheme:
    """How a vendor signs. Raises BadSetting, with the key at fault, for what contradicts itself.

    `header`: holds one signature, or several parts between `separator`; a part that begins with `prefix` is one. The
    time is in a header of its own (`timestamp_header`) or in the part that begins with `timestamp_prefix`; without
    both nothing tells a replay. `signed`: what is signed; `{body}`, `{timestamp}` and `{header.NAME}` stand for what
    came in, byte for byte, and `{{` for a brace.
    """

    header: str
    algorithm: Algorithm = "sha256"
    encoding: Encoding = "hex"
    prefix: str = ""
    separator: str = ","
    timestamp_header: str = ""
    timestamp_prefix: str = ""
    timestamp_unit: replay.Unit = "s"
    signed: str = "{body}"

    def __post_init__(self) -> None:
        for key, name in (("header", self.header), ("timestamp_header", self.timestamp_header)):
            if not _NAME.fullmatch(name) and (name or key == "header"):
                raise BadSetting("expected the name of a header", key)
            object.__setattr__(self, key, name.lower())
        if (
            len(self.separator) != 1
            or not self.separator.isascii()
            or self.separator.isalnum()
            or self.separator in "+/="
        ):
            raise BadSetting("expected one character that no signature holds, such as a comma", "separator")
        if self.timestamp_header and self.timestamp_prefix:
            raise BadSetting("the time is in a header of its own or in this one, not in both", "timestamp_prefix")
        if self.timestamp_prefix and self.timestamp_prefix == self.prefix:
            raise BadSetting("the time and the signature cannot have the same prefix", "timestamp_prefix")
        fields = {field for field, _ in _pieces(self.signed) if field}
        if "body" not in fields:
            raise BadSetting("without {body} anybody could exchange it", "signed")
        if self.timed and "timestamp" not in fields:
            raise BadSetting(
                "without {timestamp} anybody could exchange the time: what is not signed protects nothing", "signed"
            )
        if "timestamp" in fields and not self.timed:
            raise BadSetting("where {timestamp} comes from is told by timestamp_header or timestamp_prefix", "signed")

    @property
    def timed(self) -> bool:
        """Whether a request says when it was signed."""
        return bool(self.timestamp_header or self.timestamp_prefix)

    @property
    def credentials(self) -> Sequence[str]:
        """The headers that are no news to anybody once they are verified: kept out of records and logs."""
        return (self.header,)

    def warnings(self) -> Iterator[tuple[str, str]]:
        """What works and is weak: the key, and a sentence."""
        if self.algorithm == "sha1":
            yield "algorithm", "SHA-1 is broken for other uses; take sha256 if the sender offers it"
        if not self.timed:
            yield "timestamp_header", "without a signed time, a recorded request can be replayed for ever"

    def verify(
        self,
        keys: Sequence[Key],
        headers: Mapping[str, str],
        body: bytes,
        now_ms: int,
        tolerance_s: float = replay.TOLERANCE_S,
    ) -> None:
        """Returns if one of the signatures is by one of the keys, and was made within `tolerance_s` of `now_ms`.

        Otherwise raises Unverified, and nothing else whatever the request holds. Header names are lower case.
        """
        parts = [part.strip() for part in _one(headers, self.header).split(self.separator)]
        if len(parts) > MOST_PARTS:
            raise Unverified(f"the header {self.header} has more than {MOST_PARTS} parts")
        # A part that tells the time is none that tells a signature, also where those have no prefix.
        times = [part for part in parts if self.timestamp_prefix and part.startswith(self.timestamp_prefix)]
        given = [part[len(self.prefix) :] for part in parts if part.startswith(self.prefix) and part not in times]
        if not given:
            raise Unverified(f"the header {self.header} holds no signature that begins with {self.prefix}")
        stamp, at_ms = self._stamp(headers, times)
        content = self._content(headers, stamp, body)
        matches = False
        for key in keys:
            for expected in self._spellings(hmac.digest(key.value, content, self.algorithm)):
                for signature in given:
                    matches |= hmac.compare_digest(expected, signature.encode("utf-8", "surrogatepass"))
        if not matches:
            raise Unverified("no signature is by a key that is configured here")
        if at_ms is not None:
            replay.check(at_ms, now_ms, tolerance_s)

    def _stamp(self, headers: Mapping[str, str], times: Sequence[str]) -> tuple[str, int | None]:
        if self.timestamp_header:
            stamp = _one(headers, self.timestamp_header)
        elif self.timestamp_prefix:
            if len(times) != 1:
                raise Unverified(f"the header {self.header} tells {len(times) or 'no'} times")
            stamp = times[0][len(self.timestamp_prefix) :]
        else:
            return "", None
        return stamp, replay.signed_ms(stamp, self.timestamp_unit)

    def _content(self, headers: Mapping[str, str], stamp: str, body: bytes) -> bytes:
        content = bytearray()
        for field, text in _pieces(self.signed):
            if field == "body":
                content += body
            elif field == "timestamp":
                content += stamp.encode("ascii", "replace")
            else:
                value = _one(headers, field.removeprefix(_HEADER)) if field else text
                content += _bytes(value)
        return bytes(content)

    def _spellings(self, digest: bytes) -> Sequence[bytes]:
        if self.encoding == "base64":
            return (base64.b64encode(digest),)
        return (digest.hex().encode("ascii"), digest.hex().upper().encode("ascii"))


def _pieces(template: str) -> Iterator[tuple[str, str]]:
    """(field, "") and ("", text) in turn. Raises BadSetting for a field that there is none of."""
    end = 0
    for found in _FIELD.finditer(template):
        if found.start() > end:
            yield "", template[end : found.start()]
        end = found.end()
        field = (found[1] or "").strip()
        if found[0] in ("{{", "}}"):
            yield "", found[0][0]
        elif field in ("body", "timestamp"):
            yield field, ""
        elif field.startswith(_HEADER) and _NAME.fullmatch(field.removeprefix(_HEADER)):
            yield field.lower(), ""
        else:
            raise BadSetting("expected {body}, {timestamp} or {header.NAME}; write {{ for a brace", "signed")
    if template[end:]:
        yield "", template[end:]


def _bytes(value: str) -> bytes:
    """A header's value as it was on the wire, where servers decode it as UTF-8 with what is none escaped."""
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")


def _one(headers: Mapping[str, str], name: str) -> str:
    # Only HTTP's own blanks: any other is part of what is signed, or it would make another name of a repeated request.
    value = headers.get(name, "").strip(" \t")
    if not value:
        raise Unverified(f"the header {name} is missing")
    return value
