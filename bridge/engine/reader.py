"""Asks the vendor for one page: token, budget, request, answer, and one renewal when the token is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge.adapter import Adapter, Ask, Page, Request, Response, Token
from bridge.core.errors import Refused, Retry, Throttled, Unauthorized
from bridge.core.secret import Secret
from bridge.engine.keeper import TokenKeeper
from bridge.engine.ports import Http, Wall
from bridge.engine.quota import Quota

PATIENCE = 5
"""Refusals for quota in a row before the source reports that it is held up."""


class Reader:
    """Everything a source asks of its vendor by HTTP goes through here."""

    def __init__(
        self, adapter: Adapter[Any], http: Http, quota: Quota, wall: Wall, learn: Callable[[Secret], None]
    ) -> None:
        self._adapter = adapter
        self._http = http
        self.quota = quota
        self.keeper = TokenKeeper(adapter, self.send, wall, learn)
        self.requests = 0

    async def page(self, ask: Ask) -> Page:
        """The page, with a token that the vendor accepts and within its quota.

        Raises Retry, CursorExpired, Refused, Malformed.
        """
        refused: Token | None = None
        for _ in range(PATIENCE):
            try:
                token = await (self.keeper.renew(refused) if refused else self.keeper.token())
                page = await self._once(ask, token)
            except Unauthorized as error:
                if refused:
                    raise Refused(
                        f"walk {ask.walk.name}: refused again with a new token, so it has not merely expired: "
                        f"{error}; check what the credentials may read at the vendor"
                    ) from error
                refused = token
            except Throttled as error:
                self.quota.throttled(error)
            else:
                self.quota.passed()
                return page
        raise Retry(f"walk {ask.walk.name}: the vendor refused {PATIENCE} times in a row for quota")

    async def send(self, request: Request) -> Response:
        """One request, within the quota if it counts."""
        if request.counts:
            await self.quota.take()
        self.requests += 1
        settings = self._adapter.settings
        return await self._http.send(
            request,
            timeout_s=settings.request_timeout_s,
            max_bytes=settings.max_body_mb * 1024 * 1024,
        )

    async def _once(self, ask: Ask, token: Token) -> Page:
        return self._adapter.page(ask, await self.send(self._adapter.request(ask, token)))
