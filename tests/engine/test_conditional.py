"""Conditional requests: what the vendor says is unchanged is what it was, and nothing else changes by asking so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

import anyio
import pytest

from bridge.core.facts import Request, Response
from bridge.core.secret import Secret
from bridge.engine.conditional import Conditional
from bridge.sandbox import agyletime_view
from tests.support.agyletime_rig import AgyletimeRig
from tests.support.answers import answer
from tests.support.engine import on_virtual_clock
from tests.support.thorough import tries

URL = "https://api.example.com/users?page=1"
ASK = Request("GET", URL, {"Authorization": Secret("token-1", prefix="Bearer "), "Accept-Language": "en"})
TAG = {"etag": '"abc"'}
DATE = "Mon, 01 Jan 2024 12:00:00 GMT"


def changed(**headers: str) -> Response:
    return answer({"data": [{"id": 1, "name": "Ä\ud800", "n": 1.5, "big": 10**40}]}, 200, headers)


def unchanged(**headers: str) -> Response:
    return Response(304, headers, b"")


def test_what_is_unchanged_is_what_it_was() -> None:
    """The second request carries the tag; to 304 the kept answer is taken, equal in content, with the newer headers."""
    kept = Conditional()
    assert kept.request(ASK) is ASK
    first = changed(etag='"abc"', date=DATE, **{"x-left": "7", "content-length": "99"})
    kept.keep(ASK, first)
    asked = kept.request(ASK)
    assert asked == replace(ASK, headers={**ASK.headers, "If-None-Match": '"abc"'})
    found = kept.response(ASK, unchanged(etag='"abc"', **{"x-left": "6"}))
    assert (found.status, found.json, found.problem) == (200, first.json, "")
    assert json.loads(found.body) == first.json
    assert found.headers == {"etag": '"abc"', "date": DATE, "x-left": "6"}
    assert kept.unchanged == 1
    # Another answer is itself, and the old one is forgotten once it is good.
    other = changed(etag='"def"')
    assert kept.response(ASK, other) is other
    kept.keep(ASK, other)
    assert kept.request(ASK).headers["If-None-Match"] == '"def"'
    kept.keep(ASK, changed())
    assert kept.request(ASK) is ASK


def test_a_304_that_nobody_asked_for_is_an_answer_like_any_other() -> None:
    """Nothing is made up for it."""
    found = unchanged()
    assert Conditional().response(ASK, found) is found


def test_the_same_thing_is_the_same_address_and_headers() -> None:
    """A new token asks for the same thing; another page, or another language, is another."""
    kept = Conditional()
    kept.keep(ASK, changed(**TAG))
    renewed = replace(ASK, headers={**ASK.headers, "Authorization": Secret("token-2", prefix="Bearer ")})
    assert "If-None-Match" in kept.request(renewed).headers
    assert kept.response(renewed, unchanged()).status == 200
    for other in (
        replace(ASK, url="https://api.example.com/users?page=2"),
        replace(ASK, headers={**ASK.headers, "Accept-Language": "de"}),
    ):
        assert kept.request(other) is other


@pytest.mark.parametrize("request_", [replace(ASK, method="POST"), replace(ASK, json={"query": "{ a }"})])
def test_only_what_is_read_is_kept(request_: Request) -> None:
    """No POST, no body."""
    kept = Conditional()
    kept.keep(request_, changed(**TAG))
    assert kept.request(request_) is request_
    assert kept.bytes == 0


@pytest.mark.parametrize(
    ("headers", "condition"),
    [
        ({"etag": 'W/"weak"'}, ("If-None-Match", 'W/"weak"')),
        ({"etag": "bare"}, None),
        ({"etag": '"two" "tags"'}, None),
        ({"etag": '"line\nfeed"'}, None),
        ({"etag": '"abc"', "cache-control": "private, No-Store"}, None),
        ({"last-modified": "Mon, 01 Jan 2024 11:58:00 GMT", "date": DATE},
         ("If-Modified-Since", "Mon, 01 Jan 2024 11:58:00 GMT")),
        # In that second, or the next ones, something may have changed without moving it.
        ({"last-modified": "Mon, 01 Jan 2024 11:59:30 GMT", "date": DATE}, None),
        ({"last-modified": "Mon, 01 Jan 2024 11:58:00 GMT"}, None),
        ({"last-modified": "yesterday", "date": DATE}, None),
        # What no header may hold would be refused with every request from then on.
        ({"last-modified": "Mon, 01 Jan 2024 11:58:00 GMT (caf\xe9)", "date": DATE}, None),
        ({"last-modified": "Mon, 01 Jan 2024 11:58:00 GMT\t(x)", "date": DATE}, None),
        ({"last-modified": "Mon, 01 Jan 2024 11:58:00 GMT " + "x" * 7000, "date": DATE}, None),
        ({"etag": '"abc"', "last-modified": "Mon, 01 Jan 2024 11:58:00 GMT", "date": DATE}, ("If-None-Match", '"abc"')),
        ({}, None),
    ],
)  # fmt: skip
def test_what_can_be_asked_about(headers: Mapping[str, str], condition: tuple[str, str] | None) -> None:
    """A tag, strong or weak; else a time of change that is old enough by the vendor's own clock."""
    kept = Conditional()
    kept.keep(ASK, changed(**headers))
    added = {k: v for k, v in kept.request(ASK).headers.items() if k not in ASK.headers}
    assert added == ({} if condition is None else dict([condition]))


@pytest.mark.parametrize(
    "response",
    [
        answer([], 201, TAG),
        answer([], 404, TAG),
        Response(200, TAG, b"<html>", None, "HTML page"),
        answer(float("inf"), 200, TAG),
    ],
    ids=["201", "404", "html", "no JSON"],
)
def test_what_is_no_good_answer_is_not_kept(response: Response) -> None:
    """And takes the place of what was."""
    kept = Conditional()
    kept.keep(ASK, changed(**TAG))
    kept.keep(ASK, response)
    assert kept.request(ASK) is ASK
    assert kept.bytes == 0


def deep() -> Any:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    return value


def test_what_cannot_be_written_again_is_not_kept() -> None:
    """Nested too deeply: it is asked for as a whole, and nothing breaks."""
    kept = Conditional()
    kept.keep(ASK, Response(200, TAG, b"[", deep()))
    assert kept.request(ASK) is ASK


def page(number: int) -> Request:
    return replace(ASK, url=f"{URL}{number}")


def read(kept: Conditional, asked: Request) -> bool:
    """One answer, unchanged as always; whether it came as 304."""
    if kept.request(asked) is asked:
        kept.keep(asked, answer([asked.url] * 50, 200, TAG))
        return False
    kept.keep(asked, unchanged())
    return kept.response(asked, unchanged()).status == 200


def test_memory_is_bounded() -> None:
    """A list longer than what can be kept: a part of it stays, and is of use in every pass; nothing above the bound."""
    kept = Conditional(most_bytes=2_500)
    passes = []
    for _ in range(5):
        passes.append(sum(read(kept, page(number)) for number in range(9)))
        assert kept.bytes <= 2_500
    assert passes == [0, 4, 4, 4, 4]


def test_what_nobody_asks_for_any_more_makes_room() -> None:
    """As pages of a window that has moved on do; what is asked for again and again stays."""
    kept = Conditional(most_bytes=2_500)
    read(kept, page(0))
    for number in range(1, 600):
        read(kept, page(number))
        assert read(kept, page(0))
        assert kept.bytes <= 2_500
    held = [number for number in range(1, 600) if "If-None-Match" in kept.request(page(number)).headers]
    assert len(held) == 3
    assert min(held) > 300


def test_what_is_too_large_is_not_kept() -> None:
    """Nor anything where nothing may be; what is given up makes room."""
    kept = Conditional(most_bytes=2_500)
    read(kept, page(1))
    kept.keep(ASK, answer(Random(1).randbytes(2_000).hex(), 200, TAG))
    assert kept.request(ASK) is ASK
    kept.forget(page(1))
    assert kept.bytes == 0
    read(kept, page(2))
    kept.clear()
    assert kept.bytes == 0
    assert not read(kept, page(2))
    off = Conditional(most_bytes=0)
    assert not any(read(off, ASK) for _ in range(3))
    assert off.bytes == 0


# The whole engine against the played vendor, for hours.

PACE: dict[str, dict[str, Any]] = {
    **{name: {"every_s": 60.0} for name in ("users", "business-roles", "system-roles", "definitions", "shifts")},
    "tasks": {"every_s": 120.0, "slow_every_s": 600.0},
}


def run(
    *,
    etag: bool,
    hours: float = tries(0.3, 1.0),
    tail_s: float = 1_500,
    options: Mapping[str, Any] | None = None,
    **settings: Any,
) -> AgyletimeRig:
    """Users and roles read every minute, changes every few; tokens that last ten minutes."""

    async def main() -> AgyletimeRig:
        vendor = {"seed": 5, "users": 23, "most_per_page": 5, "etag": etag, "token_s": 600, "late_days": 10}
        rig = AgyletimeRig({**vendor, **(options or {})}, PACE, **settings)

        async def script() -> None:
            await anyio.sleep(300)
            for _ in range(int(hours * 20)):
                rig.sandbox.make_change(2)
                await anyio.sleep(180)
            await anyio.sleep(tail_s)

        await rig.during(script)
        return rig

    found: AgyletimeRig = on_virtual_clock(main)
    return found


def asked_on_condition(rig: AgyletimeRig) -> int:
    return sum("If-None-Match" in request.headers for request in rig.http.asked)


def told(rig: AgyletimeRig) -> list[tuple[str, Any]]:
    return [(event.subject, event.data) for event in rig.stored()]


def test_with_and_without_it_the_same_is_told() -> None:
    """A vendor that offers tags: most pages come as 304, and the events are those of a vendor that offers none; the
    stream equals the ledger in both."""
    plain, tagged = run(etag=False), run(etag=True)
    assert told(tagged) == told(plain)
    assert len({event.tokens[3] for event in tagged.stored()}) == len(agyletime_view.READ)
    for rig in (plain, tagged):
        assert rig.report().faithful
    assert asked_on_condition(plain) == 0
    assert "not_modified" not in plain.sandbox.counters()
    whole = [request for request in tagged.http.asked if "/organisation/users?" in request.url]
    assert tagged.sandbox.counters()["not_modified"] > 0.8 * len(whole)
    assert len(tagged.http.asked) == len(plain.http.asked)


def test_it_can_be_switched_off() -> None:
    """For a vendor whose tags do not say what they promise."""
    assert asked_on_condition(run(etag=True, conditional=False, hours=0.05, tail_s=0)) == 0


def test_positions_that_age_are_learned_anew() -> None:
    """A page stays the same while the token in it ends: what is kept is given up, and the pass comes to its end."""
    rig = run(etag=True, options={"page_token_s": 30})
    assert rig.report().faithful
    assert rig.sandbox.counters()["bad_requests"] > 10
    assert rig.sandbox.counters()["not_modified"] > 10
