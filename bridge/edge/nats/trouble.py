"""What goes wrong between us and NATS, in sentences: what happened, where, since when, what to do.

Foreign texts are never repeated, except the server's own `-ERR` line: they may hold what must not be shown.
"""

from __future__ import annotations

import datetime
import errno
import re
import socket
import ssl
from dataclasses import dataclass

import nats.errors

from bridge.core.errors import Away, BridgeError
from bridge.edge.nats.options import NatsMisconfigured, NatsOptions

_DENIED = re.compile(r"permissions violation for (publish|subscription)\b[^\"]*\"([^\"]*)\"", re.IGNORECASE)
_MANY = (["in"], ["cursor"], ["tin"], ["tcursor"])
_UNAUTHORIZED = ("authorization violation", "authorization failed", "authentication expired", "authentication revoked")


class NatsUnauthorized(BridgeError):
    """NATS refuses our credentials, and will go on refusing them: a human is called."""


class NatsUnreachable(Away):
    """NATS was not reached within the time given."""


@dataclass(frozen=True, slots=True)
class Denied:
    """A subject we may not use. `action` is `publish` or `subscribe`."""

    action: str
    subject: str

    @property
    def grant(self) -> str:
        """What a permission names: of one event or cursor all of them, of one acknowledgement all of that consumer."""
        tokens = self.subject.split(".")
        if tokens[0] == "bridge" and tokens[1:2] in _MANY:
            return ".".join([*tokens[:2], ">"])
        return ".".join([*tokens[:4], ">"]) if tokens[:2] == ["$JS", "ACK"] and len(tokens) == 9 else self.subject


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why one attempt failed. `kind` is one word; two troubles with the same kind and server are the same news."""

    kind: str
    server: str
    what: str
    hint: str = ""

    def sentence(self, since: float, attempts: int) -> str:
        """For people. `since` in seconds since the Unix epoch."""
        when = datetime.datetime.fromtimestamp(since, datetime.UTC).isoformat(timespec="seconds")
        tries = "" if attempts < 1 else f", attempt {attempts}" if attempts > 1 else ", first attempt"
        hint = f" {self.hint}" if self.hint else ""
        return f"NATS at {self.server}: {self.what} (since {when}{tries}).{hint}"


def denied(text: str) -> Denied | None:
    """The subject of a permission violation, if the server's `-ERR` text is one."""
    match = _DENIED.search(text)
    if match is None:
        return None
    return Denied("publish" if match[1].lower() == "publish" else "subscribe", match[2])


def diagnose(error: BaseException, server: str, options: NatsOptions) -> Trouble:
    """What an exception of nats-py, asyncio or ssl means."""
    if isinstance(error, nats.errors.Error) and error.__cause__ is not None:
        error = error.__cause__
    host = options.tls_hostname or server.rpartition(":")[0]
    text = str(error).lower()
    if isinstance(error, NatsMisconfigured):
        return Trouble("misconfigured", server, str(error).removeprefix("NATS: "))
    if any(word in text for word in _UNAUTHORIZED):
        what = f"it refuses {options.login}"
        return Trouble("unauthorized", server, what, "Check them against the server's accounts and users.")
    if isinstance(error, ssl.SSLCertVerificationError):
        ca = options.tls_ca or "the system's certificate authorities"
        what = f"its certificate is not accepted for {host!r}: {error.verify_message or error.reason}"
        return Trouble("tls", server, what, f"Check the host name, the certificate's names and dates, and {ca}.")
    if isinstance(error, ssl.SSLError):
        hint = "Check that both sides use TLS, and the client certificate if the server asks for one."
        return Trouble("tls", server, f"the TLS handshake failed: {error.reason or type(error).__name__}", hint)
    if isinstance(error, nats.errors.SecureConnWantedError):
        hint = "Use nats:// without TLS settings to go on in the clear, or switch on TLS at the server."
        return Trouble("tls", server, "it offers no TLS, and TLS is configured: nothing was sent", hint)
    if isinstance(error, socket.gaierror):
        return Trouble("unknown_host", server, f"the name {host!r} cannot be resolved", "Check the name and the DNS.")
    if isinstance(error, nats.errors.StaleConnectionError) and "eof" not in text:
        return Trouble("silent", server, "it stopped answering pings")
    if isinstance(error, TimeoutError):
        hint = "Check the address, the firewall, and whether the server expects TLS first."
        return Trouble("silent", server, f"no answer within {options.connect_timeout_s:g} s", hint)
    if isinstance(error, (EOFError, ConnectionResetError, BrokenPipeError)) or "eof" in text:
        return Trouble("closed", server, "it closed the connection")
    if isinstance(error, OSError):
        if error.errno == errno.ECONNREFUSED or "connect call failed" in text:
            return Trouble("refused", server, "connection refused", "Is nats-server running there?")
        return Trouble("network", server, error.strerror or type(error).__name__)
    if isinstance(error, nats.errors.Error):
        if "expecting info" in text or "json parse" in text:
            hint = "Check the port; a server that wants TLS first needs tls_handshake_first."
            return Trouble("protocol", server, "what answers there does not greet like a NATS server", hint)
        return Trouble("error", server, f"it says {text.removeprefix('nats: ')}")
    return Trouble("bug", server, f"unexpected {type(error).__name__}")
