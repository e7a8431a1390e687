"""A secret that cannot be printed, and texts with the known secrets taken out."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

MASK = "[secret]"

# Spelled the same in plain text, URLs, JSON, HTML and Python: most tokens are made of nothing else.
_UNRESERVED = re.compile(r"[A-Za-z0-9._-]+")
# As the standard library's `html` escapes; that module holds a table of all names there are, half a megabyte.
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"}

LONGEST_MIXED = 2048
"""Characters. In a longer secret only whole spellings are looked for: a pattern for any mixture takes seconds."""

_Disguises = re.Pattern[str] | list[str] | None

FEW = 12
"""So many secrets are found sooner by looking for each."""

_BLOCK = 8
_SURE = 2 * _BLOCK - 1
"""Wherever so many bytes stand in a text, they fill one of the blocks that it divides into."""


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


# All that may be a JWT, and what stands around it. One pattern for the JWT itself would look through the rest of the
# text at each `eyJ`, and a vendor may write a million of them.
_JWTS = re.compile(r"[A-Za-z0-9_.-]{15,}")


@dataclass(frozen=True, slots=True)
class _Known:
    """A secret that is masked, and what JSON may spell it like.

    `anchored`: some of it stands in every spelling. `needles`: what tells by its blocks that it may be there; then it
    need not be looked for elsewhere.
    """

    disguises: _Disguises
    spellings: frozenset[bytes]
    anchored: bool
    needles: Sequence[bytes]


class Masker:
    """Replaces every known secret in a text, also where it was URL-quoted or escaped (JSON, HTML, Python).

    The secrets given at the start stay known for good. Those learned while running (tokens) are added to them.
    """

    # A shorter value would also blot out innocent words; `check` warns of such secrets.
    SHORTEST = 6
    # A token older than this many renewals has long lapsed.
    MOST_LEARNED = 1024
    MOST_SHORT = 64

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._times: dict[int, int] = {}
        """Of how many needles each block is one."""
        self._learned: dict[str, _Known] = {}
        self._given = self._entered(secrets)
        self._arrange()

    def renew(self, secrets: Iterable[Secret]) -> None:
        """These are given from now on, in place of those that were: of them, as of tokens, the newest stay masked."""
        given = self._entered(secrets)
        for value in self._given:
            if value not in given:
                self._learn(value)
        former, self._given = self._given, given
        for known in former.values():
            self._leave(known)
        self._arrange()

    def add(self, secret: Secret) -> None:
        """From now on `secret` is masked. Of those added the newest `MOST_LEARNED` are kept."""
        value = secret.bare()
        # What is given is masked as long as it is, and learned when it is no more.
        if _maskable(value) and value not in self._given:
            self._learn(value)

    def mask(self, text: str) -> str:
        """`text` without any known secret, and without anything that looks like a JWT: some come from others."""
        if "eyJ" in text:
            text = _JWTS.sub(_without_jwts, text)
        for value, disguises in self._candidates(text):
            if value in text:
                text = text.replace(value, MASK)
            if isinstance(disguises, list):
                for spelled in disguises:
                    text = text.replace(spelled, MASK)
            elif disguises is not None:
                text = disguises.sub(MASK, text)
        return text

    def found_in(self, payload: bytes) -> bool:
        """Whether JSON bytes hold a configured secret, a token that is known, or what may be a JWT.

        Of tokens below 15 bytes only the newest `MOST_SHORT` are looked for. Quick, however many secrets are known:
        it is asked of every event.
        """
        if b"eyJ" in payload:
            return True
        # Loops, as a generator costs more than what it asks.
        for value in self._each:
            if value in payload:
                return True
        # A thousand may be known, and to search for each takes a millisecond.
        if self._few or self._times.keys().isdisjoint(_blocks_in(payload)):
            return False
        every = (*self._given.values(), *self._learned.values())
        return any(spelled in payload for known in every for spelled in known.spellings)

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

    def _candidates(self, text: str) -> Sequence[tuple[str, _Disguises]]:
        """All that `text` may hold, the longest first."""
        if self._few or len(text) < _SURE:
            return self._searched
        if self._times.keys().isdisjoint(_blocks_in(text.encode("utf-8", "surrogatepass"))):
            return self._searched
        # Copied, as another thread may log while a token is learned.
        return _longest_first((self._given | self._learned).items())

    def _entered(self, secrets: Iterable[Secret]) -> dict[str, _Known]:
        return {value: self._enter(value) for value in dict.fromkeys(map(Secret.bare, secrets)) if _maskable(value)}

    def _enter(self, value: str) -> _Known:
        known = _known(value)
        for needle in known.needles:
            for block in _blocks(needle):
                self._times[block] = self._times.get(block, 0) + 1
        return known

    def _leave(self, known: _Known) -> None:
        for needle in known.needles:
            for block in _blocks(needle):
                self._times[block] -= 1
                if not self._times[block]:
                    del self._times[block]

    def _learn(self, value: str) -> None:
        # Another thread may log meanwhile: whatever is known is so at every moment.
        known = self._learned.get(value)
        if known is not None:
            # Moved to the end: it is the newest again.
            self._learned = {one: self._learned[one] for one in self._learned if one != value} | {value: known}
        else:
            known = self._learned[value] = self._enter(value)
        changed = [known]
        if len(self._learned) > self.MOST_LEARNED:
            changed.append(self._learned.pop(next(iter(self._learned))))
            self._leave(changed[1])
        # What is found by blocks is in no list: a thousand sources may learn a token each, within a few seconds.
        if self._few or not all(one.anchored for one in changed):
            self._arrange()

    def _arrange(self) -> None:
        known = self._given | self._learned
        given, learned = (
            [spelled for one in some.values() for spelled in one.spellings if len(spelled) < _SURE]
            for some in (self._given, self._learned)
        )
        self._few = sum(len(one.needles) for one in known.values()) <= FEW
        # Every one, or those that no block would tell of.
        self._searched = _longest_first(entry for entry in known.items() if self._few or not entry[1].anchored)
        long = [spelled for one in known.values() for spelled in one.spellings if len(spelled) >= _SURE]
        self._each = [*given, *learned[-self.MOST_SHORT :], *(long if self._few else ())]


def _without_jwts(found: re.Match[str]) -> str:
    """Without `eyJ` and five more letters of base64url, five of them, and any number, with dots between the three."""
    parts, kept = found[0].split("."), []
    number = 0
    while number < len(parts):
        part = parts[number]
        at = part.find("eyJ")
        if at < 0 or number + 2 >= len(parts) or len(part) - at < 8 or len(parts[number + 1]) < 5:
            kept.append(part)
            number += 1
        else:
            kept.append(part[:at] + MASK)
            number += 3
    return ".".join(kept)


def _maskable(value: str) -> bool:
    return len(value) >= Masker.SHORTEST


def _known(value: str) -> _Known:
    spellings = _json_spellings(value)
    # What is spelled the same everywhere, if that is long enough to be found by its blocks.
    anchor = max(_UNRESERVED.findall(value), key=len, default="").encode()
    anchored = len(anchor) >= _SURE
    needles = [anchor] if anchored else [spelled for spelled in spellings if len(spelled) >= _SURE]
    return _Known(_disguises(value), spellings, anchored, needles)


def _json_spellings(value: str) -> frozenset[bytes]:
    """How JSON may hold `value`, and `value` as it is."""
    return frozenset(
        spelled[1:-1].encode("utf-8", "surrogatepass")
        for spelled in (json.dumps(value), json.dumps(value, ensure_ascii=False), f'"{value}"')
    )


def _longest_first(known: Iterable[tuple[str, _Known]]) -> list[tuple[str, _Disguises]]:
    return sorted(((value, one.disguises) for value, one in known), key=lambda entry: len(entry[0]), reverse=True)


def _blocks_in(payload: bytes) -> list[int]:
    """The blocks that it divides into."""
    return memoryview(payload)[: len(payload) // _BLOCK * _BLOCK].cast("Q").tolist()


def _blocks(spelled: bytes) -> Iterator[int]:
    """The blocks at its end, one of which stands in every text that holds `spelled`, wherever it begins."""
    end = spelled[-_SURE:]
    for start in range(_BLOCK):
        # As `_blocks_in` reads, whatever this machine's byte order.
        yield memoryview(end)[start : start + _BLOCK].cast("Q")[0]


def _disguises(value: str) -> _Disguises:
    """Finds `value` in any mixture of spellings; None when all its characters are spelled the same everywhere.

    Above `LONGEST_MIXED` characters: the texts that `value` becomes when JSON or URLs spell all of it, longest first.
    """
    if _UNRESERVED.fullmatch(value):
        return None
    if len(value) > LONGEST_MIXED:
        return _whole_spellings(value)
    return re.compile("".join(map(_spellings, value)))


def _whole_spellings(value: str) -> list[str]:
    quoted = {quote(value, errors="surrogatepass"), quote_plus(value, errors="surrogatepass")}
    quoted.add(quote(value, safe="", errors="surrogatepass"))
    quoted |= {re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), one) for one in quoted}
    escaped = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    return sorted(quoted | escaped | {one.replace("/", r"\/") for one in escaped}, key=len, reverse=True)


def _spellings(char: str) -> str:
    if _UNRESERVED.fullmatch(char):
        return re.escape(char)
    hexed = "".join(f"%{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))
    escaped = json.dumps(char)[1:-1]
    ways = [re.escape(char), f"(?i:{hexed})", f"(?i:{re.escape(escaped)})"]
    ways += map(re.escape, (repr(char)[1:-1], _HTML.get(char, char)))
    if char == " ":
        ways.append(r"\+")
    if char in "/'":  # JSON may escape the one; Python escapes the other in a text that holds both quotes
        ways.append(r"\\" + char)
    # Longest first: a backslash alone must not win over the pair it begins.
    return f"(?:{'|'.join(sorted(set(ways), key=len, reverse=True))})"
