"""Rules about sources that take webhooks: their secrets, their place in our address, and the door they come in by."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bridge.core.config import IngressSettings
from bridge.core.hooks.keys import Key
from bridge.core.hooks.settings import WebhookSettings
from bridge.core.secret import Secret
from bridge.core.settings import BadSetting, BaseSettings
from bridge.edge.config.convert import Converter
from bridge.edge.config.lines import Path
from bridge.edge.ingress.sockets import address, is_loopback
from bridge.edge.ingress.trouble import IngressMisconfigured

_SEGMENT = re.compile(r"[A-Za-z0-9._~-]+")


def check_ingress(
    converter: Converter,
    ingress: IngressSettings,
    given: Mapping[str, Any],
    sources: Sequence[BaseSettings],
    *,
    complete: bool = True,
) -> None:
    """Report what `[ingress]` cannot be, and what is unwise. `given`: the table as it was written.

    Not `complete`: some source could not be read, and may be one that takes webhooks.
    """
    takers = [source for source in sources if isinstance(source, WebhookSettings) and not source.retired]
    path = ("ingress", "listen")
    try:
        host, _ = address(ingress.listen)
    except IngressMisconfigured as error:
        converter.fail(path, str(error).partition(": ")[2])
        return
    if given and not takers and complete:
        converter.warn(("ingress",), "has no effect: no source takes webhooks")
    elif takers and ingress.tls is None and not is_loopback(host):
        text = "webhooks come in unencrypted, from other machines too: set [ingress.tls], or listen on 127.0.0.1 and "
        text += "have a proxy in front that speaks TLS"
        if any(taker.verify in ("bearer", "basic") for taker in takers):
            text += "; whoever listens on the way learns the tokens and passwords of the senders"
        converter.warn(path, text)


def check_hook(converter: Converter, ingress: IngressSettings | None, settings: WebhookSettings, path: Path) -> None:
    """Report secrets that are no keys, and what does not go with `[ingress]`."""
    if not _SEGMENT.fullmatch(settings.name):
        text = "expected letters, digits, -, _ and . only: it is a part of the address that senders post to"
        converter.fail((*path, "name"), text)
    for index, secret in enumerate(settings.secrets):
        if secret:
            _check_secret(converter, settings, secret, (*path, "secrets", index))
    for index, text in enumerate(settings.public_keys):
        _check_secret(converter, settings, Secret(text, "public_keys"), (*path, "public_keys", index))
    if settings.verify == "hmac" and settings.hmac is not None:
        for key, text in settings.hmac.scheme.warnings():
            converter.warn((*path, "hmac", key), text)
    if settings.verify == "mtls" and (ingress is None or ingress.tls is None or ingress.tls.client_ca is None):
        text = "no client can show a certificate: set client_ca, and cert and key, in [ingress.tls]"
        converter.fail((*path, "verify"), text)


def _check_secret(converter: Converter, settings: WebhookSettings, secret: Secret, path: Path) -> None:
    try:
        if settings.verify == "standard":
            key = Key.parse(secret)
        elif settings.verify == "hmac" and settings.hmac is not None:
            key = Key.raw(secret, settings.hmac.key)
        else:
            return
    except BadSetting as error:
        converter.fail(path, str(error))
        return
    if key.kind == "private":
        converter.fail(path, "a private key signs: to verify, set the sender's public key, which begins with whpk_")
    elif path[-2] == "public_keys" and key.kind != "public":
        # It stands in the file for everybody to read.
        converter.fail(path, "expected a public key, which begins with whpk_; any other is a secret, and refused here")
    elif key.weak:
        converter.warn(path, key.weak)
