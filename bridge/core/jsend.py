"""Answers in a JSend-like envelope: `status`, `data`, and where something went wrong `code`, `result` and `message`.

What an answer means is told by its HTTP status; where that says 200 and the envelope says `error`, by its code.
`result` is a number on success and may be text on failure. Texts quote no prose of the vendor's: only codes of the
table below, and from validation messages the names of the parameters they complain about.
"""

from __future__ import annotations

import re
from typing import Final

from bridge.core.answer import retry_after
from bridge.core.errors import BridgeError, CursorExpired, Refused, Retry, Throttled, Unauthorized
from bridge.core.facts import Page, Response
from bridge.core.fields import kind
from bridge.core.paging import fits
from bridge.core.record import Json

LONGEST_TOKEN: Final = 1_024
"""Characters of a page token. It is stored with the cursor, and sent back as it came."""

CODES: Final = {
    "BadRequest": 400, "ValidationError": 400, "Unauthorized": 401, "Unauthorised": 401, "Forbidden": 403,
    "AccessDenied": 403, "NotFound": 404, "Conflict": 409, "PreconditionFailed": 422, "UnprocessableEntity": 422,
    "TooManyRequests": 429, "InternalError": 500, "InternalServerError": 500, "ServiceUnavailable": 503,
}  # fmt: skip
"""The HTTP status that says the same as a code of the envelope."""

_FIELD = re.compile(r"\b([A-Za-z][A-Za-z0-9_.\[\]]{0,60}) \((MISSING|UNDEFINED|INVALID)\)")
_GONE = frozenset({204, 404, 410})
_PAGES = ("HTML", "XML")
"""How `Response.problem` begins where a web server has answered that knows nothing of records."""


def envelope(response: Response, what: str) -> dict[str, Json]:
    """The envelope of an answer that says `success`; empty for a 2xx without a body.

    Raises Unauthorized (401), Refused (403 and other 4xx), Throttled (429), Retry (the rest), whether the HTTP status
    says so or the envelope does.
    """
    if response.status == 204 or (200 <= response.status <= 299 and not response.body.strip()):
        return {}
    found = response.json if isinstance(response.json, dict) else {}
    if not 200 <= response.status <= 299:
        raise problem(response.status, found, response, what)
    if response.problem:
        raise Retry(f"{what}: the answer is not JSON ({response.problem})")
    if not isinstance(response.json, dict):
        raise Retry(f"{what}: the answer is {kind(response.json)}, expected an object with status and data")
    status = found.get("status")
    if status in ("error", "fail"):
        raise problem(_status(found), found, response, what)
    if status != "success":
        raise Retry(f"{what}: the answer's status is neither success nor error: this is not the API's envelope")
    return found


def rows(found: dict[str, Json], what: str, path: str = "data") -> list[Json]:
    """The list in an envelope that `envelope` returned; empty for an answer without a body. `path`: where it is.

    Raises Retry when there is no list: an answer nobody understands must not pass for an empty one.
    """
    if not found:
        return []
    value: Json = found
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if not isinstance(value, list):
        raise Retry(f"{what}: {path} is {kind(value)}, expected a list")
    return value


def page(response: Response, what: str, token: str | None = None, path: str = "data") -> Page:
    """A page of a list that goes on with `nextPageToken`, which becomes `Page.next`, beside `itemsCount`.

    A page whose `itemsCount` is not its number of rows proves no absence. `token`: the page was asked for with it; an
    error then means that it is no longer good (CursorExpired). Otherwise raises what `envelope` raises.
    """
    try:
        found = envelope(response, what)
    except Refused as error:
        if token is not None and response.status in (200, 400, 404, 409, 410, 422) and not _forbids(response):
            raise CursorExpired(f"{what}: the page token is not accepted any more: {error}") from error
        raise
    listed = rows(found, what, path)
    counted = found.get("itemsCount")
    agrees = counted is None or (not isinstance(counted, bool) and counted in (len(listed), str(len(listed))))
    return Page(listed, next=_next(found.get("nextPageToken"), what), proves_absence=agrees)


def one(response: Response, what: str) -> Page:
    """The record that was asked for by its id, as a page of one row; empty where there is none (204, 404, 410).

    Raises what `envelope` raises, and Retry where `data` is no object.
    """
    if response.status in _GONE:
        if response.problem.startswith(_PAGES):
            raise Retry(f"{what}: answered with HTTP status {response.status} and a page that is not the API's")
        return Page([])
    record = envelope(response, what).get("data")
    if not isinstance(record, dict):
        raise Retry(f"{what}: data is {kind(record)}, expected an object")
    return Page([record])


def problem(status: int, found: dict[str, Json], response: Response, what: str) -> BridgeError:
    """The error that an answer of this HTTP status, or of this code in its envelope, means."""
    said = f"{what}: answered with {_named(status, found, response)}"
    if status == 401:
        return Unauthorized(f"{said}: the token is not accepted")
    if status == 403:
        return Refused(f"{said}: the access key has no permission for this; grant it, or do not read it")
    if status == 429:
        return Throttled(f"{said}: over the quota", after=retry_after(response.headers))
    if status == 404:
        return Refused(f"{said}: there is no such resource; check its path and its host")
    if status in (400, 409, 422):
        return Refused(f"{said}: the request is not accepted{_complaints(found)}; check its parameters")
    if status in (0, 408, 425) or status >= 500:
        return Retry(f"{said}: a fault at the vendor", after=retry_after(response.headers))
    return Refused(f"{said}: check the configured hosts, and whether the vendor changed the interface")


def _next(value: Json, what: str) -> Json:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not fits(value, LONGEST_TOKEN):
        raise Retry(f"{what}: nextPageToken is {kind(value)}, expected a text of at most {LONGEST_TOKEN} characters")
    return value


def _forbids(response: Response) -> bool:
    return response.status == 200 and isinstance(response.json, dict) and _status(response.json) == 403


def _status(found: dict[str, Json]) -> int:
    """What a refusal under HTTP status 200 means; 0 where nobody knows."""
    for name in ("code", "result"):
        value = found.get(name)
        if isinstance(value, str) and (value in CODES or re.fullmatch("[45][0-9]{2}", value)):
            return CODES.get(value) or int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599:
            return value
    return 0


def _named(status: int, found: dict[str, Json], response: Response) -> str:
    code = next((value for name in ("code", "result") if (value := found.get(name)) in list(CODES)), None)
    named = f" and code {code}" if code else ""
    if response.status <= 299:
        return f"an error under HTTP status {response.status}{named}"
    return f"HTTP status {status}{named}"


def _complaints(found: dict[str, Json]) -> str:
    message = found.get("message")
    names = _FIELD.findall(message[:2000]) if isinstance(message, str) else []
    return f" ({', '.join(f'{name} {fault.lower()}' for name, fault in names[:5])})" if names else ""
