"""Why we cannot take requests. Light to import: whoever gives exit codes names these."""

from __future__ import annotations

from bridge.core.errors import BridgeError


class CannotListen(BridgeError):
    """The address is taken, or is not this machine's: it may be free later."""


class ListenForbidden(BridgeError):
    """This user may not open that port."""


class IngressMisconfigured(BridgeError):
    """`[ingress]` says what cannot be: an address that is none, a certificate that cannot be used."""
