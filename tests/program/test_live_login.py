"""A token endpoint that answers garbage, redirects, or is another host's: refused, alarmed, and well once mended."""

from __future__ import annotations

import urllib.parse
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bridge.sandbox.x_assist_tokens import DISCOVERY_PATH
from tests.support.live_scene import LiveScene, LiveVendor, live_scene
from tests.support.waiting import wait_until
from tests.support.web import serving

TOKEN_PATH = "/token"

REFUSED = {
    "redirect": "answered with a redirect",
    "discovery-redirect": "answered with a redirect",
    "elsewhere": "its token endpoint is not to be trusted",
    "impostor": "it calls itself by another name",
}
"""What only a human can mend, and what is said of it."""
TRIED_AGAIN = {
    "garbage": "access_token is",
    "html": "the answer is not JSON",
    "discovery-garbage": "this is no OpenID configuration",
}
"""What may be over in a minute. After half a minute of it the source counts as lost."""

RARELY = {"recent_every_s": 4.0, "by_id_every_s": 4.0, "all_every_s": 4.0}

pytestmark = pytest.mark.anyio


class Issuer:
    """An OpenID provider of many faces, one below each path. Mended, it asks the vendor's own token endpoint."""

    def __init__(self, vendor: LiveVendor) -> None:
        self._vendor = vendor
        self.base_url = ""
        self.thief_url = ""
        self.mended = False
        self.asked: Counter[str] = Counter()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        face, _, path = request.path.removeprefix("/").partition("/")
        own = f"{self.base_url}/{face}"
        self.asked[f"{face}/{path}"] += 1
        if self.mended or face == "good":
            if f"/{path}" == DISCOVERY_PATH:
                return web.json_response({"issuer": own, "token_endpoint": own + TOKEN_PATH})
            return await self._token(request)
        if f"/{path}" == DISCOVERY_PATH:
            return self._discovery(face, own)
        if face == "redirect":
            # 307: the same request once more, secret and all.
            return web.Response(status=307, headers={"location": f"{self.thief_url}/token"})
        if face == "garbage":
            return web.json_response({"access_token": {"no": "text"}, "expires_in": "soon", "created_at": None})
        return web.Response(text="<html>Login</html>", content_type="text/html")

    def _discovery(self, face: str, own: str) -> web.StreamResponse:
        match face:
            case "discovery-redirect":
                return web.Response(status=302, headers={"location": f"{self.thief_url}{DISCOVERY_PATH}"})
            case "discovery-garbage":
                return web.json_response({"issuer": 17})
            case "elsewhere":
                return web.json_response({"issuer": own, "token_endpoint": f"{self.thief_url}/token"})
            case "impostor":
                return web.json_response({"issuer": self.thief_url, "token_endpoint": own + TOKEN_PATH})
        return web.json_response({"issuer": own, "token_endpoint": own + TOKEN_PATH})

    async def _token(self, request: web.Request) -> web.StreamResponse:
        data = urllib.parse.parse_qs(await request.text())
        form = {name: values[0] for name, values in data.items()}
        async with aiohttp.ClientSession() as http, http.post(self._vendor.facts["token_url"], data=form) as answer:
            return web.json_response(await answer.json(), status=answer.status)


@asynccontextmanager
async def stage(folder: Path, faces: list[str]) -> AsyncIterator[tuple[LiveScene, Issuer, list[str]]]:
    """A source for each face and one for a good one, the daemon running; and what a thief has been sent."""
    stolen: list[str] = []

    async def thief(request: web.Request) -> web.StreamResponse:
        stolen.append(f"{request.method} {request.path} {await request.text()}")
        return web.json_response({"access_token": "of-a-thief", "token_type": "Bearer", "expires_in": 7200})

    options: dict[str, Any] = {"history": 3, "requests_per_hour": None}
    async with live_scene(folder, {"travel": ("x_assist", options)}, seed=121) as scene:
        (travel,) = scene.vendors
        issuer = Issuer(travel)
        async with serving(issuer.answer) as port, serving(thief) as thief_port:
            issuer.base_url = f"http://127.0.0.1:{port}"
            issuer.thief_url = f"http://127.0.0.1:{thief_port}"
            for face in (*faces, "good"):
                scene.listen(face, travel, **RARELY, issuer=f"{issuer.base_url}/{face}")
            scene.start()
            await scene.all_live(but=faces)
            yield scene, issuer, stolen


@pytest.mark.chaos
@pytest.mark.timeout(400)
async def test_a_token_endpoint_that_cannot_be_trusted_is_refused_and_alarmed(tmp_path: Path) -> None:
    """Redirects and other hosts' token endpoints get no secret, garbage makes no token; each is said, those that need
    a human are announced, the good source works on; once it is put right and restarted, all are live."""
    async with stage(tmp_path, [*REFUSED, *TRIED_AGAIN]) as (scene, issuer, stolen):
        (travel,) = scene.vendors

        def all_said() -> bool:
            states = scene.states()
            return all(states[face] == "blocked" for face in REFUSED) and all(
                states[face] == "waiting" for face in TRIED_AGAIN
            )

        await wait_until(all_said, 60, "every source to be refused")
        for face, words in {**REFUSED, **TRIED_AGAIN}.items():
            said = scene.told(face, "source.blocked" if face in REFUSED else "source.waiting")
            assert words in said[0]["reason"], said
            assert said[0]["level"] == "warning"

        async def announced() -> bool:
            events = await scene.reader.events()
            return {event.tokens[2] for event in events if event.change == "blocked"} == set(REFUSED)

        await wait_until(announced, what="every refusal to be announced")
        status = (await scene.command("status", "--json")).json
        shown = {source["name"]: source for source in status["sources"]}
        assert all(words in shown[face]["problems"][0] for face, words in REFUSED.items())
        assert all(shown[face]["problems"] for face in TRIED_AGAIN)
        assert not shown["good"]["problems"]
        assert (await travel.counters())["logins"] == 1, "somebody else than the good one was given a token"
        assert not stolen
        # The good one goes on as if nothing were.
        await travel.call("POST", "change", {"n": 5})
        issuer.mended = True
        assert await scene.daemon.terminate() == 0
        scene.daemon.start()
        await scene.all_live()
        await travel.call("POST", "change", {"n": 5})
        verdict = await scene.verdict()
        verdict.must_be_faithful()
        assert not stolen
        assert {event.tokens[2] for event in verdict.events if event.change == "recovered"} == set(REFUSED)
        assert verdict.reports["good"].events >= 8


@pytest.mark.chaos
@pytest.mark.timeout(600)
async def test_garbage_for_half_a_minute_is_announced_and_heals_by_itself(tmp_path: Path) -> None:
    """A token endpoint that may be well again in a minute is tried again; meanwhile the source is announced as lost,
    and it recovers without a restart."""
    async with stage(tmp_path, list(TRIED_AGAIN)) as (scene, issuer, _):

        async def lost() -> bool:
            events = await scene.reader.events()
            return {event.tokens[2] for event in events if event.change == "lost"} == set(TRIED_AGAIN)

        await wait_until(lost, 120, "every source to be announced as lost")
        issuer.mended = True
        await scene.all_live(deadline_s=240)
        verdict = await scene.verdict()
        verdict.must_be_faithful()
        assert {event.tokens[2] for event in verdict.events if event.change == "recovered"} == set(TRIED_AGAIN)
        assert len(scene.told("good", "source.live")) == 1
