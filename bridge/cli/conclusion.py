"""Which known conditions end a command, and with which exit code. Imported where something has gone wrong: it knows
all that can, and that takes a while.
"""

from __future__ import annotations

from bridge.cli.broker import PermissionMissing
from bridge.cli.exits import Exit
from bridge.core.errors import Away, BridgeError, Unfit
from bridge.edge.embedded.files import EmbeddedNatsFailed
from bridge.edge.ingress.trouble import CannotListen, IngressMisconfigured, ListenForbidden
from bridge.edge.ledger.layout import JetStreamOff, ServerTooOld
from bridge.edge.nats.options import NatsMisconfigured
from bridge.edge.nats.trouble import NatsUnauthorized, NatsUnreachable
from bridge.edge.operator.tail import StreamMissing

_EXITS: list[tuple[type[BaseException], Exit]] = [
    (PermissionMissing, Exit.NOPERM),
    (NatsUnauthorized, Exit.NOPERM),
    (NatsMisconfigured, Exit.CONFIG),
    (NatsUnreachable, Exit.UNAVAILABLE),
    (EmbeddedNatsFailed, Exit.UNAVAILABLE),
    (ServerTooOld, Exit.UNAVAILABLE),
    (JetStreamOff, Exit.UNAVAILABLE),
    (StreamMissing, Exit.UNAVAILABLE),
    (IngressMisconfigured, Exit.CONFIG),
    (ListenForbidden, Exit.NOPERM),
    (CannotListen, Exit.UNAVAILABLE),
    (Unfit, Exit.CONFIG),
    (Away, Exit.TEMPFAIL),
    (BridgeError, Exit.SOFTWARE),
]
"""The first row that fits counts."""


def exit_code(error: BaseException) -> Exit | None:
    """The exit code of a known condition; None for what is a bug."""
    return next((code for kind, code in _EXITS if isinstance(error, kind)), None)
