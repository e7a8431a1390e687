"""A vendor that repeats what it was told: passes requests on to a played vendor, or answers with the caller's secrets.

It learns every secret that passes: tokens in headers and bodies of requests, and the JWT in the answer to a login.
"""

from __future__ import annotations

import html
import json
import re
import urllib.parse
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from tests.support.web import serving

JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")


class Parrot:
    """`mode` is one of the methods below; it can be changed at any time. `served` counts answers by mode.

    `known`: what it repeats besides what the request at hand holds. What it learned from others it keeps to itself:
    no process can know another one's tokens, and mask them.
    """

    def __init__(self, target: str, known: Sequence[str]) -> None:
        self.target = target
        self.known = known
        self.mode = "pass_on"
        self.port = 0
        self.learned: set[str] = set()
        self.served: Counter[str] = Counter()
        self._http: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/graphql"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer as `mode` says."""
        body = await request.text()
        sent = [value for name in ("Authorization", "x-api-key") if (value := request.headers.get(name))]
        self.learned |= {value.removeprefix("Bearer ") for value in sent}
        told = [*sent, *self.known, body]
        self.served[self.mode] += 1
        answer: web.StreamResponse = await getattr(self, f"_{self.mode}")(request, body, " ".join(told))
        return answer

    async def _pass_on(self, request: web.Request, body: str, told: str) -> web.StreamResponse:
        text = await self._asked(request, body)
        self.learned |= set(JWT.findall(text))
        return web.Response(text=text, content_type="application/json")

    async def _unauthorized(self, request: web.Request, body: str, told: str) -> web.StreamResponse:
        header = {"WWW-Authenticate": f'Bearer error="{_one_line(told)}"'}
        return web.Response(status=401, text=f"not accepted: {told}", headers=header)

    async def _error_500(self, request: web.Request, body: str, told: str) -> web.StreamResponse:
        return web.Response(status=500, reason=_one_line(told)[:200], text=f"headers were {told}")

    async def _html(self, request: web.Request, body: str, told: str) -> web.StreamResponse:
        return web.Response(text=f"<html><body>{html.escape(told)}</body></html>", content_type="text/html")

    async def _redirect(self, request: web.Request, body: str, told: str) -> web.StreamResponse:
        where = f"https://{self.known[0]}.invalid/{self.known[1]}?token={urllib.parse.quote(told)}"
        return web.Response(status=302, headers={"Location": where})

    async def _broken_json(self, request: web.Request, body: str, told: str) -> web.StreamResponse:
        return web.Response(text='{"data": ' + json.dumps(told) + ", ", content_type="application/json")

    async def _graphql_errors(self, request: web.Request, body: str, told: str) -> web.StreamResponse:
        return web.json_response({"data": None, "errors": [{"message": told, "extensions": {"code": told}}]})

    async def _failure(self, request: web.Request, body: str, told: str) -> web.StreamResponse:
        return web.json_response({"data": {_field(body): _failed("ApplicationFailure", told)}})

    async def _strange_failure(self, request: web.Request, body: str, told: str) -> web.StreamResponse:
        return web.json_response({"data": {_field(body): _failed(told, told)}})

    async def _refusal(self, request: web.Request, body: str, told: str) -> web.StreamResponse:
        return web.json_response({"data": {_field(body): _failed("InsufficientRights", told)}})

    async def _expired(self, request: web.Request, body: str, told: str) -> web.StreamResponse:
        return web.json_response({"data": {_field(body): _failed("TokenExpired", told)}})

    async def _strange_types(self, request: web.Request, body: str, told: str) -> web.StreamResponse:
        return web.json_response({"data": {_field(body): {"__typename": told, "nodes": told, "token": [told]}}})

    async def _unreadable_rows(self, request: web.Request, body: str, told: str) -> web.StreamResponse:
        """Every row holds the secrets where they do not belong, one of them as no UTF-8 would."""
        whole = json.loads(await self._asked(request, body))
        nodes = (whole["data"].get("AcQuerySessionsHistory") or {}).get("nodes") or []
        for number, node in enumerate(nodes):
            node["value"] |= [{"sessionCreatedAt": told}, {"id": None, "name": told}, {"participants": told}][
                number % 3
            ]
        if nodes:
            nodes[0]["value"] = told
        return web.json_response(whole)

    async def _asked(self, request: web.Request, body: str) -> str:
        assert self._http is not None
        headers = {name: request.headers[name] for name in ("Authorization", "x-api-key") if name in request.headers}
        headers["Content-Type"] = "application/json"
        async with self._http.post(self.target, data=body, headers=headers) as response:
            return await response.text()


MODES = sorted(name[1:] for name in vars(Parrot) if name.startswith("_") and name[1:2] != "_" and name != "_asked")
"""All it can do, `pass_on` included."""


def _one_line(text: str) -> str:
    return re.sub(r"[^\x20-\x7e]", " ", text)


def _field(body: str) -> str:
    return "SiRetrieveSignedJwt" if "SiRetrieveSignedJwt" in body else "AcQuerySessionsHistory"


def _failed(error: str, comment: str) -> dict[str, str]:
    return {"__typename": "Failure", "error": error, "comment_for_dev": comment}


@asynccontextmanager
async def parrot(target: str, known: Sequence[str]) -> AsyncIterator[Parrot]:
    """A parrot before the vendor at `target`, passing everything on."""
    bird = Parrot(target, known)
    async with aiohttp.ClientSession() as bird._http, serving(bird.answer) as bird.port:
        yield bird
