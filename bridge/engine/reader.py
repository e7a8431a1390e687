"""Asks the vendor for one page: token, budget, request, answer, and one renewal when the token is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio

from bridge.adapter import Adapter, Ask, Block, Page, Request, Response, Token, Walk
from bridge.core.errors import (
    BridgeError,
    CursorExpired,
    Refused,
    Retry,
    Throttled,
    TooComplex,
    Unauthorized,
    WalkRefused,
)
from bridge.core.meter import Meter, Stage
from bridge.core.secret import Secret
from bridge.engine.conditional import MOST_BYTES, Conditional
from bridge.engine.keeper import TokenKeeper
from bridge.engine.portions import Portions
from bridge.engine.ports import Http, Wall
from bridge.engine.pulse import SILENT, SLACK_S, Beat
from bridge.engine.quota import Quota
from bridge.engine.tracing import Tracer

PATIENCE = 5
"""Refusals for quota in a row before the source reports that it is held up."""


class Reader:
    """Everything a source asks of its vendor by HTTP goes through here."""

    def __init__(
        self,
        adapter: Adapter[Any],
        http: Http,
        quota: Quota,
        wall: Wall,
        learn: Callable[[Secret], None],
        meter: Meter | None = None,
        beat: Beat = SILENT,
        tracer: Tracer | None = None,
    ) -> None:
        self._adapter = adapter
        self.tracer = tracer
        self.meter = Meter() if meter is None else meter
        self._http = http
        self.beat = beat
        self.quota = quota
        self.conditional = Conditional(MOST_BYTES if adapter.settings.conditional else 0)
        self._portions = Portions(adapter.settings.name)
        self.keeper = TokenKeeper(adapter, self.send, wall, learn)
        self.requests = 0
        self._trial = False
        """Whether the request sent last went out though the one before it had been refused for quota."""

    async def page(self, ask: Ask) -> Page:
        """The page, with a token that the vendor accepts, within its quota, and no larger than it takes.

        A walk by id that the vendor takes only in smaller portions is asked for as many as there are, one after
        another. Raises Retry, CursorExpired, Malformed; WalkRefused where the answer says so, Refused for the login.
        """
        page, read = await self._portion(ask)
        while read < len(ask.ids):
            more, count = await self._portion(replace(ask, ids=ask.ids[read:]))
            read += count
            page = replace(
                page,
                rows=[*page.rows, *more.rows],
                complete=page.complete and more.complete,
                aliases={**page.aliases, **more.aliases},
            )
        return page

    async def _portion(self, ask: Ask) -> tuple[Page, int]:
        """A page as large as the vendor takes, and how many of the ids it is about."""
        while True:
            fitted = self._portions.fitted(ask)
            try:
                return await self._patiently(fitted), len(fitted.ids)
            except TooComplex as error:
                self._portions.halve(fitted, error)

    async def _patiently(self, ask: Ask) -> Page:
        refused: Token | None = None
        for _ in range(PATIENCE):
            try:
                token = await (self.keeper.renew(refused) if refused else self.keeper.token())
                page = await self._once(ask, token)
            except Unauthorized as error:
                if refused:
                    walk = f"walk {ask.walk.name}: "
                    raise Refused(
                        f"{walk}refused again with a new token, so it has not merely expired: "
                        f"{str(error).removeprefix(walk)}; check what the credentials may read at the vendor"
                    ) from error
                refused = token
            except Throttled as error:
                self.meter.refused(foreseeable=self._trial)
                self.quota.throttled(error)
            else:
                self.quota.passed()
                return page
        raise Retry(f"walk {ask.walk.name}: the vendor refused {PATIENCE} times in a row for quota")

    async def send(self, request: Request) -> Response:
        """One request, within the quota if it counts."""
        return await self._send(request, None)

    def spent(self, walk: Walk) -> int:
        """How many requests this walk has cost since this was asked last."""
        return self._portions.spent(walk)

    async def _send(self, request: Request, walk: Walk | None) -> Response:
        if not request.counts:
            return await self._through(request)
        cost = self._portions.cost(walk) if walk else 1
        ticket = await self.quota.take(spares=walk.spares if walk else 0, need=cost)
        told = None
        try:
            if walk:
                self._portions.asked(walk)
            sent = anyio.current_time()
            response = await self._through(request)
            told = self._adapter.allowance(response)
        finally:
            self.quota.ended(ticket, told if isinstance(told, Block) else None)
        if told is not None and not isinstance(told, Block):
            counted = self.quota.told(sent, told)
            # A refused request costs nothing, which says nothing of what it would have cost.
            if walk and counted and 200 <= response.status <= 299:
                self._portions.counted(walk, counted)
        return response

    async def _through(self, request: Request) -> Response:
        self.requests += 1
        self._trial = self.quota.refusing
        settings = self._adapter.settings
        sent = anyio.current_time()
        with self.beat.busy("asking the vendor", settings.request_timeout_s + SLACK_S):
            response = await self._http.send(
                request,
                timeout_s=settings.request_timeout_s,
                max_bytes=settings.max_body_mb * 1024 * 1024,
            )
        self.meter.took(Stage.REQUEST, anyio.current_time() - sent)
        return response

    async def _once(self, ask: Ask, token: Token) -> Page:
        request = self._adapter.request(ask, token)
        answered = await self._send(self.conditional.request(request), ask.walk)
        response = self.conditional.response(request, answered)
        try:
            page = self._adapter.page(ask, response)
        except Refused as error:
            self.conditional.forget(request)
            raise WalkRefused(str(error), after=error.after) from error
        except CursorExpired:
            # What is kept led here: a position may age while the page that names it stays the same.
            self.conditional.clear()
            raise
        except BridgeError:
            self.conditional.forget(request)
            raise
        self.conditional.keep(request, answered)
        return page
