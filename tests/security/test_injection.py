"""What a vendor writes as an id, a kind or a version stays one: it becomes no subject, header or message of its own."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import anyio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bridge.core.errors import Malformed
from bridge.core.mapping import Mapper, identity
from bridge.core.record import Record
from bridge.core.secret import Masker
from bridge.core.subject import untoken
from bridge.edge.codec import decode, encode
from bridge.edge.ledger.ledger import JetStreamLedger
from bridge.edge.nats.connection import connect
from bridge.edge.nats.options import NatsOptions
from bridge.engine.ports import Stored
from bridge.engine.scribe import Note, Scribe
from tests.support.asking import plain_client, plain_jetstream
from tests.support.nats_server import nats_server_blocking

VENDOR, SOURCE = "acme", "ma.in *>"
FORGED = "1\r\nNats-Rollup: all\r\nNats-TTL: 1s\r\n\r\n{}"
WORDS = [
    "\r\n", "\n", "\r", "\0", "\t", " ", ".", "..", "*", ">", "$JS.API", "$SYS", "_INBOX", "=", "=h", "=2E", "%0D%0A",
    "\u2028", "\u2029", "\x85", "\x1b[2J", "\u202e", "\ufeff", "\ufffe", "é", "\U0001f600", "\ud800", "\udfff", "a",
    "Nats-Msg-Id: x\r\n", "Nats-Expected-Last-Subject-Sequence: 9", "PUB x 1\r\nx\r\n", ": ", ",", '"', "\\", "/", "#",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(WORDS) | st.text(max_size=3), min_size=1, max_size=8).map("".join)
MEANT = {
    "ce-specversion", "ce-id", "ce-source", "ce-type", "ce-time", "ce-datacontenttype", "ce-via", "ce-observedtime",
    "ce-subject", "Bridge-Digest", "Bridge-Id", "Bridge-Subject", "Bridge-Version", "Content-Type",
    "Nats-Expected-Last-Subject-Sequence",
    "Nats-Expected-Last-Subject-Sequence-Subject", "Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit",
    "Nats-Subject", "Nats-Stream", "Nats-Sequence",
}  # fmt: skip
"""Names of headers that an event of ours may have."""
MAPPER = Mapper({"name": "name", "any": "any as text"})
ID = identity("id")


def scribe(*, structured: bool) -> Scribe:
    """As a source has it, with a secret that no event may show."""
    return Scribe(
        vendor=VENDOR, source=SOURCE, type_prefix="test.acme", mapping_version="1", omits=(), keep_raw=True,
        encode=encode, limit=1_000_000, wall=lambda: 1_700_000_000_000, masker=Masker(), structured=structured,
    )  # fmt: skip


def noted(by: Scribe, row: dict[str, Any]) -> Note:
    """From what a vendor sent to what is to be published, as the engine does it; over the wire as JSON, too."""
    row = decode(json.dumps(row).encode())
    try:
        record = Record(row["kind"], ID(row), MAPPER(row), version=row["rev"], raw=row)
    except Malformed as error:
        return by.quarantine(Malformed(str(error), raw=b"row"), "walk")
    return by.note(record, "catchup")


async def through(url: str, rows: list[dict[str, Any]], *, structured: bool) -> None:
    """Publish them as the daemon does, read them back as a stranger does, and compare."""
    by = scribe(structured=structured)
    unique: dict[Any, tuple[Any, dict[str, Any]]] = {}
    for row in rows:
        note, event = by.seal(noted(by, row), "created", None, None)
        unique[note.key] = (event, row)
    async with connect(NatsOptions(urls=(url,))) as connection, plain_client(url) as stranger:
        ledger = JetStreamLedger(connection.client, deadline_s=30, patience_s=30)
        await ledger.prepare()
        js = plain_jetstream(stranger)
        await js.purge_stream("BRIDGE")
        book = await ledger.open(VENDOR, SOURCE, {"instance": "test"})
        before = (await js.stream_info("BRIDGE")).state
        outcomes = await book.append([event for event, _ in unique.values()])
        state = (await js.stream_info("BRIDGE")).state
        assert state.messages - before.messages == len(unique), "a text became a message of its own"
        assert {info.config.name for info in await js.streams_info()} <= {
            "BRIDGE", "KV_bridge-state", "KV_bridge-leases"
        }  # fmt: skip
        for (event, row), outcome in zip(unique.values(), outcomes, strict=True):
            assert isinstance(outcome, Stored), outcome
            message = await js.get_msg("BRIDGE", outcome.seq)
            headers = message.headers or {}
            tokens = (message.subject or "").split(".")
            assert len(tokens) == 6
            assert all(token.isascii() and token.isprintable() and " " not in token for token in tokens)
            assert tokens[0] == "events"
            assert not {"*", ">"} & set("".join(tokens))
            body = json.loads(message.data or b"")
            data = body["data"] if structured else body
            if tokens[3] == "quarantine":
                assert data["after"]["reason"]
                continue
            assert untoken(tokens[2]) == SOURCE
            id_ = row["id"]
            known = untoken(tokens[5])
            assert known == id_ or tokens[5] == "=h" + hashlib.sha256(id_.encode("utf-8", "surrogatepass")).hexdigest()
            assert data["id"] == id_
            assert data["after"]["name"] == row["name"]
            assert event.key.id == id_
            assert set(headers) <= MEANT
            assert all(value.isascii() and value.isprintable() for value in headers.values()), headers
            named = headers.get("ce-subject") or headers["Bridge-Subject"]
            assert unquote(named, errors="surrogatepass") == id_
            assert unquote(headers["Bridge-Version"], errors="surrogatepass") == row["rev"]


def test_no_text_of_a_vendor_leaves_its_place(tmp_path: Path) -> None:
    """Line breaks, wildcards, dots, NUL, separators, half pairs: over a real server, and read back by plain nats-py."""
    rows = st.lists(
        st.fixed_dictionaries({"id": TEXTS, "kind": TEXTS, "rev": TEXTS, "name": TEXTS, "any": TEXTS}),
        min_size=1,
        max_size=12,
    )
    forged: list[dict[str, Any]] = [
        {"id": text, "kind": text, "rev": text, "name": text, "any": text} for text in (FORGED, *WORDS)
    ]
    forged.append({"id": "x" * 100_000, "kind": "k", "rev": "1", "name": "n", "any": 1})
    forged.append({"id": "1", "kind": "k" * 100_000, "rev": "1\r\n" * 30_000, "name": "n" * 900_000, "any": 1})

    with nats_server_blocking(tmp_path) as server:

        @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(rows=rows, structured=st.booleans())
        @example(rows=forged, structured=False)
        @example(rows=forged, structured=True)
        def check(rows: list[dict[str, Any]], structured: bool) -> None:
            anyio.run(lambda: through(server.url, rows, structured=structured))

        check()
