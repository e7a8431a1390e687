"""Which machine speaks which sub-protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bridge.core.facts import GraphqlSession, Subprotocol
from bridge.core.wire.cable import Cable
from bridge.core.wire.legacy import Legacy
from bridge.core.wire.moves import Machine
from bridge.core.wire.transport import Transport

_MACHINES: Mapping[Subprotocol, Callable[[GraphqlSession], Machine]] = {
    "graphql-ws": Legacy,
    "graphql-transport-ws": Transport,
    "actioncable-v1-json": Cable,
}


def make(session: GraphqlSession) -> Machine:
    """A fresh machine for one connection of this session. `session.operations` are the shell's to start."""
    return _MACHINES[session.subprotocol](session)
