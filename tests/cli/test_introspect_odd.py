"""`bridged introspect` with vendors whose schema is written to harm, or makes no sense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import graphql
import pytest
from aiohttp import web

from tests.support.command import Done, Setup
from tests.support.inside import inside
from tests.support.web import serving

pytestmark = pytest.mark.anyio

LOGIN = {"data": {"SiRetrieveSignedJwt": {"token": "a.secret-jwt.here", "customerUuid": "c1"}}}
SDL = 'type Query { a: Int } type Subscription { "first" s: Int } enum E { A }'
HARMFUL = "red \x1b[31m\x9b31m back\u202ewards \ud800"


async def introspected(tmp_path: Path, schema: Any, *more: str) -> Done:
    async def handle(request: web.Request) -> web.Response:
        query = (await request.json())["query"]
        return web.json_response({"data": schema} if "__schema" in query else LOGIN)

    async with serving(handle) as port:
        setup = Setup(tmp_path, nats='url = "nats://127.0.0.1:1"')
        setup.text = setup.text.replace("http://127.0.0.1:9/graphql", f"http://127.0.0.1:{port}/graphql")
        setup.write()
        return await inside(setup, "introspect", "acme", *more, give_up_s=1.0)


def schema() -> Any:
    return graphql.introspection_from_schema(graphql.build_schema(SDL))


def types(made: Any) -> list[Any]:
    found: list[Any] = made["__schema"]["types"]
    return found


@pytest.mark.parametrize("more", [(), ("--json",)])
async def test_a_vendor_cannot_steer_the_terminal(tmp_path: Path, more: tuple[str, ...]) -> None:
    """Neither by controls nor by reversed writing, nor by half a character; programs get it all, escaped."""
    made = schema()
    (root,) = (one for one in types(made) if one["name"] == "Subscription")
    root["fields"][0]["description"] = HARMFUL
    done = await introspected(tmp_path, made, *more)
    assert (done.code, done.err) == (0, "")
    assert done.out.replace("\n", "").isprintable()
    if more:
        assert done.json["subscriptions"][0]["description"].startswith("red \x1b[31m\x9b31m back\u202ewards ")


async def test_a_schema_that_contradicts_itself_is_a_sentence(tmp_path: Path) -> None:
    """Two types of one name, or an enum value that is none: 69, and no traceback."""
    twice, enum = schema(), schema()
    types(twice).insert(0, {"kind": "SCALAR", "name": "Subscription", "description": None, "fields": None})
    (one,) = (one for one in types(enum) if one["name"] == "E")
    one["enumValues"][0]["name"] = "true"
    for made in (twice, enum):
        done = await introspected(tmp_path, made)
        assert (done.code, done.out) == (69, "")
        assert "what the vendor calls its schema cannot be read" in done.err
        assert "Traceback" not in done.err
