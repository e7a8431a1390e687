"""Relay connections and look-ups by id, as GraphQL servers offer them.

Forward pagination: `first`, `after`, and `pageInfo { hasNextPage endCursor }` (GraphQL Cursor Connections
Specification). `nodes(ids:)` answers in the order of the ids asked for, with null for what is not there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bridge.core import iso8601
from bridge.core.answer import check
from bridge.core.errors import CursorExpired, Malformed, Refused, Retry
from bridge.core.facts import Ask, Page, Response
from bridge.core.fields import LONGEST_ID, kind
from bridge.core.graphql import fault, nodes, read
from bridge.core.paging import LONGEST_CURSOR, cursor, fits
from bridge.core.record import Json

_NOT_FOUND = re.compile(r"\b(not found|could ?n[o']t find|does not exist)\b", re.IGNORECASE)


def page(ask: Ask, response: Response, field: str, *, newest_first: str = "") -> Page:
    """The page of a connection.

    `newest_first`: the path of the instant the rows are in descending order of; the pass ends where they have come to
    what is older than its window. Raises what reading an answer raises; a later page that is refused means that its
    cursor is no longer known, as the same without it was answered.
    """
    try:
        connection = read(response, field)
    except Refused as error:
        raise CursorExpired(f"the cursor is no longer known: {error}") if ask.position else error from None
    rows, next_ = nodes(connection, field), following(ask, connection, field)
    if newest_first and ask.window is not None and reaches_past(rows, newest_first, ask.window.start_ms):
        next_ = None
    return Page(rows, next_)


def following(ask: Ask, connection: Mapping[str, Json], field: str) -> Json:
    """The position after this page of a connection; None at its end.

    Raises Retry where the page says not whether more follows, or from where, or does not advance.
    """
    info = connection.get("pageInfo")
    more = info.get("hasNextPage") if isinstance(info, dict) else None
    if not isinstance(info, dict) or not isinstance(more, bool):
        found = f"hasNextPage is {kind(more)}" if isinstance(info, dict) else f"pageInfo is {kind(info)}"
        raise Retry(f"{field}: {found}: nothing says whether more pages follow")
    if not more:
        return None
    end = info.get("endCursor")
    if not isinstance(end, str) or not end:
        raise Retry(f"{field}: more pages follow, but endCursor is {'empty' if end == '' else kind(end)}")
    if not fits(end, LONGEST_CURSOR):
        raise Retry(f"{field}: more pages follow, but endCursor is not UTF-8 of at most {LONGEST_CURSOR} bytes")
    if end == cursor(ask):
        raise Retry(f"{field}: the page ends at the cursor it was asked to start after")
    return {"cursor": end}


def reaches_past(rows: Sequence[Json], path: str, start_ms: int) -> bool:
    """Whether rows, newest first by the instant at `path`, have come to what is older than `start_ms`.

    False wherever the rows do not tell, or are not in that order: then there is no telling what follows.
    """
    try:
        times = [iso8601.millis(row, path) for row in rows]
    except Malformed:
        return False
    known = [time for time in times if time is not None]
    return bool(known) and len(known) == len(rows) and known == sorted(known, reverse=True) and known[-1] < start_ms


def looked_up(ask: Ask, response: Response, field: str = "nodes") -> Page:
    """The page for `ask.ids`: what is there, in the order asked; with `aliases` for what came under another id.

    An id that was asked for itself is nobody's alias. Raises what reading an answer raises; an error that says of
    single ids that they are not found is none.
    """
    answer = response.json if isinstance(response.json, dict) else {}
    errors, data = answer.get("errors"), answer.get("data")
    if not (errors and response.status == 400):
        check(response, field)
    if response.problem:
        raise Retry(f"{field}: the answer is not JSON ({response.problem})")
    found = data.get(field) if isinstance(data, dict) else None
    if errors:
        others = [one for one in errors if not _says_not_found(one)] if isinstance(errors, list) else errors
        if others or not isinstance(found, list):
            raise fault(others or errors, field, response.status)
    if not isinstance(found, list):
        raise Retry(f"{field}: nodes is {kind(found)}, expected a list")
    if len(found) != len(ask.ids):
        raise Retry(f"{field}: {len(found)} nodes for {len(ask.ids)} ids: there is no telling which is which")
    asked, rows, aliases, seen = set(ask.ids), [], {}, set()
    for known_as, node in zip(ask.ids, found, strict=True):
        if node is None:
            continue
        id_ = node.get("id") if isinstance(node, dict) else None
        if isinstance(id_, str) and id_:
            if id_ in seen:
                continue
            seen.add(id_)
            # An id that nobody can ask for is no name; where rows are read, its record is set aside.
            if id_ not in asked and _nameable(id_):
                aliases[id_] = known_as
        rows.append(node)
    return Page(rows, aliases=aliases)


def _nameable(id_: str) -> bool:
    return len(id_) <= LONGEST_ID and fits(id_, 4 * LONGEST_ID)


def _says_not_found(error: Json) -> bool:
    """Whether an error is about one node (its path has an index) and says that there is none."""
    if not isinstance(error, dict):
        return False
    path, extensions, message = error.get("path"), error.get("extensions"), error.get("message")
    if not isinstance(path, list) or len(path) < 2 or not isinstance(path[1], int):
        return False
    code = extensions.get("code") if isinstance(extensions, dict) else None
    if isinstance(code, str) and re.sub("[^a-z]", "", code.lower()).endswith("notfound"):
        return True
    return isinstance(message, str) and _NOT_FOUND.search(message[:500]) is not None
