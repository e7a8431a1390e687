"""Two instances that find the same and make the view anew at once: one of them is done, the other tries again."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.core.errors import Away
from bridge.core.record import Json
from bridge.edge.ledger.layout import LedgerNames, establish, stream_config
from bridge.edge.nats.jetstream import JetStream
from tests.support.asking import plain_client
from tests.support.nats_server import nats_server

pytestmark = pytest.mark.anyio

NAMES = LedgerNames()


async def test_a_view_that_two_make_anew_at_once_is_away_until_one_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other removes what we have just made, to make it itself: that means later, not: broken. Then all is well."""
    async with nats_server(tmp_path) as server, plain_client(server.url) as client:
        js = JetStream(client, deadline_s=30)
        await establish(js, NAMES)
        await js.call("STREAM.DELETE.BRIDGE")
        await js.call("STREAM.CREATE.BRIDGE", stream_config(NAMES))
        ask = js.call
        removed = 0

        async def call(subject: str, body: Json = None, *, walks: bool = False) -> Json:
            nonlocal removed
            answer = await ask(subject, body, walks=walks)
            if subject == "STREAM.CREATE.KV_bridge-state":
                await ask("STREAM.DELETE.KV_bridge-state")
                removed += 1
            return answer

        with monkeypatch.context() as patch:
            patch.setattr(js, "call", call)
            with pytest.raises(Away, match="the view was made anew, and cannot be read now"):
                await establish(js, NAMES)
        assert removed == 1
        # As seen by who comes next, or tries again.
        await establish(js, NAMES)
        assert (await establish(js, LedgerNames(manage="verify"))).last_seq == 0
