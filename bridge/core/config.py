"""The daemon's own settings, as plain data: what `[nats]` and `[daemon]` may say, and what each key means.

The classes are the one declaration: the loader (`bridge/edge/config/loader.py`), the JSON Schema and `check`
are made from their types, defaults and `doc` texts. Sources are declared by their adapters, in the same way.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from bridge.core.secret import Secret

EMBEDDED = "embedded"
"""The `nats.url` that means: run a private nats-server."""


def option(
    default: Any = dataclasses.MISSING,
    *,
    doc: str,
    path: Literal["", "file", "folder"] = "",
    at_least: float | None = None,
) -> Any:
    """Declare one configuration key.

    `path`: the value is a path, relative to the configuration file's folder; a "file" must exist.
    `at_least`: the smallest number allowed.
    """
    metadata = {"doc": doc, "inferred": False, "path": path, "at_least": at_least}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class TlsSettings:
    """`[nats.tls]`: how the connection to NATS is encrypted. Paths are absolute once loaded."""

    ca: str | None = option(None, doc="file of the authorities to trust; default: the system's", path="file")
    cert: str | None = option(None, doc="file of our own certificate, for mutual TLS", path="file")
    key: str | None = option(None, doc="file of the private key that belongs to `cert`", path="file")
    hostname: str | None = option(None, doc="the name the server's certificate must carry; default: the URL's host")
    handshake_first: bool = option(False, doc="speak TLS before the server's greeting; the server must do so too")


@dataclass(frozen=True, kw_only=True)
class NatsSettings:
    """`[nats]`: where the stream lives and how to log in there."""

    url: str | list[str] = option(
        EMBEDDED,
        doc='"embedded" runs a private nats-server; else one address or several: nats://, tls://, ws:// or wss://',
    )
    tls: TlsSettings | None = option(None, doc="encryption; a table with ca, cert, key, hostname, handshake_first")
    plaintext: bool = option(
        False,
        doc="let credentials and events travel unencrypted to servers on other machines: only within a network where "
        "nobody else listens, such as a container's",
    )
    creds: str | None = option(None, doc="credentials file of a NATS account (JWT and seed)", path="file")
    nkey: Secret | None = option(None, doc="seed of an NKey")
    user: str | None = option(None, doc="user name; needs `password`")
    password: Secret | None = option(None, doc="password of `user`")
    token: Secret | None = option(None, doc="authentication token")
    manage: Literal["create", "verify"] = option(
        "create", doc='"create" makes what is missing and verifies the rest; "verify" only verifies'
    )
    stream: str = option("BRIDGE", doc="name of the stream")
    state_bucket: str = option("bridge-state", doc="name of the KV bucket of current state")
    lease_bucket: str = option("bridge-leases", doc="name of the KV bucket of leases: who works for which source")
    max_age_days: float = option(90.0, doc="how long the stream keeps events (days)", at_least=0.01)
    telemetry_stream: str = option(
        "BRIDGE_TELEMETRY", doc="name of the telemetry stream; made if a source has telemetry"
    )
    telemetry_max_age_days: float = option(7.0, doc="how long the telemetry stream keeps events (days)", at_least=0.01)
    replicas: int = option(1, doc="copies of stream and buckets in a cluster", at_least=1)
    domain: str | None = option(None, doc="JetStream domain")
    api_prefix: str | None = option(None, doc="subject prefix of an imported JetStream API; instead of `domain`")
    inbox_prefix: str = option("_INBOX", doc="subject prefix of the replies we receive")
    content_mode: Literal["binary", "structured"] = option(
        "binary", doc='how CloudEvents are written: "binary" (headers) or "structured" (one JSON document)'
    )
    sync_always: bool = option(
        True, doc="embedded only: acknowledge nothing before it is on disk; false: flush every two minutes"
    )

    @property
    def embedded(self) -> bool:
        """Whether we run the server ourselves."""
        return self.url == EMBEDDED

    @property
    def urls(self) -> tuple[str, ...]:
        """The servers to connect to; none when embedded."""
        if self.embedded:
            return ()
        return (self.url,) if isinstance(self.url, str) else tuple(self.url)


@dataclass(frozen=True, kw_only=True)
class DaemonSettings:
    """`[daemon]`: what concerns this process. `state_dir` is absolute once loaded."""

    state_dir: str = option(
        "",
        doc="folder of the embedded NATS store; default: $STATE_DIRECTORY, else ~/.local/state/bridged",
        path="folder",
    )
    log_level: Literal["debug", "info", "warning", "error"] = option("info", doc="the lowest level that is logged")
    log_format: Literal["auto", "json", "console"] = option(
        "auto", doc='"json": one object a line; "console": for people; "auto": console on a terminal, else json'
    )
    instance: str | None = option(
        None,
        doc="name of this daemon among those that share the stream; default: the host's name. A restarted daemon takes "
        "its own sources back at once by this name",
    )
    lease_s: float = option(
        10.0,
        doc="how long a daemon that died or stands still keeps its sources (seconds); another takes over after that",
        at_least=1,
    )
    share: bool = option(
        True,
        doc="whether sources are spread evenly over all instances that share them; false: this one keeps what it has "
        "and takes what nobody holds, as for a pair of which one stands by",
    )


@dataclass(frozen=True, kw_only=True)
class IngressTlsSettings:
    """`[ingress.tls]`: our certificate, and who may show one to us. Paths are absolute once loaded."""

    cert: str = option(doc="file of our certificate chain", path="file")
    key: str = option(doc="file of the private key that belongs to `cert`", path="file")
    client_ca: str | None = option(
        None, doc="file of the authorities whose client certificates are accepted, for mutual TLS", path="file"
    )


@dataclass(frozen=True, kw_only=True)
class IngressSettings:
    """`[ingress]`: where webhooks come in. Opened only if a source takes webhooks."""

    listen: str = option(
        "127.0.0.1:8791", doc="address and port, such as 0.0.0.0:8791 or [::]:8791; port 0: any free one"
    )
    tls: IngressTlsSettings | None = option(None, doc="encryption; a table with cert, key, client_ca")
    max_connections: int = option(1000, doc="connections at once; more are closed at once", at_least=1)
    header_timeout_s: float = option(
        10.0, doc="a request line and headers that take longer end the connection", at_least=0.1
    )
    idle_timeout_s: float = option(
        75.0,
        doc="a connection without a request is closed after that; more than a load balancer in front of us takes",
        at_least=0.1,
    )
    body_timeout_s: float = option(20.0, doc="a body that takes longer is answered with 408", at_least=0.1)
    answer_timeout_s: float = option(
        10.0,
        doc="a delivery that NATS has not stored by then is answered with 503: the sender tries again",
        at_least=0.1,
    )


STATUS_LISTEN = "127.0.0.1:8790"
"""Where `[status]` listens unless it says otherwise."""


@dataclass(frozen=True, kw_only=True)
class StatusSettings:
    """`[status]`: the page for people, health and metrics, over HTTP."""

    enabled: bool = option(True, doc="whether they are served at all")
    listen: str | None = option(
        None,
        doc="address and port; default: 127.0.0.1:8790. Where the default is taken by another program the daemon runs "
        "without; an address named here must be free before the daemon counts as ready",
    )
    token: Secret | None = option(
        None, doc="bearer token that page and metrics ask for; needed where `listen` is not a loopback address"
    )


@dataclass(frozen=True, kw_only=True)
class TracingSettings:
    """`[tracing]`: spans to an OpenTelemetry collector, by OTLP over HTTP. Needs the extra `tracing`."""

    endpoint: str = option(doc="where spans are sent, such as https://host/v1/traces; http on this machine only")
    token: Secret | None = option(None, doc="bearer token for the collector")
    ratio: float = option(1.0, doc="share of traces that are recorded, 0 to 1; decided by the trace id", at_least=0)
