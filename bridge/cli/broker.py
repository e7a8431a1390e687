"""How the NATS server of a configuration is reached, and what things are called there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from bridge.core.config import NatsSettings, TlsSettings
from bridge.edge.config.loader import Config
from bridge.edge.embedded.server import embedded_nats, read_embedded_options
from bridge.edge.ledger.shape import LedgerNames
from bridge.edge.nats.options import NatsOptions


class PermissionMissing(Exception):
    """NATS refuses us a subject: only an operator can grant it."""


def ledger_names(nats: NatsSettings) -> LedgerNames:
    """How things are called on the server."""
    return LedgerNames(
        stream=nats.stream,
        state_bucket=nats.state_bucket,
        lease_bucket=nats.lease_bucket,
        replicas=nats.replicas,
        max_age_s=nats.max_age_days * 86_400,
        telemetry_stream=nats.telemetry_stream,
        telemetry_max_age_s=nats.telemetry_max_age_days * 86_400,
        domain=nats.domain,
        api_prefix=nats.api_prefix or "$JS.API",
        manage=nats.manage,
    )


def nats_options(nats: NatsSettings) -> NatsOptions:
    """How to reach a NATS that is not embedded."""
    tls = nats.tls or TlsSettings()
    return NatsOptions(
        urls=nats.urls,
        tls_ca=_path(tls.ca),
        tls_cert=_path(tls.cert),
        tls_key=_path(tls.key),
        tls_hostname=tls.hostname,
        tls_handshake_first=tls.handshake_first,
        creds=_path(nats.creds),
        nkey_seed=nats.nkey,
        user=nats.user,
        password=nats.password,
        token=nats.token,
        inbox_prefix=nats.inbox_prefix,
        plaintext=nats.plaintext,
    )


@asynccontextmanager
async def reached(config: Config, meanwhile: Callable[[], object] = lambda: None) -> AsyncIterator[NatsOptions]:
    """How the daemon reaches its NATS, which is not connected yet. An embedded one runs until the block ends.

    `meanwhile`: work of ours that is done while that one starts. Raises EmbeddedNatsFailed.
    """
    if config.nats.embedded:
        folder = Path(config.daemon.state_dir)
        async with embedded_nats(folder, sync_always=config.nats.sync_always, meanwhile=meanwhile) as server:
            yield server.options
    else:
        meanwhile()
        yield nats_options(config.nats)


def visitor_options(config: Config) -> NatsOptions:
    """How another command on this machine reaches the daemon's NATS. Raises EmbeddedNatsFailed."""
    if config.nats.embedded:
        return read_embedded_options(Path(config.daemon.state_dir))
    return nats_options(config.nats)


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
