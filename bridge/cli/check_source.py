"""Tries one source: logs in, reads the first page of its walks, and opens its live session.

Nothing is stored, no record is shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import anyio

from bridge.adapter import Adapter, Json, Page, Token, Walk
from bridge.cli.check_live import try_live
from bridge.cli.check_subscriptions import try_subscriptions
from bridge.cli.exits import Exit
from bridge.cli.findings import Finding, failed, passed
from bridge.cli.sessions import Sessions
from bridge.core.budget import Limit
from bridge.core.errors import BridgeError, Malformed, Refused, WalkRefused
from bridge.core.facts import Ask
from bridge.core.secret import Masker
from bridge.core.walk import window_of
from bridge.edge.process import wall
from bridge.engine.keeper import TokenKeeper
from bridge.engine.ports import Http
from bridge.engine.quota import Quota, Quotas
from bridge.engine.reader import Reader

PATIENCE_S = 60.0
"""A check that takes longer, or has to wait for the vendor's quota, is given up."""
MOST_WALKS = 20
"""The first page of so many walks is asked for at most."""


async def try_source(
    adapter: Adapter[Any],
    http: Http,
    quotas: Quotas,
    masker: Masker,
    sessions: Sessions,
    observed: Mapping[str, Json] | None = None,
) -> list[Finding]:
    """Login, first page of each walk, each subscription, live session, budget. `masker` learns the token.

    `observed` is what the stream remembers of the source's subscriptions; None: not known.
    """
    name = adapter.settings.name
    if adapter.hook is not None:
        return [passed(f"{name}: webhooks", "nobody is asked anything: the sender comes to us; see --sample")]
    quota = quotas.of(adapter.budget_key, adapter.limit)
    reader = Reader(adapter, http, quota, wall, masker.add)
    findings: list[Finding] = []
    others: Sequence[Walk] = ()
    place = 0
    what = f"{name}: login"
    token: Token | None = None
    with anyio.move_on_after(PATIENCE_S) as patience:
        try:
            token = await reader.keeper.token()
            findings.append(passed(what, _lifetime(reader.keeper)))
            what = f"{name}: first page"
            walks = _walks(adapter, token)
            if walks:
                findings.append(await _first_page(adapter, reader, walks[0], what))
                others, place = walks[1:], len(findings)
            else:
                findings.append(_nothing(what))
            what = f"{name}: subscriptions"
            findings += await try_subscriptions(adapter, reader, observed)
        except BridgeError as error:
            findings.append(_failure(what, error))
        if token is not None:
            # It needs no more than the token: what is read may fail where what is pushed does not.
            what = f"{name}: live session"
            findings += await try_live(adapter, sessions, token)
        # Last, for it may have to wait for the quota: what a slow vendor leaves no time for is no failure.
        what = f"{name}: walks"
        findings[place:place] = await _other_pages(adapter, reader, others, patience.deadline - 1)
    if patience.cancelled_caught:
        findings.append(failed(what, _slow(quota), Exit.UNAVAILABLE))
    return [*findings, passed(f"{name}: budget", _budget(adapter.limit, quota))]


def _walks(adapter: Adapter[Any], token: Token) -> Sequence[Walk]:
    """Those that can be asked without knowing an id."""
    walks = adapter.walks(token)
    found: list[Walk] = []
    again: list[Walk] = []
    for walk in walks:
        if not walk.batch and not walk.of:
            # Where there is no time for all, each collection is better asked for than one of them twice.
            seen = any((walk.entity, walk.scope) == (other.entity, other.scope) for other in found)
            (again if seen else found).append(walk)
    return [*found, *again][:MOST_WALKS] or walks[:1]


async def _first_page(adapter: Adapter[Any], reader: Reader, walk: Walk, what: str) -> Finding:
    try:
        page = await reader.page(Ask(walk, window_of(walk, wall(), None)))
    except WalkRefused as error:
        return failed(what, str(error) if walk.name in str(error) else f"walk {walk.name}: {error}", Exit.NOPERM)
    return passed(what, _page(adapter, walk, page))


async def _other_pages(
    adapter: Adapter[Any], reader: Reader, walks: Sequence[Walk], deadline: float
) -> Sequence[Finding]:
    name = adapter.settings.name
    findings: list[Finding] = []
    for asked, walk in enumerate(walks):
        what = f"{name}: walk {walk.name}"
        wait_s = reader.quota.budget.wait(anyio.current_time())
        if anyio.current_time() + wait_s >= deadline:
            return [*_told(name, findings), passed(f"{name}: walks", _untried(walks[asked:], wait_s))]
        with anyio.CancelScope(deadline=deadline) as patience:
            try:
                findings.append(await _first_page(adapter, reader, walk, what))
            except BridgeError as error:
                findings.append(_failure(what, error))
        if patience.cancelled_caught:
            return [*_told(name, findings), passed(f"{name}: walks", _untried(walks[asked:], 0.0))]
    return _told(name, findings)


def _untried(walks: Sequence[Walk], wait_s: float) -> str:
    why = f"the quota lets the next request go in {math.ceil(wait_s)} s" if wait_s else "no time was left"
    names = ", ".join(walk.name for walk in walks)
    return f"not tried, as {why} and a check takes {PATIENCE_S:.0f} s at most: {names}"


def _told(name: str, findings: Sequence[Finding]) -> Sequence[Finding]:
    bad = [finding for finding in findings if not finding.ok]
    good = len(findings) - len(bad)
    return [*([passed(f"{name}: other walks", f"{good} more can be read")] if good else []), *bad]


def _failure(what: str, error: BridgeError) -> Finding:
    return failed(what, str(error), Exit.NOPERM if isinstance(error, Refused) else Exit.UNAVAILABLE)


def _nothing(what: str) -> Finding:
    return failed(what, "there is nothing to read: the source has no walk; check its settings")


def _lifetime(keeper: TokenKeeper) -> str:
    # Both from the keeper: the adapter's margin is more than what is left of a short token.
    lives_s, renewed_in_s = keeper.expires_in, keeper.renew_in
    if lives_s is None or renewed_in_s is None:
        return "accepted; the token does not expire"
    left_s = lives_s - renewed_in_s
    left = f"{left_s:.0f} s" if left_s >= 10 else f"{round(left_s, 1):g} s"
    return f"accepted; the token lives for {lives_s:.0f} s and is renewed when {left} of it are left"


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
