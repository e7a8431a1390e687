"""A JSend-like envelope: what counts as success, what each error means, and how pages go on."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.core import jsend
from bridge.core.errors import BridgeError, CursorExpired, Refused, Retry, Throttled, Unauthorized
from tests.support.answers import answer, raw_answer

WHAT, TOKEN = "walk users", "5d6f0a"


def success(data: Any, **beside: Any) -> dict[str, Any]:
    return {"status": "success", "result": 0, "data": data, **beside}


def failure(code: Any = "InternalError", message: str = "Ada Eichhorst is missing", **beside: Any) -> dict[str, Any]:
    return {"status": "error", "code": code, "result": code, "message": message, **beside}


def test_a_page_goes_on_with_its_token_and_ends_without() -> None:
    """The token is the next position; absent, null or empty, the list is at its end."""
    page = jsend.page(answer(success([{"id": 1}], itemsCount=1, nextPageToken="5d6f0b", pageLimit=1)), WHAT)
    assert (page.rows, page.next, page.proves_absence) == ([{"id": 1}], "5d6f0b", True)
    for end in ({}, {"nextPageToken": None}, {"nextPageToken": ""}):
        assert jsend.page(answer(success([], **end)), WHAT, TOKEN).next is None


def test_an_answer_without_a_body_is_an_empty_list() -> None:
    """204, and any 2xx whose body is empty."""
    for response in (raw_answer(b"", 204), raw_answer(b"", 200), raw_answer(b"  ", 200)):
        assert jsend.page(response, WHAT).rows == []


@pytest.mark.parametrize(
    "body",
    [{"items": []}, {}, None, 7, "text", {"0": {"id": 1}}],
    ids=["object", "empty object", "null", "number", "text", "numbered object"],
)
def test_data_that_is_no_list_is_no_empty_list(body: Any) -> None:
    """It says so, and nothing counts as absent."""
    with pytest.raises(Retry, match=r"walk users: data is .*, expected a list"):
        jsend.page(answer(success(body)), WHAT)


@pytest.mark.parametrize(
    "raw",
    [b"<html>Maintenance</html>", b'{"status": "succ', b"[]", b"null", b'"text"', b"{}", b'{"data": []}',
     b'{"status": "done", "data": []}', b'{"status": 1, "data": []}'],
)  # fmt: skip
def test_what_is_no_envelope_is_tried_again(raw: bytes) -> None:
    """HTML, half a body, other JSON: Retry, which names the walk."""
    with pytest.raises(Retry, match="walk users"):
        jsend.page(raw_answer(raw), WHAT)


@pytest.mark.parametrize(
    ("status", "body", "error", "says"),
    [
        (401, failure("Unauthorized"), Unauthorized, "HTTP status 401 and code Unauthorized"),
        (403, failure("Forbidden"), Refused, "no permission"),
        (404, failure("NotFound"), Refused, "check its path and its host"),
        (400, failure("BadRequest", "startTimeFrom (INVALID): Ada, limit (MISSING): x"), Refused,
         r"\(startTimeFrom invalid, limit missing\)"),
        (409, failure("Conflict"), Refused, "not accepted"),
        (422, failure("PreconditionFailed"), Refused, "not accepted"),
        (429, failure("TooManyRequests"), Throttled, "over the quota"),
        (500, failure("InternalError"), Retry, "HTTP status 500"),
        (418, failure("Teapot"), Refused, "HTTP status 418"),
        # The same under 200: the envelope decides, by text or number.
        (200, failure("Unauthorized"), Unauthorized, "an error under HTTP status 200 and code Unauthorized"),
        (200, failure("Forbidden"), Refused, "no permission"),
        (200, failure("BadRequest"), Refused, "not accepted"),
        (200, failure("InternalError"), Retry, "a fault at the vendor|HTTP status 500"),
        (200, failure(401), Unauthorized, "not accepted"),
        (200, failure("403"), Refused, "no permission"),
        (200, failure(7), Retry, "a fault at the vendor"),
        (200, {"status": "fail", "data": {"name": "Ada"}}, Retry, "a fault at the vendor"),
        (200, failure(None), Retry, "a fault at the vendor"),
    ],
)  # fmt: skip
def test_what_an_error_means(status: int, body: Any, error: type[BridgeError], says: str) -> None:
    """Each is the error of what happens next, whichever side says it; no prose of the vendor's is quoted."""
    with pytest.raises(error, match=says) as caught:
        jsend.page(answer(body, status), WHAT)
    assert type(caught.value) is error
    assert "Ada" not in str(caught.value)
    assert "Teapot" not in str(caught.value)


def test_over_the_quota_waits_as_long_as_it_is_told() -> None:
    """By `Retry-After`."""
    with pytest.raises(Throttled) as caught:
        jsend.page(answer(failure("TooManyRequests"), 429, {"retry-after": "12"}), WHAT)
    assert caught.value.after == 12.0


@pytest.mark.parametrize("status", [400, 404, 409, 410, 422])
def test_a_token_that_is_refused_has_expired(status: int) -> None:
    """The pass starts over. Without a token the same answer is a refusal, and 403 always is."""
    with pytest.raises(CursorExpired, match="walk users: the page token"):
        jsend.page(answer(failure("BadRequest"), status), WHAT, TOKEN)
    with pytest.raises(Refused):
        jsend.page(answer(failure("BadRequest"), status), WHAT)
    with pytest.raises(Refused, match="permission"):
        jsend.page(answer(failure("Forbidden"), 403), WHAT, TOKEN)


def test_a_count_that_lies_proves_nothing() -> None:
    """A page that names another number of rows than it has cannot show that something is gone."""
    for count, proves in ((1, True), ("1", True), (None, True), (2, False), (0, False), ("many", False), ([], False)):
        page = jsend.page(answer(success([{"id": 1}], itemsCount=count)), WHAT)
        assert page.proves_absence is proves, count


@pytest.mark.parametrize("token", [7, [], {"a": 1}, "x" * 1025, "\ud800", True])
def test_a_token_that_cannot_be_sent_back(token: Any) -> None:
    """It is an error, and no end."""
    with pytest.raises(Retry, match="nextPageToken is"):
        jsend.page(answer(success([], nextPageToken=token)), WHAT)


def test_one_record() -> None:
    """It is there, or it is gone (204, 404, 410); nothing else says that it is gone."""
    assert jsend.one(answer(success({"id": 7})), WHAT).rows == [{"id": 7}]
    for gone in (raw_answer(b"", 204), answer(failure("NotFound"), 404), answer(failure("Gone"), 410)):
        assert jsend.one(gone, WHAT).rows == []
    for other in (answer(success(None)), answer(success([])), answer(failure(), 500), raw_answer(b"<html>", 200)):
        with pytest.raises(Retry):
            jsend.one(other, WHAT)
    # A web server that has lost its way says 404, too, and knows nothing of records.
    for page in (b"<!DOCTYPE html><html>Not Found</html>", b"<Error/>"):
        with pytest.raises(Retry, match="not the API's"):
            jsend.one(raw_answer(page, 404), WHAT)
    with pytest.raises(Refused):
        jsend.one(answer(failure("Forbidden"), 403), WHAT)


def test_a_list_elsewhere_in_the_answer() -> None:
    """`path` goes through objects."""
    found = jsend.page(answer(success({"dates": [{"id": 1}]})), WHAT, None, "data.dates")
    assert found.rows == [{"id": 1}]
    with pytest.raises(Retry, match=r"data\.dates is null"):
        jsend.page(answer(success([])), WHAT, None, "data.dates")
