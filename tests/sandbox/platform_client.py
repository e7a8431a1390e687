"""A client of the played platform that is nothing but HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from bridge.sandbox.platform import Options, PlatformSandbox, platform_sandbox


class PlatformClient:
    """One HTTP session with a sandbox, with the token issued by hand unless told otherwise."""

    def __init__(self, sandbox: PlatformSandbox, http: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.http = http
        self.headers = {"Authorization": f"Bearer {sandbox.issued_token}"}

    async def ask(
        self, path: str, *, method: str = "GET", headers: dict[str, str] | None = None, **parameters: Any
    ) -> tuple[int, Any]:
        """Status and decoded body of one request below `/api/v1/`; the text, where it is no JSON."""
        async with self.http.request(
            method,
            f"{self.sandbox.url}/api/v1/{path}",
            params={name.replace("not_", "events!"): str(value) for name, value in parameters.items()},
            headers=self.headers if headers is None else headers,
            timeout=aiohttp.ClientTimeout(total=30),
        ) as response:
            text = await response.text()
            return response.status, json.loads(text) if response.content_type == "application/json" else text

    async def read(self, path: str, **parameters: Any) -> Any:
        """The body of an answer that must be 200."""
        status, body = await self.ask(path, **parameters)
        assert status == 200, body
        return body

    async def login(self, path: str = "auth/token", **given: Any) -> tuple[int, Any, aiohttp.ClientResponse]:
        """Status, body and response of a login, by default with the right credentials."""
        credentials = {"login": self.sandbox.login, "password": self.sandbox.password, **given}
        async with self.http.post(f"{self.sandbox.url}/api/v1/{path}", json=credentials) as response:
            return response.status, await response.json(), response


@asynccontextmanager
async def playing(**options: Any) -> AsyncIterator[PlatformClient]:
    """A sandbox with these options, and a client."""
    # Cookies are the test's business: the session keeps none.
    jar = aiohttp.DummyCookieJar()
    async with platform_sandbox(Options(**options)) as sandbox, aiohttp.ClientSession(cookie_jar=jar) as http:
        yield PlatformClient(sandbox, http)
