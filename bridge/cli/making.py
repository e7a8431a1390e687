"""What a configuration may ask for, made: where webhooks come in, who tells alerts, and what opens sessions."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from bridge.adapter import Adapter
from bridge.cli.broker import ledger_names
from bridge.core.hooks.keys import VerifyEd25519
from bridge.core.lease import Tenant
from bridge.edge import process
from bridge.edge.config.loader import Config
from bridge.edge.ledger.ledger import JetStreamLedger
from bridge.edge.nats.connection import NatsConnection
from bridge.edge.sparing import sparingly
from bridge.engine.source import World

if TYPE_CHECKING:
    from bridge.core.session import Upgrade
    from bridge.edge.ledger.post import JetStreamPost
    from bridge.edge.otlp import SpanExporter
    from bridge.engine.alerts import Alerts
    from bridge.engine.hooks import Hooks
    from bridge.engine.ports import Socket, Sockets
    from bridge.engine.tracing import Tracing


class LateSockets:
    """Implements `bridge.engine.ports.Sockets`. Only who opens a session waits for the library."""

    def __init__(self, agent: str) -> None:
        """`agent`: how we introduce ourselves."""
        self._agent = agent
        self._sockets: Sockets | None = None

    def connect(self, session: Upgrade) -> AbstractAsyncContextManager[Socket]:
        """As `bridge.edge.websocket.WebSockets` does."""
        if self._sockets is None:
            sparingly("websockets")
            from bridge.edge.websocket import WebSockets

            self._sockets = WebSockets(agent=self._agent)
        return self._sockets.connect(session)


def take_webhooks(adapters: Iterable[Adapter[Any]]) -> bool:
    """Whether any of these sources does."""
    return any(adapter.hook is not None for adapter in adapters)


def make_hooks(config: Config, ledger: JetStreamLedger) -> Hooks:
    """Where webhooks come in, without a door yet."""
    # Only who takes webhooks waits for it.
    from bridge.engine.hooks import Hooks

    return Hooks(
        process.wall,
        answer_timeout_s=config.ingress.answer_timeout_s,
        ed25519=_ed25519,
        # The other half of the largest message is for headers, and for what JSON spells longer than it came.
        room=lambda: ledger.max_payload // 2,
    )


def make_alerts(config: Config, connection: NatsConnection, world: World) -> tuple[Alerts | None, JetStreamPost | None]:
    """The alerts of a configuration, not running, and what is to be told when the connection is lost."""
    if not config.alerts:
        return None, None
    # Only who has alerts waits for what they need.
    from bridge.cli.alerting import alerting

    return alerting(config.alerts, connection, ledger_names(config.nats), world)


def make_tracing(config: Config, me: Tenant) -> tuple[Tracing | None, SpanExporter | None]:
    """What tells of spans, and what brings them to the collector, not running; None where nobody asked for it."""
    settings = config.tracing
    if settings is None:
        return None, None
    # Only who switches it on waits for it.
    from bridge.edge.otlp import SpanExporter
    from bridge.engine.tracing import Tracing

    exporter = SpanExporter(
        settings.endpoint,
        settings.token,
        {
            "service.name": "bridged",
            "service.version": me.build,
            "service.instance.id": me.instance,
            "host.name": me.host,
            "process.pid": me.pid,
        },
    )
    return Tracing(exporter, begin=process.trace, now_ns=process.wall_ns, ratio=settings.ratio), exporter


def _ed25519() -> VerifyEd25519:
    from bridge.edge import ed25519

    return ed25519.verify
