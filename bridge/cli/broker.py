"""How the NATS server of a configuration is reached, and what things are called there."""

from __future__ import annotations

from pathlib import Path

from bridge.core.config import NatsSettings, TlsSettings
from bridge.edge.config.loader import Config
from bridge.edge.embedded.server import read_embedded_options
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
    )


def visitor_options(config: Config) -> NatsOptions:
    """How another command on this machine reaches the daemon's NATS. Raises EmbeddedNatsFailed."""
    if config.nats.embedded:
        return read_embedded_options(Path(config.daemon.state_dir))
    return nats_options(config.nats)


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
