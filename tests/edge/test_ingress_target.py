"""A request's target: the short way that plain paths take says the same as the long one."""

from __future__ import annotations

import pytest

from bridge.edge.ingress.target import BadRequest, read_target

ODD = [*"?#+&=;*:@!$,()\\\"'<>[]{}|^` \t\x00\x7f\u00e4", "%", "%41", "%2F", "%zz", "%c3", "%00", "?a=%41", "//", "/../"]


@pytest.mark.parametrize("odd", ODD)
def test_a_path_alone_is_read_like_the_same_one_behind_a_host(odd: str) -> None:
    """Behind a host it always takes the long way."""
    found: list[object] = []
    for target in (f"/a-b{odd}c.d", f"http://host/a-b{odd}c.d"):
        try:
            found.append(read_target("POST", target))
        except BadRequest as bad:
            found.append((str(bad), bad.reply.status))
    assert found[0] == found[1]


@pytest.mark.parametrize("path", ["/", "/hooks/shop", "/hooks/my-shop_2.eu~x/"])
def test_a_plain_path_is_itself_and_has_no_query(path: str) -> None:
    """A mapping of its own for each request."""
    (first, query), (second, other) = (read_target("POST", path) for _ in range(2))
    assert (first, second, query, other) == (path, path, {}, {})
    assert query is not other


def test_what_is_escaped_and_asked_is_decoded() -> None:
    """Once; of a name that comes twice the first value counts."""
    assert read_target("POST", "/a%2Fb%C3%A4?x=1%25&x=2&y=") == ("/a/b\u00e4", {"x": "1%", "y": ""})
