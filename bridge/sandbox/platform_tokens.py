"""The played platform's credentials: session cookies, tokens, and tokens issued by hand.

Two kinds of login, as the vendor's page shows them; whether a login ends the one before is not said there, so it is
an option. A token is one text without meaning; the real one is a JWT, which nobody but the server reads.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Final

from bridge.sandbox.ledger import Clock

COOKIE: Final = "sid"


class NotAccepted(Exception):
    """A request without credentials, or with such as open nothing (401)."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What a login is worth. `kind`: `cookie`, `token` or `issued`; times in ms, `expires_ms` None: never."""

    login: str
    kind: str
    text: str
    issued_ms: int
    expires_ms: int | None


class Tokens:
    """Issues and checks credentials. `users` maps logins to passwords.

    `counters`: `logins`, `logins_refused`, `unauthorized` and, of those, `expired_credentials`.
    """

    def __init__(self, rng: random.Random, clock: Clock, users: Mapping[str, str]) -> None:
        self.users = users
        self.counters: Counter[str] = Counter()
        self._rng = rng
        self._clock = clock
        self._passes: dict[str, Pass] = {}

    def known(self, login: object, password: object) -> bool:
        """Whether these are a user's credentials. Counts the attempt."""
        right = isinstance(login, str) and login in self.users and self.users[login] == password
        self.counters["logins" if right else "logins_refused"] += 1
        return right

    def issue(self, login: str, kind: str, life_s: float | None, *, alone: bool = False) -> Pass:
        """A new cookie or token. `alone`: it ends those of the same login and kind that came before.

        A cookie's end is a whole second, because that is what `Expires` can say.
        """
        now = self._clock()
        if alone:
            same = [text for text, other in self._passes.items() if (other.login, other.kind) == (login, kind)]
            for text in same:
                del self._passes[text]
        expires = None if life_s is None else now + round(life_s * 1000)
        if kind == "cookie" and expires is not None:
            expires = expires // 1000 * 1000
        text = f"{'s' if kind == 'cookie' else 'eyJ'}{self._rng.getrandbits(160):040x}"
        self._passes[text] = Pass(login, kind, text, now, expires)
        return self._passes[text]

    def admit(self, headers: Mapping[str, str], query: Mapping[str, str]) -> Pass:
        """Whose request this is: by `Authorization: Bearer`, the cookie `sid`, or `accessToken` in the query.

        Names of headers are in lower case. A cookie is no bearer token and the other way round. Raises NotAccepted.
        """
        bearer = headers.get("authorization", "")
        given = [(bearer[7:], False)] if bearer.startswith("Bearer ") else []
        given += [(_sid(headers.get("cookie", "")), True), (query.get("accessToken", ""), False)]
        problem = "no credentials"
        for text, cookie in given:
            found = self._passes.get(text)
            if found is None or (found.kind == "cookie") is not cookie:
                problem = problem if not text else "unknown credentials"
            elif found.expires_ms is not None and found.expires_ms <= self._clock():
                problem = "expired credentials"
            else:
                return found
        self.counters["unauthorized"] += 1
        self.counters["expired_credentials"] += problem == "expired credentials"
        raise NotAccepted(problem)

    def valid(self, held: Pass) -> bool:
        """Whether credentials that were accepted once would be now, for sockets that are open."""
        return held.text in self._passes and (held.expires_ms is None or held.expires_ms > self._clock())

    def revoke(self) -> None:
        """Everything issued so far is refused from now on, tokens issued by hand too."""
        self._passes.clear()


def _sid(cookie: str) -> str:
    try:
        found = SimpleCookie(cookie).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None else ""
