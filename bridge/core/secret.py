"""A secret that cannot be printed, and texts with the known secrets taken out."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable

MASK = "[secret]"


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


class Masker:
    """Replaces every known secret in a text. Secrets learned while running (tokens) are added to it."""

    # A shorter value would also blot out innocent words; `check` warns of such secrets.
    SHORTEST = 6

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._values: dict[str, None] = {}
        self._pattern: re.Pattern[str] | None = None
        for secret in secrets:
            self.add(secret)

    def add(self, secret: Secret) -> None:
        """From now on `secret` is masked, also in its URL-quoted form. At most 4,096 are kept, newest first."""
        value = secret.bare()
        if len(value) < self.SHORTEST:
            return
        for form in {value, urllib.parse.quote(value, safe="")}:
            self._values.pop(form, None)
            self._values[form] = None
        while len(self._values) > 4096:
            del self._values[next(iter(self._values))]
        longest_first = sorted(self._values, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def mask(self, text: str) -> str:
        """`text` without any known secret."""
        return self._pattern.sub(MASK, text) if self._pattern else text

    def mask_tree(self, value: object) -> object:
        """The same for every string inside dicts, lists and tuples; other values are returned as they are."""
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, bytes):
            return self.mask(value.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        if isinstance(value, dict):
            return {self.mask_tree(key): self.mask_tree(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self.mask_tree(item) for item in value)
        return value
