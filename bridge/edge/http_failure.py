"""What went wrong in an HTTP exchange, in words: from aiohttp's exceptions to what happened and what to do."""

from __future__ import annotations

import ssl

import aiohttp

from bridge.edge.outgoing import unreachable, unresolved


def explain(error: Exception, host: str) -> str:
    """What happened with `host`, and what to do. Never the exception's own text: that may quote URLs and headers."""
    cause: object = error
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
    elif isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return unresolved(host)
    if isinstance(cause, ssl.SSLError | ConnectionRefusedError):
        return unreachable(cause, host, "https")
    if isinstance(error, aiohttp.ClientConnectorError):
        return unreachable(error.os_error, host, "https")
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer broke off or cannot be unpacked; nothing of it was used"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | ConnectionError):
        return f"{host} cut the connection before it had answered"
    if isinstance(error, aiohttp.ClientResponseError | ValueError):
        # ValueError: what aiohttp raises, here and there, for bytes that are no HTTP.
        return "the answer is not HTTP; check the configured URL"
    return f"the exchange with {host} failed ({type(error).__name__})"
