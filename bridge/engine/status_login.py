"""Who may see how things are: a bearer token, or the cookie of a session that was opened with it."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs

import anyio
import structlog

from bridge.core.secret import Secret
from bridge.engine.ports import Incoming, Reply

COOKIE = "bridged_session"
SESSION_S = 12 * 3600.0
"""A session ends after so long, and when the daemon does: it is kept in memory only."""
MOST_SESSIONS = 100
"""Of more the oldest ends."""
TRIES = 10
TRY_EVERY_S = 3.0
"""So many wrong tokens in a row are answered at once, and one more every so many seconds, of each address. The right
one always opens: many may stand behind one address, a proxy's, and who guesses there must not keep out who knows."""
CAUTION_S = 1.0
"""So long an address that guesses waits before what it brings is looked at, the right one, too: whoever hangs up sooner
has learnt nothing. Who waits holds a connection, and there are so many of those."""
MOST_PEERS = 1000
"""Of more addresses that guess the oldest is forgotten: what keeps guessers out is a token of some length."""
MOST_BODY = 4096
TELL_EVERY_S = 60.0
"""Guessing is logged once in so long, however many guess."""

log = structlog.get_logger()


class Login:
    """`token` None: everybody may who reaches us. `whose`: what counts as one address, of a peer's."""

    def __init__(self, token: Secret | None, whose: Callable[[str], str] = str) -> None:
        self._whose = whose
        self._token = None if token is None else token.reveal().encode("utf-8")
        self._sessions: dict[str, float] = {}
        self._wrong: dict[str, tuple[float, float]] = {}
        """By address: how many there were, and when the last was, by the event loop's clock."""
        self._quiet_until = 0.0

    @property
    def needed(self) -> bool:
        """Whether a token is asked for."""
        return self._token is not None

    async def refusal(self, request: Incoming) -> Reply | None:
        """Why this request gets no answer; None where it does. From an address that guesses it takes `CAUTION_S`."""
        if self._token is None or self._has_session(request.headers):
            return None
        given = request.headers.get("authorization", "")
        scheme, _, value = given.partition(" ")
        if scheme.lower() != "bearer" or not value:
            return _unauthorized("a token is needed: Authorization: Bearer, or log in on the page")
        return None if await self._knows(value.strip(), request.peer) else self._wrong_one(request.peer)

    async def open(self, request: Incoming) -> Reply:
        """The answer to `POST /login` with `token=…` as a form: a cookie that no script can read and no other site
        sends. From an address that guesses it takes `CAUTION_S`.
        """
        if self._token is None:
            return Reply(204)
        try:
            form = parse_qs(request.body.decode("utf-8"), max_num_fields=10, strict_parsing=bool(request.body))
        except ValueError:
            return Reply(400, "expected a form with the field token")
        if not await self._knows(form.get("token", [""])[0], request.peer):
            return self._wrong_one(request.peer)
        name = secrets.token_urlsafe(32)
        now = anyio.current_time()
        self._sessions = {one: until for one, until in self._sessions.items() if until > now}
        while len(self._sessions) >= MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[name] = now + SESSION_S
        safe = "; Secure" if request.headers.get("x-forwarded-proto", "").lower() == "https" else ""
        cookie = f"{COOKIE}={name}; Path=/; HttpOnly; SameSite=Strict; Max-Age={SESSION_S:.0f}{safe}"
        return Reply(204, headers={"Set-Cookie": cookie})

    def _has_session(self, headers: Mapping[str, str]) -> bool:
        for part in headers.get("cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == COOKIE:
                until = self._sessions.get(value)
                return until is not None and anyio.current_time() < until
        return False

    async def _knows(self, text: str, peer: str) -> bool:
        if self._wait(peer) > 0:
            await anyio.sleep(CAUTION_S)
        return self._token is not None and hmac.compare_digest(text.encode("utf-8"), self._token)

    def _wrong_one(self, peer: str) -> Reply:
        if (wait := self._wait(peer)) > 0:
            self._tell()
            return _too_often(wait)
        self._note(peer)
        return _unauthorized("that is not the token")

    def _tell(self) -> None:
        if anyio.current_time() >= self._quiet_until:
            self._quiet_until = anyio.current_time() + TELL_EVERY_S
            advice = "see who reaches the status page; a token of some length is not guessed"
            log.warning("status.guessed", reason="wrong tokens in a row from one address", advice=advice)

    def _wait(self, peer: str) -> float:
        """How long it may not try now, in seconds."""
        return max(0.0, (self._left(peer) - TRIES + 1) * TRY_EVERY_S)

    def _left(self, peer: str) -> float:
        wrong, at = self._wrong.get(self._whose(peer), (0.0, 0.0))
        return max(0.0, wrong - (anyio.current_time() - at) / TRY_EVERY_S)

    def _note(self, peer: str) -> None:
        wrong, whose = self._left(peer) + 1, self._whose(peer)
        self._wrong.pop(whose, None)
        while len(self._wrong) >= MOST_PEERS:
            del self._wrong[next(iter(self._wrong))]
        self._wrong[whose] = wrong, anyio.current_time()


def _unauthorized(text: str) -> Reply:
    return Reply(401, text, {"WWW-Authenticate": 'Bearer realm="bridged"'})


def _too_often(wait_s: float) -> Reply:
    return Reply(429, "too many wrong tokens; try again later", {"Retry-After": f"{int(wait_s) + 1}"})
