"""The official clients against the played vendor: what our sandbox says is what they understand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import anyio
import anyio.to_thread
import pytest

from bridge.core.facts import Subprotocol
from bridge.sandbox.x_assist import Options, XAssistSandbox, x_assist_sandbox
from tests.interop.peers import Program
from tests.support.dialects import ALL, CABLE, LEGACY, TRANSPORT
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("packages")]

DOCUMENT = "subscription { assumedEventChanged { event { id name createdAt } } }"
speaks_all = pytest.mark.parametrize("subprotocol", ALL)


class Client:
    """A client of an official package, and what it has said."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.said: list[Any] = []

    async def listen(self) -> None:
        """Until it is gone."""
        while True:
            self.said.append(await anyio.to_thread.run_sync(self.program.hear, abandon_on_cancel=True))

    def tell(self, do: str, name: str, query: str = DOCUMENT) -> None:
        """`subscribe` or `stop`."""
        self.program.tell(do, name=name, query=query)

    def results(self, name: str) -> list[Any]:
        """Those of one operation; the first answer over Action Cable is empty and left out."""
        found = [said["result"] for said in self.said if said.get("name") == name and "result" in said]
        return [result for result in found if result != {"data": {}}]

    def ends(self) -> list[Any]:
        """What it took for the end of an operation or of everything."""
        return [said["end"] for said in self.said if "end" in said]


async def token(sandbox: XAssistSandbox) -> str:
    form = {"grant_type": "client_credentials", "client_id": sandbox.client_id, "client_secret": sandbox.client_secret}
    async with aiohttp.ClientSession() as http, http.post(sandbox.token_url, data=form) as answer:
        return str((await answer.json())["access_token"])


@asynccontextmanager
async def client(sandbox: XAssistSandbox, subprotocol: Subprotocol, given: str | None = None) -> AsyncIterator[Client]:
    """A client that connects with a good token, or with the one given."""
    url = sandbox.cable_url if subprotocol == CABLE else sandbox.ws_url
    secret = await token(sandbox) if given is None else given
    program = Program("node", "clients.mjs", subprotocol, url, token=secret)
    made = Client(program)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(made.listen)
            yield made
            tasks.cancel_scope.cancel()
    finally:
        program.close()


@asynccontextmanager
async def playing(**options: Any) -> AsyncIterator[XAssistSandbox]:
    async with x_assist_sandbox(Options(seed=7, ka_s=0.2, ping_s=0.2, cable_ping_s=0.2, **options)) as sandbox:
        yield sandbox


@speaks_all
async def test_every_change_arrives_once_and_in_order(subprotocol: Subprotocol) -> None:
    """Two operations on one socket, 60 changes: the official client gives each as often and in the order made."""
    async with playing() as sandbox, client(sandbox, subprotocol) as official:
        await wait_until(lambda: {"connected": True} in official.said)
        official.tell("subscribe", "one")
        official.tell("subscribe", "two")
        await wait_until(lambda: sandbox.counters().get("subscriptions") == 2)
        made = [change.id for change in sandbox.make_change(60)]
        await wait_until(lambda: min(len(official.results(name)) for name in ("one", "two")) == 60)
        for name in ("one", "two"):
            assert [_id(result) for result in official.results(name)] == made
        assert official.ends() == []
        assert sandbox.counters()["sockets"] == 1
        official.tell("stop", "one")
        await wait_until(lambda: sandbox.counters().get("subscriptions") == 1)
        if subprotocol != LEGACY:  # whose client keeps the signs of life to itself
            await wait_until(lambda: {"pong": True} in official.said)


@speaks_all
async def test_bad_credentials_are_understood(subprotocol: Subprotocol) -> None:
    """Each official client takes the refusal for what it is, and stays away."""
    async with playing() as sandbox, client(sandbox, subprotocol, given="nonsense") as official:
        await wait_until(official.ends)
        assert {"connected": True} not in official.said
        (end,) = official.ends()
        assert (
            end
            == {
                LEGACY: {"message": "The access token is invalid"},
                TRANSPORT: {"code": 4403, "reason": "Forbidden"},
                CABLE: {"reason": "unauthorized", "reconnect": False},
            }[subprotocol]
        )


@speaks_all
async def test_an_invalid_document_is_understood(subprotocol: Subprotocol) -> None:
    """The official client tells its user what the server says of a field that does not exist."""
    async with playing() as sandbox, client(sandbox, subprotocol) as official:
        await wait_until(lambda: {"connected": True} in official.said)
        official.tell("subscribe", "wrong", "subscription { nothing }")
        await wait_until(lambda: "Cannot query field" in repr(official.said))
        if subprotocol == TRANSPORT:
            assert "Cannot query field" in repr(official.ends())
        else:
            (result,) = official.results("wrong")
            assert list(result) == ["errors"]
            await wait_until(lambda: official.ends() == ([None] if subprotocol == LEGACY else []))


def _id(result: Any) -> str:
    return XAssistSandbox.canonical(result["data"]["assumedEventChanged"]["event"]["id"])
