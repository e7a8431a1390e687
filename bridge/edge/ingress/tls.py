"""Our side of TLS: the certificate we show, and whom a client's certificate names."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

from bridge.core.config import IngressTlsSettings
from bridge.edge.ingress.trouble import IngressMisconfigured


def context(settings: IngressTlsSettings) -> ssl.SSLContext:
    """TLS 1.2 or later, with our certificate.

    With `client_ca`, a client is asked for a certificate of these authorities. One that shows none is let in all the
    same, since one port serves several sources and only some demand it; one that shows a wrong one is not.
    Raises IngressMisconfigured when a file cannot be used.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.options |= ssl.OP_NO_RENEGOTIATION
    made.set_alpn_protocols(["http/1.1"])
    try:
        # A key with a pass phrase would be asked for on the terminal, and the daemon wait there.
        made.load_cert_chain(settings.cert, settings.key, password=lambda: b"")
    except (OSError, ValueError) as error:
        raise IngressMisconfigured(
            f"[ingress.tls] cert {settings.cert}, key {settings.key}: {_reason(error)}; expected two PEM files that "
            "belong together, the key without a pass phrase"
        ) from error
    if settings.client_ca is not None:
        try:
            made.load_verify_locations(settings.client_ca)
        except (OSError, ValueError) as error:
            raise IngressMisconfigured(
                f"[ingress.tls] client_ca {settings.client_ca}: {_reason(error)}; expected a PEM file"
            ) from error
        made.verify_mode = ssl.CERT_OPTIONAL
    return made


def names(tls: ssl.SSLObject | ssl.SSLSocket | None) -> Sequence[str]:
    """Whom the client's certificate names: common name, DNS and URI names, each once. () without a certificate."""
    shown = tls.getpeercert() if tls is not None else None
    if not shown:
        return ()
    subject = (pair for part in _pairs(shown.get("subject")) for pair in _pairs(part))
    common = [pair[1] for pair in subject if pair[0] == "commonName"]
    others = [pair[1] for pair in _pairs(shown.get("subjectAltName")) if pair[0] in ("DNS", "URI")]
    return tuple(dict.fromkeys(str(name) for name in (*common, *others)))


def _pairs(value: object) -> Sequence[tuple[str, str]]:
    return value if isinstance(value, tuple) else ()


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "it is no PEM file").replace("_", " ").lower()
    return getattr(error, "strerror", None) or "it cannot be used"
