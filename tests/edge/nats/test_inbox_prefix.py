"""Our replies come where the configuration says, also for whoever asks for an inbox before NATS is there."""

from __future__ import annotations

from bridge.edge.ledger.publisher import Publisher
from bridge.edge.nats.client import SteadyClient
from bridge.edge.nats.connection import NatsOptions


def test_an_inbox_from_before_the_connection_has_the_configured_prefix() -> None:
    """The ledger is made before NATS is connected, and the server may allow no other prefix."""
    client = SteadyClient(NatsOptions(urls=("nats://127.0.0.1:4222",), inbox_prefix="_MINE"))
    assert client.new_inbox().startswith("_MINE.")
    assert Publisher(client)._inbox.startswith("_MINE.")
