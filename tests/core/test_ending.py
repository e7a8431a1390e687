"""Why a session ended, as a word."""

from __future__ import annotations

import pytest

from bridge.core.ending import Ending, by_close_code, ending_of, marked
from bridge.core.errors import Away, BridgeError, Refused, Retry, Throttled, Unauthorized
from bridge.core.lease import LeaseLost
from bridge.core.session import SocketioSession, StreamSession
from bridge.core.wire import closing

STREAM = StreamSession("wss://vendor.example/live")
SOCKETIO = SocketioSession("wss://vendor.example/socket.io/?EIO=3&transport=websocket")


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (Unauthorized("x"), "token"),
        (Refused("x"), "refused"),
        (Throttled("x"), "throttled"),
        (Away("x"), "nats"),
        (LeaseLost("x"), "nats"),
        (Retry("x"), "other"),
        (ValueError("x"), "other"),
        (ExceptionGroup("x", [Unauthorized("x")]), "token"),
        (marked(Retry("x"), Ending.SILENT), "silent"),
        (marked(Refused("x"), Ending.SILENT), "refused"),
    ],
)
def test_an_error_tells_its_ending_by_what_it_is_or_was_marked_with(error: Exception, ending: str) -> None:
    """What an error is says more than a mark, and what nobody has marked is `other`."""
    assert ending_of(error) == ending


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        (1000, "closed"), (1001, "closed"), (1005, "closed"), (1006, "lost"), (1009, "protocol"), (1011, "fault"),
        (1012, "closed"), (1013, "closed"), (1014, "fault"), (1015, "lost"), (3008, "silent"), (4408, "unanswered"),
        (4409, "closed"), (4429, "closed"), (4500, "fault"), (4504, "unanswered"), (4999, "closed"),
        (1002, "refused"), (1003, "refused"), (1007, "refused"), (1008, "token"), (4401, "token"), (4406, "refused"),
    ],
)  # fmt: skip
def test_every_close_code_has_an_ending(code: int, ending: str) -> None:
    """By the error that is made of it: some codes mean the token, and some a human."""
    assert ending_of(closing.closed(code, "bye", STREAM)) == ending


def test_no_close_code_is_left_without_a_word() -> None:
    """All that the table of close codes knows is told apart from an error of ours."""
    assert {ending_of(closing.closed(code, "", STREAM)) for code in closing.CODES} <= {
        "closed", "lost", "fault", "protocol", "silent", "unanswered", "token", "refused",
    }  # fmt: skip
    assert by_close_code(4242) is Ending.CLOSED


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (closing.upgrade_refused(503, {}, None, STREAM), "fault"),
        (closing.upgrade_refused(429, {}, None, STREAM), "throttled"),
        (closing.upgrade_refused(401, {}, None, STREAM), "token"),
        (closing.upgrade_refused(404, {}, None, STREAM), "refused"),
        (closing.ended("engine", None, SOCKETIO, welcomed=True), "closed"),
        (closing.ended("namespace", None, SOCKETIO, welcomed=True), "closed"),
        (closing.ended("refusal", "no", SOCKETIO, welcomed=True), "fault"),
        (closing.ended("refusal", "no", SOCKETIO, welcomed=False), "token"),
        (closing.ended("http", "HTTP/1.1 502 Bad Gateway", SOCKETIO, welcomed=True), "fault"),
        (closing.ended("stranger", None, SOCKETIO, welcomed=False), "refused"),
    ],
)
def test_every_refusal_and_farewell_has_an_ending(error: BridgeError, ending: str) -> None:
    """None of them is `other`."""
    assert ending_of(error) == ending


def test_the_words_are_few_and_stay_as_they_are() -> None:
    """They are label values that somebody's dashboards and alert rules name."""
    assert [str(one) for one in Ending] == [
        "closed", "lost", "silent", "unreachable", "unanswered", "fault", "protocol", "token", "refused", "throttled",
        "handover", "reading", "nats", "other",
    ]  # fmt: skip
