"""Where a token may travel, and how a place is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import Malformed
from bridge.core.url import LONGEST, host_of, is_loopback, place, printable, problem, segment


@pytest.mark.parametrize(
    "url",
    ["https://api.example.com/graphql", "https://api.example.com:8443", "http://127.0.0.1:80/x", "http://localhost/x",
     "http://[::1]:9/x", "http://sandbox.localhost:4000/"],
)  # fmt: skip
def test_good_urls(url: str) -> None:
    """https anywhere, http on this machine."""
    assert problem(url) == ""


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "not a URL"), ("api.example.com", "not a URL"), ("https://", "not a URL"), ("ftp://x/", "not a URL"),
        ("https://[::1", "not a URL"), ("https://x:99999/", "not a URL"), ("https://x:0/", "not a URL"),
        ("https://x/a b", "not a URL"), ("https://x/\n", "not a URL"), ("wss://x/", "not a URL"),
        ("https://user:hunter2@x/", "user name or password"), ("http://api.example.com/", "use https"),
        ("http://127.0.0.1.example.com/", "use https"), ("http://localhost.example.com/", "use https"),
        ("http://10.0.0.1/", "use https"),
    ],
)  # fmt: skip
def test_bad_urls(url: str, words: str) -> None:
    """Each with its reason, and no password in it."""
    assert words in problem(url)
    assert "hunter2" not in problem(url)


def test_plain_http_is_a_decision() -> None:
    """Allowed on demand; sockets have their own two schemes."""
    assert problem("http://api.example.com/", allow_plain=True) == ""
    assert problem("wss://x/", plain="ws", secure="wss") == ""
    assert "use wss" in problem("ws://x/", plain="ws", secure="wss")


def test_a_place_holds_no_credentials_and_no_query() -> None:
    """Only what a log may show."""
    assert place("https://user:pw@api.example.com:8443/graphql?access_token=s#f") == "api.example.com:8443/graphql"
    assert place("http://[::1]:80/x") == "[::1]:80/x"
    assert place("https://x:bad/") == "(not a URL)"
    assert host_of("https://user:pw@host/secret?s") == "host"
    assert host_of("//[bad") == host_of("/path") == ""


@pytest.mark.parametrize(("host", "expected"), [("127.9.9.9", True), ("LOCALHOST", True), ("128.0.0.1", False)])
def test_loopback(host: str, expected: bool) -> None:
    """By spelling: nothing is resolved."""
    assert is_loopback(host) is expected


@given(st.text())
def test_no_text_makes_it_fail(text: str) -> None:
    """URLs are what operators and redirects say."""
    problem(text)
    host_of(text)
    assert place(text).isprintable()
    assert len(printable(text)) <= LONGEST


def test_an_id_is_one_segment_of_a_path() -> None:
    """Whatever is in it leads to no other place; what no path can hold is refused, and not quoted."""
    assert segment("a/b?c=d#e\r\nX: y%") == "a%2Fb%3Fc%3Dd%23e%0D%0AX%3A%20y%25"
    assert segment("...") == "..."
    for id_ in (".", "..", "", "\ud800"):
        with pytest.raises(Malformed, match="no path can hold") as caught:
            segment(id_)
        assert (id_ or "''") not in f"{caught.value}".replace("...", "")
