"""How a command that only looks reaches the daemon's NATS, and what it says when it cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bridge.cli.broker import PermissionMissing, visitor_options
from bridge.core.errors import Away
from bridge.core.secret import Masker
from bridge.edge import logging
from bridge.edge.config.loader import Config
from bridge.edge.embedded.files import EmbeddedNatsFailed
from bridge.edge.ledger.layout import LIVE
from bridge.edge.nats.connection import Denied, NatsConnection, NatsUnreachable, connect

GIVE_UP_AFTER_S = 10.0
GIVE_UP_EMBEDDED_S = 3.0
"""A server on this machine answers at once or not at all."""


@asynccontextmanager
async def visiting(config: Config, masker: Masker | None = None) -> AsyncIterator[NatsConnection]:
    """A connection to the NATS of `config`, for looking only. Nothing but errors is logged from here on.

    Raises EmbeddedNatsFailed when the embedded server is not running, NatsUnreachable, NatsUnauthorized,
    NatsMisconfigured; PermissionMissing in place of an Away that a missing permission explains.
    """
    logging.configure("error", config.daemon.log_format, masker or Masker(config.secrets))
    options = visitor_options(config)
    patience_s = GIVE_UP_EMBEDDED_S if config.nats.embedded else GIVE_UP_AFTER_S
    try:
        async with connect(options, give_up_after_s=patience_s) as connection:
            try:
                yield connection
            except Away as error:
                if denied := hindrances(connection):
                    text = f"NATS denies this user {denied[0].action} on {denied[0].subject}; grant it and ask again"
                    raise PermissionMissing(text) from error
                raise
    except NatsUnreachable as error:
        if not config.nats.embedded:
            raise
        raise EmbeddedNatsFailed(
            f"the embedded NATS server of {config.daemon.state_dir} is not running, or does not answer "
            f"({', '.join(options.urls)}): it runs while `bridged run` does; see its log, or start that with this "
            "configuration"
        ) from error


def hindrances(connection: NatsConnection) -> list[Denied]:
    """What NATS has refused us and we cannot do without. Not being told of news is none: then we look for them."""
    return [one for one in connection.denied if one.action == "publish" or not one.subject.startswith(f"{LIVE}.")]
