"""Answers in an envelope of `meta` and `data`, whose `meta` also tells what is left of a quota in blocks.

`meta` repeats the HTTP status, numbers and counts pages, and meters: `apiLimitRemaining` calls in this block, and
`apiLimitReset` seconds until the next. An empty list is 204 without a body, and so without a word about the quota.
Texts quote nothing of an answer.
"""

from __future__ import annotations

from dataclasses import replace

from bridge.core import answer, numbered
from bridge.core.errors import Refused, Retry, Throttled, Unauthorized
from bridge.core.facts import Ask, Page, Response
from bridge.core.fields import kind
from bridge.core.limit import Block
from bridge.core.record import Json
from bridge.core.resource import Resource

SLACK_S = 1.0
"""Whole seconds may have been rounded down."""


def meta(response: Response) -> dict[str, Json]:
    """What the answer says of itself; empty where it says nothing."""
    found = response.json.get("meta") if isinstance(response.json, dict) else None
    return found if isinstance(found, dict) else {}


def block(response: Response) -> Block | None:
    """What is left of the block; None where the answer does not tell."""
    left, reset_s = (numbered.whole(meta(response).get(key)) for key in ("apiLimitRemaining", "apiLimitReset"))
    return None if left is None or reset_s is None else Block(left, float(reset_s))


def page(one: Resource, ask: Ask, response: Response, *, size: int) -> Page:
    """One page of a collection, or one record for an ask by id. `size`: rows that were asked for.

    Raises what `data` raises, and Retry for what cannot be a page.
    """
    what = f"walk {ask.walk.name}"
    told = meta(response)
    # Without the envelope nobody knows who has answered: a wrong address has no such record either.
    gone = response.status == 204 or (response.status == 404 and numbered.whole(told.get("status")) == 404)
    if ask.ids:
        return Page([]) if gone else Page(_record(one, ask, data(response, what, one.path), what))
    if response.status == 204:
        rows: Json = []
    elif not isinstance(rows := data(response, what, one.path), list):
        raise Retry(f"{what}: data is {kind(rows)}, expected a list")
    total, given, at = (numbered.whole(told.get(key)) for key in ("totalCount", "perPage", "page"))
    if at not in (None, numbered.number(ask)):
        raise Retry(f"{what}: asked for page {numbered.number(ask)}, answered with page {at}")
    if ask.walk.wakes:
        return numbered.newest(one, ask, rows, total=total)
    return numbered.page(one, ask, rows, total=total, size=min(given or size, size))


def data(response: Response, what: str, path: str) -> Json:
    """What an answer holds. `path`: what was asked for, for texts.

    Raises Unauthorized (401), Refused (403, 404 and other 4xx), Throttled (429), Retry (5xx, and what is no envelope).
    """
    told, status = meta(response), response.status
    said = numbered.whole(told.get("status"))
    if said is not None and 400 <= said <= 599 and 200 <= status <= 299:
        status = said
    said_status = f"{what}: HTTP status {status}"
    if status == 401:
        raise Unauthorized(f"{said_status}: the key is not accepted, perhaps replaced; make a new one and set it here")
    if status == 403:
        raise Refused(f"{said_status}: the key may not read {path}; enable that, or switch this resource off here")
    if status == 429:
        reset_s = numbered.whole(told.get("apiLimitReset"))
        after = answer.seconds_in(told.get("message")) if reset_s is None else float(reset_s)
        after = answer.retry_after(response.headers) if after is None else after
        raise Throttled(f"{said_status}: over the account's quota", after=None if after is None else after + SLACK_S)
    if "HTML" in response.problem and status < 500:
        raise (Refused if status == 404 else Retry)(
            f"{said_status}, with HTML: this is no answer of the API's, so check the address"
        )
    if status == 404:
        raise Refused(f"{said_status}: there is no {path} at this address; check the resource's path")
    answer.check(replace(response, status=status), what)
    if response.problem:
        raise Retry(f"{what}: the answer is not JSON ({response.problem})")
    if not isinstance(response.json, dict) or "data" not in response.json:
        raise Retry(f"{what}: the answer is {kind(response.json)}, expected an object with meta and data")
    return response.json["data"]


def _record(one: Resource, ask: Ask, found: Json, what: str) -> list[Json]:
    rows: list[Json] = found if isinstance(found, list) else [found]
    if len(rows) != 1 or not isinstance(rows[0], dict):
        # An empty list under 200 could be an error that does not say so: only 404 and 204 mean gone.
        raise Retry(f"{what}: asked for one record, data is {kind(found)}")
    if one.key(rows[0]) != "".join(ask.ids):
        raise Retry(f"{what}: asked for one record, answered with another")
    return rows
