"""Keeps one token valid: renews it before it expires, once for all who wait, and never with a lapsed one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from bridge.adapter import Adapter, Request, Response, Token
from bridge.core.errors import BridgeError, Malformed, Refused, Retry, Unauthorized
from bridge.core.secret import Secret
from bridge.engine.ports import Wall

STEPS = 8
"""A login flow that sends more requests than this is not getting anywhere."""

TRY_AGAIN_S = 10.0
"""How long after a renewal that failed the next one is tried, while the old token still serves."""

ROOM = 0.5
"""A margin never eats more than this share of a token's life, or short tokens would be renewed all the time."""


class TokenKeeper:
    """`send` does one counted, timed request; `learn` is told every new secret, so that it can be masked."""

    def __init__(
        self,
        adapter: Adapter[Any],
        send: Callable[[Request], Awaitable[Response]],
        wall: Wall,
        learn: Callable[[Secret], None],
    ) -> None:
        self._adapter = adapter
        self._send = send
        self._wall = wall
        self._learn = learn
        self._token: Token | None = None
        self._renew_at = self._expires_at = self._since = 0.0
        self._turn = anyio.Lock()
        self.renewals = 0

    @property
    def age(self) -> float | None:
        """Seconds since the token was got; None when there is none."""
        return None if self._token is None else anyio.current_time() - self._since

    @property
    def expires_in(self) -> float | None:
        """Seconds until the token lapses; None when there is none or it does not expire."""
        if self._token is None or self._expires_at == float("inf"):
            return None
        return self._expires_at - anyio.current_time()

    @property
    def renew_in(self) -> float | None:
        """Seconds until `token` renews it, at least 0; None when there is none or it does not expire."""
        if self._token is None or self._renew_at == float("inf"):
            return None
        return max(0.0, self._renew_at - anyio.current_time())

    async def token(self) -> Token:
        """A token that is valid now, renewed if its margin has begun.

        While the vendor cannot renew it, the old one serves to its end. Raises what the login raises.
        """
        async with self._turn:
            now = anyio.current_time()
            if self._token is None or now >= self._expires_at:
                return await self._login()
            if now >= self._renew_at:
                try:
                    return await self._login()
                except Retry as error:
                    # Not with every request: the vendor has trouble enough, or has named a time.
                    again = anyio.current_time() + max(TRY_AGAIN_S, error.after or 0.0)
                    if anyio.current_time() >= self._expires_at:
                        raise
                    self._renew_at = again
            return self._token

    async def renew(self, refused: Token) -> Token:
        """A token other than `refused`, which the vendor no longer accepts; renewed once for all who ask."""
        async with self._turn:
            if self._token is not None and self._token is not refused:
                return self._token
            self._token = None
            return await self._login()

    async def _login(self) -> Token:
        flow = self._adapter.login()
        asked_at, asked_ms = anyio.current_time(), self._wall()
        try:
            request = next(flow)
            for _ in range(STEPS):
                request = flow.send(await self._send(request))
        except StopIteration as end:
            token: Token = end.value
        except Unauthorized as error:
            raise Refused(f"the credentials are not accepted: {error}") from error
        except Malformed as error:
            raise Retry(f"the login's answer cannot be read: {error}") from error
        else:
            raise Retry(f"the login did not end after {STEPS} requests; check the adapter's login flow")
        finally:
            flow.close()
        self._learn(token.value)
        if token.beside is not None:
            self._learn(token.beside)
        # Before anything is replaced: a token that is worth nothing must not take the place of one that still serves.
        lifetime = _lifetime_s(token, asked_ms)
        self._token = token
        self._since = anyio.current_time()
        self.renewals += 1
        if lifetime is None:
            self._renew_at = self._expires_at = float("inf")
        else:
            margin = max(0.0, min(self._adapter.token_margin_s(token), lifetime * ROOM))
            self._expires_at = asked_at + lifetime
            self._renew_at = self._expires_at - margin
        return token


def _lifetime_s(token: Token, now_ms: int) -> float | None:
    """How long the token lives from now. The vendor's own clock decides where the token tells when it was issued.

    Raises BridgeError for a token that has expired by both clocks.
    """
    if token.lasts_s is not None:
        return token.lasts_s
    if token.expires_ms is None:
        return None
    by_ours = (token.expires_ms - now_ms) / 1000
    if token.issued_ms is None:
        lifetime = by_ours
    else:
        by_theirs = (token.expires_ms - token.issued_ms) / 1000
        # Where our clock says that less is left, the vendor may have handed out an older token; where it says
        # that nothing is left, our clock is wrong.
        lifetime = min(by_theirs, by_ours) if by_ours > 0 else by_theirs
    if lifetime <= 0:
        raise _expired(lifetime)
    return lifetime


def _expired(lifetime: float) -> BridgeError:
    return Retry(
        f"the vendor issued a token that expired {-lifetime:.0f} s ago; compare this machine's clock with the vendor's"
    )
