"""Relay connections and look-ups by id."""

from __future__ import annotations

import pytest

from bridge.core import relay
from bridge.core.errors import BridgeError, CursorExpired, Refused, Retry, Unauthorized
from bridge.core.facts import Ask, Page, Walk, Window
from bridge.core.record import Json
from tests.support.answers import answer, raw_answer

WALK = Walk("events", "event", 60)
HOUR_MS = 3_600_000
START = 1_704_067_200_000  # 2024-01-01T00:00:00Z


def ask(position: Json = None, window: Window | None = None, ids: tuple[str, ...] = ()) -> Ask:
    return Ask(WALK, window, position, ids)


def connection(rows: Json, **info: Json) -> Json:
    return {"data": {"events": {"nodes": rows, "pageInfo": {"hasNextPage": False, "endCursor": None, **info}}}}


def test_a_page_says_itself_whether_more_follows() -> None:
    """Neither its length nor an empty list decides, only `hasNextPage`."""
    more = {"hasNextPage": True, "endCursor": "c2"}
    assert relay.page(ask(), answer(connection([{"id": "a"}])), "events") == Page([{"id": "a"}])
    assert relay.page(ask({"cursor": "c1"}), answer(connection([], **more)), "events") == Page([], {"cursor": "c2"})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"data": {"events": {"nodes": []}}}, "pageInfo is null"),
        (connection([], hasNextPage=None), "hasNextPage is null"),
        (connection([], hasNextPage="yes"), "hasNextPage is text"),
        (connection([], hasNextPage=True), "endCursor is null"),
        (connection([], hasNextPage=True, endCursor=""), "endCursor is empty"),
        (connection([], hasNextPage=True, endCursor=7), "endCursor is a number"),
        (connection([], hasNextPage=True, endCursor="c1"), "the cursor it was asked to start after"),
        (connection([], hasNextPage=True, endCursor="a\ud800"), "endCursor is not UTF-8 of at most 16384 bytes"),
        (connection([], hasNextPage=True, endCursor="a" * 16_385), "endCursor is not UTF-8 of at most 16384 bytes"),
        (connection([], hasNextPage=True, endCursor="ü" * 8_193), "endCursor is not UTF-8 of at most 16384 bytes"),
        (connection(None), "nodes is null"),
    ],
)
def test_a_page_that_leaves_it_open_is_tried_again(body: Json, words: str) -> None:
    """Stopping there would lose the rest in silence."""
    with pytest.raises(Retry, match=words):
        relay.page(ask({"cursor": "c1"}), answer(body), "events")


def test_a_later_page_that_is_refused_means_its_cursor() -> None:
    """The first one was answered, and differs in the cursor only; a first page that is refused stays refused."""
    body = {"errors": [{"message": "Argument after has an invalid value"}]}
    with pytest.raises(CursorExpired, match="no longer known"):
        relay.page(ask({"cursor": "c1"}), answer(body, 400), "events")
    with pytest.raises(Refused):
        relay.page(ask(), answer(body, 400), "events")


@pytest.mark.parametrize(
    ("times", "over"),
    [
        (["2024-01-02T00:00:00Z", "2023-12-31T23:00:00Z"], True),
        (["2024-01-02T00:00:00Z", "2024-01-01T00:00:00Z"], False),
        (["2024-01-01T00:30:00+01:00"], True),  # 23:30 the day before
        (["2023-12-31T23:00:00Z", "2024-01-02T00:00:00Z", "2023-12-31T00:00:00Z"], False),  # not in that order
        (["2023-12-31T23:00:00Z", None], False),
        (["2023-12-31T23:00:00Z", "?"], False),
        ([], False),
    ],
)
def test_a_pass_ends_where_rows_are_older_than_its_window(times: list[Json], over: bool) -> None:
    """Only where all rows tell, and come newest first: otherwise there is no telling what follows."""
    rows = [{"at": time} for time in times]
    body = connection(rows, hasNextPage=True, endCursor="c2")
    window = Window(START, START + HOUR_MS)
    page = relay.page(ask(window=window), answer(body), "events", newest_first="at")
    assert page.next == (None if over else {"cursor": "c2"})
    assert relay.page(ask(), answer(body), "events", newest_first="at").next == {"cursor": "c2"}
    assert relay.page(ask(window=window), answer(body), "events").next == {"cursor": "c2"}


# --- by id -----------------------------------------------------------------------------------------------------------


def look_up(nodes: Json, *ids: str, status: int = 200, **more: Json) -> Page:
    return relay.looked_up(ask(ids=ids), answer({"data": {"nodes": nodes}, **more}, status))


def test_nodes_come_in_the_order_asked() -> None:
    """Null is what is not there; another id is what the vendor now calls the one asked for."""
    page = look_up([{"id": "a"}, None, {"id": "C2"}], "a", "b", "c")
    assert page.rows == [{"id": "a"}, {"id": "C2"}]
    assert page.aliases == {"C2": "c"}
    assert page.next is None


def test_an_id_asked_for_itself_is_nobodys_alias() -> None:
    """Nodes in another order, and two known ids of one thing, make no aliases; each thing comes once."""
    assert look_up([{"id": "b"}, {"id": "a"}], "a", "b") == Page([{"id": "b"}, {"id": "a"}])
    assert look_up([{"id": "new"}, {"id": "new"}], "old", "new") == Page([{"id": "new"}])
    assert look_up([{"id": "n"}, {"id": "n"}], "a", "b") == Page([{"id": "n"}], aliases={"n": "a"})


@pytest.mark.parametrize("id_", ["a\ud800", "x" * 1025, ""])
def test_an_id_that_cannot_be_asked_for_is_no_alias(id_: str) -> None:
    """The row is read all the same, and set aside there."""
    assert look_up([{"id": id_}, {"id": "new"}], "a", "b") == Page([{"id": id_}, {"id": "new"}], aliases={"new": "b"})
    longest = "😀" * 1024
    assert look_up([{"id": longest}], "a").aliases == {longest: "a"}


def test_a_cursor_may_be_long() -> None:
    """Up to 16 kB it is sent back as it came."""
    body = connection([], hasNextPage=True, endCursor="c" * 16_384)
    assert relay.page(ask(), answer(body), "events").next == {"cursor": "c" * 16_384}


def test_unreadable_nodes_are_rows_all_the_same() -> None:
    """They are set aside and counted where rows are read."""
    assert look_up([7, {}, {"id": 5}], "a", "b", "c") == Page([7, {}, {"id": 5}])


NOT_FOUND = {"message": "Couldn't find it", "path": ["nodes", 1], "extensions": {"code": "NOT_FOUND"}}


def test_errors_that_say_not_found_are_none() -> None:
    """By code or message, where the path names the node: otherwise one vanished id would stop all others."""
    page = look_up([{"id": "a"}, None], "a", "b", errors=[NOT_FOUND])
    assert page == Page([{"id": "a"}])
    assert look_up([None], "b", errors=[{"message": "Event not found", "path": ["nodes", 0]}]) == Page([])


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "boom", "path": ["nodes", 1]}, Retry),
        ({"message": "not found"}, Retry),
        ({"message": "not authorized", "path": ["nodes", 1]}, Unauthorized),
        ({"message": "x", "path": ["nodes"], "extensions": {"code": "NOT_FOUND"}}, Retry),
        (None, Retry),
    ],
)
def test_any_other_error_is_one(error: Json, kind: type[BridgeError]) -> None:
    """Beside one that says not found, too: what is missing then may well be there."""
    with pytest.raises(kind):
        look_up([{"id": "a"}, None], "a", "b", errors=[NOT_FOUND, error])


@pytest.mark.parametrize("nodes", [None, {}, "x", [], [{"id": "a"}], [None, None, None]])
def test_as_many_nodes_as_ids(nodes: Json) -> None:
    """Otherwise nobody knows which is which."""
    with pytest.raises(Retry):
        look_up(nodes, "a", "b")


def test_other_answers() -> None:
    """Status and body mean what they mean everywhere."""
    with pytest.raises(Unauthorized):
        look_up([], status=401)
    with pytest.raises(Retry, match="not JSON"):
        relay.looked_up(ask(ids=("a",)), raw_answer(b"<html>"))
    with pytest.raises(Refused):
        look_up(None, "a", status=400, errors=[{"message": "nodes does not exist"}])
