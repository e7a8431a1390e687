"""A secret that cannot be printed, and texts with the known secrets taken out."""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Iterable, Mapping

MASK = "[secret]"

# Spelled the same in plain text, URLs, JSON, HTML and Python: most tokens are made of nothing else.
_UNRESERVED = re.compile(r"[A-Za-z0-9._-]+")


class Secret:
    """Holds a secret value; `str`, `repr`, formatting and pickling never show it.

    Only the edge calls `reveal`, at the moment the bytes leave. `origin` says where it was configured
    (`env PCVISIT_TOKEN`), for error texts.
    """

    __slots__ = ("_value", "origin", "prefix")

    def __init__(self, value: str, origin: str = "", *, prefix: str = "") -> None:
        self._value = value
        self.origin = origin
        self.prefix = prefix

    def reveal(self) -> str:
        """The value, with its prefix. For the edge only."""
        return self.prefix + self._value

    def bare(self) -> str:
        """The value without its prefix: what must be masked wherever it turns up."""
        return self._value

    def prefixed(self, prefix: str) -> Secret:
        """The same secret behind a public prefix, such as `Bearer `."""
        return Secret(self._value, self.origin, prefix=prefix)

    def fingerprint(self) -> str:
        """Sixteen hex digits that equal secrets share and that tell nothing of them."""
        return hashlib.blake2b(self._value.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.reveal() == other.reveal()

    def __hash__(self) -> int:
        return hash((self.prefix, self._value))

    def __repr__(self) -> str:
        return f"Secret({self.origin or MASK!r})"

    __str__ = __repr__

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a Secret cannot be pickled or copied to another process")


_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*")


class Masker:
    """Replaces every known secret in a text, also where it was URL-quoted or escaped (JSON, HTML, Python).

    The secrets given at the start stay known for good. Those learned while running (tokens) are added to them.
    """

    # A shorter value would also blot out innocent words; `check` warns of such secrets.
    SHORTEST = 6
    # A token older than this many renewals has long lapsed.
    MOST_LEARNED = 1024

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._given = {value: _disguises(value) for value in map(Secret.bare, secrets) if _maskable(value)}
        self._in_json = {
            spelled[1:-1].encode("utf-8", "surrogatepass")
            for value in self._given
            for spelled in (json.dumps(value), json.dumps(value, ensure_ascii=False), f'"{value}"')
        }
        self._newest = b"\0"  # stands in no JSON
        self._learned: dict[str, re.Pattern[str] | None] = {}
        self._longest_first: list[tuple[str, re.Pattern[str] | None]] = []
        self._arrange()

    def add(self, secret: Secret) -> None:
        """From now on `secret` is masked. Of those added the newest `MOST_LEARNED` are kept."""
        value = secret.bare()
        if not _maskable(value):
            return
        self._learned.pop(value, None)
        self._learned[value] = _disguises(value)
        self._newest = json.dumps(value, ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass")
        if len(self._learned) > self.MOST_LEARNED:
            del self._learned[next(iter(self._learned))]
        self._arrange()

    def mask(self, text: str) -> str:
        """`text` without any known secret, and without anything that looks like a JWT: some come from others."""
        if "eyJ" in text:
            text = _JWT.sub(MASK, text)
        for value, disguises in self._longest_first:
            if value in text:
                text = text.replace(value, MASK)
            if disguises is not None:
                text = disguises.sub(MASK, text)
        return text

    def found_in(self, payload: bytes) -> bool:
        """Whether JSON bytes hold a configured secret, the token learned last, or what may be a JWT.

        Quick: it is asked of every event.
        """
        return b"eyJ" in payload or self._newest in payload or any(value in payload for value in self._in_json)

    def mask_tree(self, value: object) -> object:
        """The same for every string inside dicts, lists and tuples; other values are returned as they are.

        Named tuples come back as plain ones.
        """
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, (bytes, bytearray)):
            return self.mask(value.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        if isinstance(value, Mapping):
            return {self.mask_tree(key): self.mask_tree(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.mask_tree(item) for item in value]
        if isinstance(value, tuple):
            return tuple(self.mask_tree(item) for item in value)
        return value

    def _arrange(self) -> None:
        known = self._given | self._learned
        self._longest_first = sorted(known.items(), key=lambda entry: len(entry[0]), reverse=True)


def _maskable(value: str) -> bool:
    return len(value) >= Masker.SHORTEST


def _disguises(value: str) -> re.Pattern[str] | None:
    """Finds `value` in any mixture of spellings; None when all its characters are spelled the same everywhere."""
    if _UNRESERVED.fullmatch(value):
        return None
    return re.compile("".join(map(_spellings, value)))


def _spellings(char: str) -> str:
    if _UNRESERVED.fullmatch(char):
        return re.escape(char)
    hexed = "".join(f"%{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))
    escaped = json.dumps(char)[1:-1]
    ways = [re.escape(char), f"(?i:{hexed})", f"(?i:{re.escape(escaped)})"]
    ways += map(re.escape, (repr(char)[1:-1], html.escape(char)))
    if char == " ":
        ways.append(r"\+")
    if char in "/'":  # JSON may escape the one; Python escapes the other in a text that holds both quotes
        ways.append(r"\\" + char)
    # Longest first: a backslash alone must not win over the pair it begins.
    return f"(?:{'|'.join(sorted(set(ways), key=len, reverse=True))})"
