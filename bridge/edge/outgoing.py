"""What requests and sockets to vendors share: TLS, secrets revealed as they leave, and why a host cannot be reached."""

from __future__ import annotations

import functools
import socket
import ssl
from collections.abc import Mapping

from bridge.core.errors import Refused
from bridge.core.record import Json
from bridge.core.secret import Secret
from bridge.core.url import printable

# OpenSSL's numbers for why it does not trust a certificate (`X509_V_ERR_…`).
_CERTIFICATE = {
    9: "its certificate is not valid yet; check this machine's clock",
    10: "its certificate has expired; tell the vendor, and check this machine's clock",
    18: "its certificate is self-signed; if that is meant to be, configure it as CA file",
    **dict.fromkeys((19, 20, 21), "its certificate comes from an unknown authority; configure the authority's CA file"),
    62: "its certificate is for another host name; check the configured URL",
    64: "its certificate is for another address; check the configured URL",
}


def tls(ca_file: str | None) -> ssl.SSLContext:
    """The context for all connections that trust the system's authorities, and those of `ca_file` (PEM).

    Without a file it is always the same one: each costs a megabyte and 20 ms. Raises Refused when the file cannot be
    used.
    """
    if ca_file is None:
        return _system()
    context = _fresh()
    try:
        context.load_verify_locations(ca_file)
    except (OSError, ssl.SSLError) as error:
        raise Refused(f"CA file {ca_file}: {error.strerror or error}; expected a PEM file") from error
    return context


@functools.cache
def _system() -> ssl.SSLContext:
    return _fresh()


def _fresh() -> ssl.SSLContext:
    context = ssl.create_default_context()
    # Also where Python or the system's OpenSSL are set up to go lower.
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    return context


def revealed(value: Json) -> Json:
    """`value` with every `Secret` in it replaced by what it hides: for bytes that leave at once."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Mapping):
        return {key: revealed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [revealed(item) for item in value]
    return value


def header_problem(headers: Mapping[str, str | Secret]) -> str:
    """Why one of these cannot be sent, named by where it was configured; "" if all can."""
    for name, value in headers.items():
        plain = revealed(value)
        if not plain.isascii() or not plain.isprintable():
            origin = f" ({value.origin})" if isinstance(value, Secret) and value.origin else ""
            return (
                f"the value of header {name}{origin} holds a character that no header may hold, "
                "perhaps a line break at its end"
            )
    return ""


def unresolved(host: str) -> str:
    """That nobody knows the address of `host`, and what to do."""
    return f"the name {host} cannot be resolved; check the configured URL, and this machine's DNS"


def unreachable(error: OSError, host: str, scheme: str) -> str:
    """Why there is no connection to `host`, and what to do. `scheme`: what its port should speak (`https`, `wss`)."""
    if isinstance(error, ssl.SSLCertVerificationError):
        other = f"its certificate is not accepted (OpenSSL reason {error.verify_code}); check it, and the CA file"
        return f"{host} cannot be trusted: {_CERTIFICATE.get(error.verify_code, other)}"
    if isinstance(error, socket.gaierror):
        return unresolved(host)
    if isinstance(error, ssl.SSLError):
        reason = printable(str(error.reason or "no reason given")).replace("_", " ").lower()
        return f"no TLS with {host} ({reason}); check that the URL's port speaks {scheme}"
    if isinstance(error, ConnectionRefusedError):
        return f"{host} refused the connection; check the configured URL, and whether the vendor is down"
    reason = getattr(error, "strerror", None) or type(error).__name__
    return f"no connection to {host} ({printable(reason)}); check the network"
