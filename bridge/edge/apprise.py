"""Alerts through Apprise: chat, mail, push and text messages, each said by one URL.

Apprise blocks, so each call has a thread of its own, which may hang without holding up anybody else. The library,
with all its plugins, is loaded in that thread too, and only when there is an alert to send.

An Apprise URL is a secret as a whole: it is never shown, and neither is anything that Apprise says, which may quote it.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import time
from dataclasses import dataclass, field
from threading import Lock, Thread
from typing import TYPE_CHECKING

import anyio
from anyio import from_thread
from anyio.lowlevel import EventLoopToken, current_token

from bridge.core.alerts.alert import Alert
from bridge.core.errors import Refused, Retry
from bridge.core.secret import Secret

if TYPE_CHECKING:
    import apprise

MISSING = "the library Apprise is not installed: pip install 'bridged[alerts]'"

HUNG_S = 600.0
"""After so long a thread that has not come back is given up, and another one may be begun in its place."""

MOST_HUNG = 3
"""Threads of one channel that are given up before nothing more is tried: each of them stays until the process ends."""

_AGAIN_S = 30.0

# Loggers that may quote a URL with what is secret in it. None of them says anything that we do not say better.
_INDISCREET = (
    "apprise", "charset_normalizer", "MARKDOWN", "oauthlib", "paho", "requests", "requests_oauthlib", "slixmpp",
    "urllib3",
)  # fmt: skip

_STATUS = re.compile(r"\berror[= ](\d{3})\b")
_NEVER = frozenset({301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 410, 413, 414, 415, 422})
"""HTTP statuses that say no to this channel or this text, and would to the same again. Redirects are not followed."""

_lock = Lock()


def problem(secret: Secret) -> str | None:
    """Why `secret` is no URL that Apprise can send to, in words that show nothing of it; None if it is one.

    Asks nobody: whether the other side accepts it is found out by `bridged alert test`. Loads Apprise, which blocks.
    """
    if not _installed():
        return MISSING
    try:
        return None if _Line(secret).service() is not None else _hint(secret)
    except Exception as error:  # noqa: BLE001 - a plugin's bug, whose text may quote the URL
        return f"the Apprise URL of {_origin(secret)} cannot be used: its plugin failed with {type(error).__name__}"


class AppriseChannel:
    """Implements `bridge.engine.alert_ports.Channel` for one Apprise URL.

    Redirects are not followed unless the URL says `redirect=yes`; proxies and passwords of the environment are not
    used. A text that is longer than the service takes is cut, unless the URL says `overflow=split`. The time-outs of
    one connection are the URL's (`cto`, `rto`, four seconds each); that Apprise repeats (`retry`) or ignores
    (`optional`) what failed is switched off: we repeat ourselves, until the alert is told.
    """

    def __init__(self, secret: Secret, *, name: str = "") -> None:
        self.name = name or _origin(secret)
        self._secret = secret
        self._line = _Line(secret)
        self._attempt: _Attempt | None = None
        self._hung = 0

    async def send(self, alert: Alert, *, timeout_s: float) -> None:
        """Returns when the service has taken the alert. Raises Retry and Refused, see the port.

        A call that takes longer is left alone: its outcome counts as soon as it is known, and until then no other is
        begun. So one that comes to an end late is not repeated.
        """
        attempt = self._current(alert)
        with anyio.move_on_after(timeout_s):
            await attempt.done.wait()
        if not attempt.over:
            raise Retry(f"{self.name}: no answer within {timeout_s:g} s; the attempt goes on, and may yet count")
        self._attempt = None
        if attempt.refusal:
            raise Refused(f"{self.name}: {attempt.refusal}")
        if attempt.failure:
            raise Retry(f"{self.name}: {attempt.failure}")

    def _current(self, alert: Alert) -> _Attempt:
        attempt = self._attempt
        if attempt is not None and time.monotonic() - attempt.begun > HUNG_S and not attempt.over:
            self._hung += 1
            # What hangs may hold the plugin's own locks: another attempt begins with another one.
            self._line = _Line(self._secret)
            attempt = self._attempt = None
        if attempt is not None and attempt.id == alert.id:
            return attempt.joined()
        if attempt is not None and not attempt.over:
            raise Retry(f"{self.name}: the attempt before has not come back yet", after=_AGAIN_S)
        if self._hung >= MOST_HUNG:
            raise Refused(
                f"{self.name}: {self._hung} attempts never came back; restart the daemon, and look at the service"
            )
        attempt = self._attempt = _Attempt(self._line, alert, current_token())
        attempt.start()
        return attempt


@dataclass(slots=True, eq=False)
class _Attempt:
    """One call of Apprise, in a thread that nobody waits for at the end of the process."""

    line: _Line
    alert: Alert
    token: EventLoopToken
    begun: float = field(default_factory=time.monotonic)
    done: anyio.Event = field(default_factory=anyio.Event)
    over: bool = False
    refusal: str = ""
    failure: str = ""

    @property
    def id(self) -> str:
        return self.alert.id

    def start(self) -> None:
        Thread(target=self._run, name="alert by Apprise", daemon=True).start()

    def joined(self) -> _Attempt:
        """The same, to be waited for once more, perhaps by another event loop."""
        self.done, self.token = anyio.Event(), current_token()
        if self.over:
            self.done.set()
        return self

    def _run(self) -> None:
        try:
            self._deliver()
        except Exception as error:  # noqa: BLE001 - a plugin's bug, whose text may quote the URL
            self.failure = f"Apprise failed with {type(error).__name__}"
        finally:
            self.over = True
            self._tell()

    def _tell(self) -> None:
        try:
            from_thread.run_sync(lambda: self.done.set(), token=self.token)
        except RuntimeError:
            return  # The event loop has ended meanwhile: there is nobody to tell.

    def _deliver(self) -> None:
        service = self.line.service() if _installed() else None
        if service is None:
            self.refusal = _hint(self.line.secret) if _installed() else MISSING
            return
        title, body = " ".join(_whole(self.alert.title).split()), _whole(self.alert.body)
        severity = self.alert.severity
        result = service.notify(
            body=body or title or self.alert.alert,
            title=title if body else "",
            notify_type=severity if severity in ("success", "warning", "failure") else "info",
            body_format=self.line.text,
        )
        if result:
            return
        said = " ".join(entry.message for entry in result.logs())
        status = _STATUS.search(said)
        if status is not None and int(status[1]) in _NEVER:
            self.refusal = (
                f"the service answered with HTTP status {status[1]}; check the URL, and what the service allows"
            )
        elif status is not None:
            self.failure = f"the service answered with HTTP status {status[1]}"
        elif "onnection error" in said:
            self.failure = "the service cannot be reached, or broke off"
        else:
            self.failure = "the service did not take it"


class _Line:
    """The one Apprise object of a channel: services are asked to log us in once, and not more often than they like."""

    def __init__(self, secret: Secret) -> None:
        self.secret = secret
        self.text = ""
        self._service: apprise.Apprise | None = None

    def service(self) -> apprise.Apprise | None:
        """Apprise with the one service of the URL; None if it is no URL. The first call loads the library."""
        if self._service is None:
            self._service = self._opened()
        return self._service

    def _opened(self) -> apprise.Apprise | None:
        with _lock:
            import apprise

            _restrain()
        self.text = apprise.NotifyFormat.TEXT
        asset = apprise.AppriseAsset(
            app_id="bridged",
            app_desc="bridged",
            async_mode=False,
            http_redirects=False,
            interpret_emojis=False,
            pem_autogen=False,
            pgp_autogen=False,
            secure_logging=True,
            service_timeout=0,
            storage_mode="memory",
            timezone="UTC",
        )
        plugin = apprise.Apprise.instantiate(self.secret.reveal().strip(), asset=asset)
        if plugin is None:
            return None
        plugin.optional, plugin.retry = False, 0
        if plugin.overflow_mode == apprise.OverflowMode.UPSTREAM:
            # What is too long would be refused for ever.
            plugin.overflow_mode = apprise.OverflowMode.TRUNCATE
        service = apprise.Apprise(asset=asset)
        service.add(plugin)
        return service


def _restrain() -> None:
    """Nothing the library or its plugins say gets anywhere, and their HTTP is bounded. For the whole process."""
    from bridge.edge import apprise_http

    for name in _INDISCREET:
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.setLevel(logging.WARNING)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
    apprise_http.restrain()


def _hint(secret: Secret) -> str:
    import apprise

    scheme = secret.reveal().strip().partition("://")[0].lower()
    known = apprise.NotificationManager()  # type: ignore[no-untyped-call]
    if scheme in known.schemas():  # type: ignore[no-untyped-call]
        return f"the Apprise URL of {_origin(secret)} lacks what a {scheme}:// URL needs, or has too much of it"
    return f"the text of {_origin(secret)} is no Apprise URL: expected service://… with a service that Apprise knows"


def _whole(text: str) -> str:
    """Without halves of surrogate pairs, which a vendor's text may hold and no service takes."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _installed() -> bool:
    return importlib.util.find_spec("apprise") is not None


def _origin(secret: Secret) -> str:
    return secret.origin or "the configuration"
