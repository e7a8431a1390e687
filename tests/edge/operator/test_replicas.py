"""What operators do, on three replicas: it holds wherever the leader goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.edge.ledger.layout import LedgerNames
from bridge.edge.ledger.ledger import JetStreamLedger
from bridge.edge.nats.connection import connect
from bridge.edge.nats.jetstream import JetStream
from bridge.edge.nats.options import NatsOptions
from bridge.edge.operator.forget import Eraser, readings
from bridge.edge.operator.resync import Cursors
from bridge.engine.ports import Cursor
from tests.support.nats_cluster import nats_cluster, step_down
from tests.support.sealing import SOURCE, VENDOR, key, sealed

pytestmark = pytest.mark.anyio

NAMES = LedgerNames(replicas=3)


async def test_what_is_forgotten_or_rewound_stays_so_under_another_leader(tmp_path: Path) -> None:
    """After both, the streams get other leaders: the entity is nowhere, the others and the marked cursor are there."""
    async with (
        nats_cluster(tmp_path) as servers,
        connect(NatsOptions(urls=tuple(server.url for server in servers))) as connection,
    ):
        ledger = JetStreamLedger(connection.client, NAMES, deadline_s=30)
        await ledger.wait_ready()
        book = await ledger.open(VENDOR, SOURCE, {})
        events = [sealed(key(id_), after=id_) for id_ in ("alice", "bob")]
        await book.commit(events, "walk", Cursor({"page": 7}))
        (alice,) = readings(f"{VENDOR}.{SOURCE}.session.alice")
        erased = await Eraser(connection.client, NAMES, settle_s=0.05).erase(alice)
        assert (erased.events, erased.view) == (1, 1)
        cursors = Cursors(connection.client, NAMES, SOURCE)
        assert await cursors.walks() == ["walk"]
        await cursors.rewind(1_000, ["walk"])
        js = JetStream(connection.client, deadline_s=30)
        for stream in ("BRIDGE", "KV_bridge-state"):
            await step_down(js, stream)
        assert (await Eraser(connection.client, NAMES).look(alice)).nothing
        memory = (await ledger.open(VENDOR, SOURCE, {})).memory
        assert list(memory.heads) == [("session", "bob")]
        assert memory.cursors["walk"].value == {"page": 7, "again_from_ms": 1_000}
