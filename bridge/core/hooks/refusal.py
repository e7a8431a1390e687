"""Why a webhook is not taken: errors named after what the sender is answered. Texts show nothing of the request."""

from __future__ import annotations

from bridge.core.errors import BridgeError


class Unverified(BridgeError):
    """Who sent this did not prove to be the configured sender, or sent it too long ago: 401, and nothing is kept."""


class Unsupported(BridgeError):
    """A format we do not read: 415. What is broken in a format that we do read is `Malformed`."""
