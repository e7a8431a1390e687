"""What went wrong in an HTTP exchange, in words: from aiohttp's exceptions to what happened and what to do."""

from __future__ import annotations

import ssl

import aiohttp

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


def explain(error: Exception, host: str) -> str:
    """What happened with `host`, and what to do. Never the exception's own text: that may quote URLs and headers."""
    cause: object = error
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
    elif isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
    if isinstance(cause, ssl.SSLCertVerificationError):
        other = f"its certificate is not accepted (OpenSSL reason {cause.verify_code}); check it, and the CA file"
        return f"{host} cannot be trusted: {_CERTIFICATE.get(cause.verify_code, other)}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the name {host} cannot be resolved; check the configured URL, and this machine's DNS"
    if isinstance(cause, ssl.SSLError):
        reason = printable(str(cause.reason or "no reason given")).replace("_", " ").lower()
        return f"no TLS with {host} ({reason}); check that the URL's port speaks https"
    if isinstance(cause, ConnectionRefusedError):
        return f"{host} refused the connection; check the configured URL, and whether the vendor is down"
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = getattr(cause, "strerror", None) or type(cause).__name__
        return f"no connection to {host} ({printable(reason)}); check the network"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer broke off or cannot be unpacked; nothing of it was used"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | ConnectionError):
        return f"{host} cut the connection before it had answered"
    if isinstance(error, aiohttp.ClientResponseError | ValueError):
        # ValueError: what aiohttp raises, here and there, for bytes that are no HTTP.
        return "the answer is not HTTP; check the configured URL"
    return f"the exchange with {host} failed ({type(error).__name__})"
