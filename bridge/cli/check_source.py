"""Tries one source: logs in, reads the first page of its first walk, and opens its live session.

Nothing is stored, no record is shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import anyio

from bridge.adapter import Adapter, Json, Page, Token, Walk
from bridge.cli.check_live import try_live
from bridge.cli.check_subscriptions import try_subscriptions
from bridge.cli.daemon import wall
from bridge.cli.exits import Exit
from bridge.cli.findings import Finding, failed, passed
from bridge.cli.sessions import Sessions
from bridge.core.budget import Limit
from bridge.core.errors import BridgeError, Malformed, Refused
from bridge.core.facts import Ask
from bridge.core.secret import Masker
from bridge.core.walk import window_of
from bridge.engine.ports import Http
from bridge.engine.quota import Quota, Quotas
from bridge.engine.reader import Reader

PATIENCE_S = 60.0
"""A check that takes longer, or has to wait for the vendor's quota, is given up."""


async def try_source(
    adapter: Adapter[Any],
    http: Http,
    quotas: Quotas,
    masker: Masker,
    sessions: Sessions,
    observed: Mapping[str, Json] | None = None,
) -> list[Finding]:
    """Login, first page, each subscription, live session, budget. `masker` learns the token.

    `observed` is what the stream remembers of the source's subscriptions; None: not known.
    """
    name = adapter.settings.name
    quota = quotas.of(adapter.budget_key, adapter.limit)
    reader = Reader(adapter, http, quota, wall, masker.add)
    findings: list[Finding] = []
    what = f"{name}: login"
    token: Token | None = None
    with anyio.move_on_after(PATIENCE_S) as patience:
        try:
            token = await reader.keeper.token()
            findings.append(passed(what, _lifetime(adapter, token, reader.keeper.expires_in)))
            what = f"{name}: first page"
            walk, page = await _first_page(adapter, reader, token)
            findings.append(passed(what, _page(adapter, walk, page)) if walk and page else _nothing(what))
            what = f"{name}: subscriptions"
            findings += await try_subscriptions(adapter, reader, observed)
        except BridgeError as error:
            code = Exit.NOPERM if isinstance(error, Refused) else Exit.UNAVAILABLE
            findings.append(failed(what, str(error), code))
        if token is not None:
            # It needs no more than the token: what is read may fail where what is pushed does not.
            what = f"{name}: live session"
            findings += await try_live(adapter, sessions, token)
    if patience.cancelled_caught:
        findings.append(failed(what, _slow(quota), Exit.UNAVAILABLE))
    return [*findings, passed(f"{name}: budget", _budget(adapter.limit, quota))]


async def _first_page(adapter: Adapter[Any], reader: Reader, token: Token) -> tuple[Walk | None, Page | None]:
    walk = next(iter(adapter.walks(token)), None)
    if walk is None:
        return None, None
    return walk, await reader.page(Ask(walk, window_of(walk, wall(), None)))


def _nothing(what: str) -> Finding:
    return failed(what, "there is nothing to read: the source has no walk; check its settings")


def _lifetime(adapter: Adapter[Any], token: Token, seconds: float | None) -> str:
    if seconds is None:
        return "accepted; the token does not expire"
    return f"accepted; the token lives for {seconds:.0f} s and is renewed {adapter.token_margin_s(token):.0f} s before"


def _page(adapter: Adapter[Any], walk: Walk, page: Page) -> str:
    unreadable = 0
    for row in page.rows:
        try:
            adapter.record(Ask(walk, None), row)
        except Malformed:
            unreadable += 1
    text = f"{walk.name}: {len(page.rows)} rows, {unreadable} of them unreadable"
    text += "" if page.next is None else ", more pages follow"
    return text if page.complete else text + "; the vendor says that it is still loading"


def _slow(quota: Quota) -> str:
    text = f"no result within {PATIENCE_S:.0f} s"
    wait_s = quota.budget.wait(anyio.current_time())
    if quota.refusals:
        text += f": the vendor refused {quota.refusals} times for quota"
        return f"{text}; {_wait(wait_s)}" if wait_s else f"{text}; try again later"
    if wait_s:
        return f"{text}: the quota is spent; {_wait(wait_s)}"
    return f"{text}: the vendor is slow, or the quota is shared by too many sources; see `request_timeout_s`"


def _wait(seconds: float) -> str:
    return f"the next request may go in {math.ceil(seconds)} s: try again then"


def _budget(assumed: Limit, quota: Quota) -> str:
    found = quota.budget.limit
    text = f"{found.requests} requests per {found.seconds:g} s"
    return f"{text}, as the vendor says" if found != assumed else f"{text}, until the vendor names its own"
