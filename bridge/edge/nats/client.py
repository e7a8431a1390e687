"""The nats-py client, made steady: whatever happens, it reconnects.

nats-py 2.16 as it comes: closes itself for good on any `-ERR` but two (a user removed and put back); lower-cases
the subject of a permission violation; loops for ever on a credentials file without a JWT; loses its reconnecting
task to an exception it did not think of; waits for minutes to close a connection whose peer is silent; leaks the
socket of every attempt that got no greeting; sends what was pending before the break after it; and speaks in the clear
although `tls://` was asked for; and lets an exception of the event loop's through to whoever sends over a socket that
broke unnoticed. The methods overridden here are not public: the tests of this file say when an
upgrade needs a look.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import random
import re
import time
from collections.abc import Callable
from typing import Any

import nats.errors
from nats.aio.client import DEFAULT_BUFFER_SIZE, Client, Srv
from nats.aio.subscription import Subscription
from nats.protocol.parser import AWAITING_CONTROL_LINE, ERR_RE

from bridge.core.url import host_of, is_loopback
from bridge.edge.nats.options import NatsMisconfigured, NatsOptions, read_creds, read_seed, tls_context
from bridge.edge.nats.transport import Transport

Sink = Callable[[bytes, bytes, bytes], None]
"""Takes subject, reply subject and header block of a message, as they came. Must not raise."""
Catcher = Callable[[bytes, bytes, bytes], None]
"""Takes subject, header block and payload of a message, as they came. Must not raise."""
Taker = Callable[[re.Match[bytes]], None]
"""Takes a message by the groups of its pattern. Must not raise."""

_FIRST_WAIT_S = 0.1
_SOON_S, _SOON_ROUNDS = 0.5, 60
"""For so many rounds, some twenty seconds, no pause is longer: who is back from a restart is not to be waited for."""


class Unusable(nats.errors.Error):
    """An attempt failed in a way nats-py did not expect. The cause is what happened."""


class SteadyClient(Client):
    """One connection to NATS for the life of the process.

    Nothing is buffered while it is away: publishing then raises OutboundBufferLimitError at once.
    """

    def __init__(self, options: NatsOptions) -> None:
        super().__init__()
        self._settings = options
        # nats-py takes it over as it connects, and inboxes are made before that.
        self._inbox_prefix = bytearray(options.inbox_prefix, "utf-8")
        self._attempts = 0
        self._was_connected = False
        self._taps: dict[int, Sink] = {}
        self._catchers: dict[int, Catcher] = {}
        self._usual: list[tuple[Callable[[bytes, int], re.Match[bytes] | None], Taker]] = []

    def tap(self, subscription: Subscription, sink: Sink) -> None:
        """Hand the subscription's messages to `sink` as they come, past nats-py's objects, queue and task."""
        self._taps[subscription._id] = sink

    def untap(self, subscription: Subscription) -> None:
        """Undo `tap`."""
        self._taps.pop(subscription._id, None)

    def catch(self, subscription: Subscription, catcher: Catcher) -> None:
        """Hand the subscription's messages to `catcher`, in the same way, for as long as the connection is used."""
        self._catchers[subscription._id] = catcher

    def take(self, subscription: Subscription, subject: bytes, payload: bytes, taker: Taker) -> None:
        """Hand what looks like this to `taker` before even nats-py's parser sees it, for good.

        `subject`, `payload`: patterns of the whole of either, no line break in them. What has headers or a reply
        subject, or comes behind anything else that has not been parsed yet, goes the usual way.
        """
        pattern = re.compile(rb"MSG %b %d \d+\r\n%b\r\n" % (subject, subscription._id, payload))
        self._usual.append((pattern.match, taker))

    def _skim(self, data: bytes) -> bytes:
        if self._ps.buf or self._ps.state != AWAITING_CONTROL_LINE:
            # The rest of something that has begun.
            return data
        at = 0
        for match, taker in self._usual:
            while (found := match(data, at)) is not None:
                at = found.end()
                taker(found)
        return data[at:] if at else data

    @property
    def is_idle(self) -> bool:
        """Whether `send_now` may be called: connected, and all that was to be sent has left this process."""
        if self._pending_data_size or not self.is_connected or not isinstance(self._transport, Transport):
            return False
        return self._transport.is_idle

    def send_now(self, commands: bytes) -> None:
        """Write without nats-py's queue and task, which cost as much as the writing. Only while `is_idle`."""
        assert isinstance(self._transport, Transport)
        # If it broke just now, the reading task learns of it too, and with it whoever waits for answers.
        with contextlib.suppress(OSError):
            self._transport.write(commands)

    @property
    def attempts(self) -> int:
        """How many attempts have been made since the last success."""
        return self._attempts

    @property
    def address(self) -> str:
        """Host and port of the server in use, or tried last."""
        server = self._current_server
        return server.uri.netloc if server is not None else self._settings.urls[0].partition("://")[2]

    @property
    def servers_known(self) -> int:
        """How many servers are configured or were announced."""
        return len(self._server_pool)

    @property
    def server_info(self) -> dict[str, Any]:
        """What the server said of itself when it greeted us last."""
        return dict(self._server_info)

    @property
    def ssl_context(self) -> Any:
        """Made anew for each attempt: renewed files are taken up."""
        return tls_context(self._settings)

    def login(self) -> dict[str, Any]:
        """nats-py's settings for the credentials. Raises NatsMisconfigured when they cannot be used."""
        options = self._settings
        if options.creds is not None:
            path = options.creds
            _sign(read_creds(path)[1], options.login)
            return {
                "user_jwt_cb": lambda: read_creds(path)[0].encode(),
                "signature_cb": lambda nonce: _sign(read_creds(path)[1], options.login, nonce),
            }
        if options.nkey_seed is not None:
            seed = read_seed(options.nkey_seed)
            _sign(seed, options.login)
            return {"nkeys_seed_str": seed}
        # Called back at each connect, so that nats-py's own options never hold the values.
        if options.password is not None:
            user, password = options.user, options.password
            return {"user": user, "password": lambda: password.reveal()}
        if options.token is not None:
            token = options.token
            return {"token": lambda: token.reveal()}
        return {}

    async def shut(self) -> None:
        """Close for good. What is still pending is dropped: acknowledged or not, its sender knows."""
        if not self.is_connected:
            self._drop_pending()
        await self.close()

    async def _select_next_server(self) -> None:
        """The one tried longest ago; a pause with jitter after each round of all servers."""
        pool = self._server_pool
        rounds, position = divmod(self._attempts, max(1, len(pool)))
        if position == 0 and (rounds > 0 or self._was_connected):
            # After a break all clients of a server come back at once: they too are spread a little.
            wait = longest_pause_s(rounds, self._settings.reconnect_wait_s)
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311  # spreads load, hides nothing
        self._attempts += 1
        server = min(pool, key=lambda known: known.last_attempt or 0.0)
        self._current_server = server
        await self._connect_to_server(server)

    async def _connect_to_server(self, s: Srv) -> None:
        s.last_attempt = time.monotonic()
        own = asyncio.current_task()
        for task in (self._reading_task, self._ping_interval_task, self._flusher_task):
            if task is not None and task is not own:
                task.cancel()
        if self._transport is not None:
            self._transport.close()  # type: ignore[no-untyped-call]
        transport = Transport(self._skim)
        try:
            await transport.connect(s.uri, DEFAULT_BUFFER_SIZE, self.options["connect_timeout"])
        except (OSError, nats.errors.Error):
            raise
        except Exception as error:
            raise Unusable("the address cannot be used") from error
        self._transport = transport

    async def _process_connect_init(self) -> None:
        try:
            await super()._process_connect_init()
        except (OSError, nats.errors.Error):
            raise
        except Exception as error:
            raise Unusable("the greeting failed") from error
        if not self.is_connected:
            # nats-py goes on without an answer to its first PING.
            raise nats.errors.UnexpectedEOF
        self._attempts = 0
        self._was_connected = True

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        urls = info.get("connect_urls")
        if urls and not (self._settings.encrypted or self._settings.plaintext):
            # What a server on this machine announces is not on this machine: our password would go there in the clear.
            info = {**info, "connect_urls": [one for one in urls if is_loopback(host_of(f"nats://{one}"))]}
        await super()._process_info(info, initial_connection)

    def _connect_command(self) -> bytes:
        required = self._server_info.get("tls_required", False)
        if self._settings.encrypted and not (required or self._settings.tls_handshake_first):
            raise nats.errors.SecureConnWantedError
        return super()._connect_command()

    async def _process_err(self, err_msg: str) -> None:
        # The parser hands over a lower-cased text; the line itself is still at the head of its buffer.
        line = ERR_RE.match(bytes(self._ps.buf))
        text = line[1].decode("utf-8", "replace") if line and line[1] else err_msg
        error = nats.errors.Error(f"nats: {text.strip(chr(39))}")
        if "permissions violation" in text.lower():
            await self._error_cb(error)
            return
        if "stale connection" in text.lower():
            error = nats.errors.StaleConnectionError()
        await self._process_op_err(error)

    async def _process_op_err(self, e: Exception) -> None:
        # nats-py tells nobody why it reconnects.
        if not (self.is_closed or self.is_reconnecting):
            await self._error_cb(e)
        await super()._process_op_err(e)

    async def _flush_pending(self, force_flush: bool = False) -> None:
        try:
            await super()._flush_pending(force_flush)
        except OSError as error:
            # The task that flushes has ended unnoticed. As nothing is heard from it, nothing is from here.
            await self._process_op_err(error)

    async def _attempt_reconnect(self) -> None:
        # Subscriptions are replayed anyway. A publish that waited for the old connection has lost its turn:
        # whoever sent it looks whether it was stored, and it must not arrive after that look.
        self._drop_pending()
        await super()._attempt_reconnect()

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        # What nats-py makes of a message costs more than reading it, where a million come in a row.
        if (sink := self._taps.get(sid)) is not None:
            sink(subject, reply, headers or b"")
        elif (catcher := self._catchers.get(sid)) is not None:
            catcher(subject, headers or b"", data)
        else:
            await super()._process_msg(sid, subject, reply, data, headers)

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        # nats-py looks at each character of each name, which costs more than all else that it does with a message.
        headers: dict[str, str] = {}
        for line in raw.split(b"\r\n"):
            name, colon, value = line.partition(b":")
            if colon and (known := _header_name(name)):
                headers[known] = value.strip().decode("utf-8", "replace")
        return headers

    def _drop_pending(self) -> None:
        self._pending.clear()
        self._pending_data_size = 0


@functools.lru_cache(maxsize=1024)
def _header_name(name: bytes) -> str:
    """A header's name; "" for one that is none, as nats-py leaves it out."""
    try:
        text = name.strip().decode("ascii")
    except UnicodeDecodeError:
        return ""
    return "" if any(map(str.isspace, text)) else text


def _sign(seed: str, where: str, nonce: str = "") -> bytes:
    # Only who has such a seed waits for it, and for the cryptography under it.
    import nkeys  # type: ignore[import-untyped]

    try:
        pair = nkeys.from_seed(bytearray(seed.encode()))
        signed: bytes = base64.b64encode(pair.sign(nonce.encode()))
        user = pair.public_key.startswith(b"U")
        pair.wipe()
    except Exception:  # noqa: BLE001  # whatever nkeys raises may quote the seed
        raise NatsMisconfigured(f"NATS: {where} holds no valid nkey seed") from None
    if not user:
        raise NatsMisconfigured(f"NATS: {where} holds the seed of something else than a user (those begin with SU)")
    return signed


def longest_pause_s(rounds: int, most_s: float) -> float:
    """Before all servers are tried once more, after so many rounds in vain: short for a while, then ever longer."""
    later = max(0, rounds - _SOON_ROUNDS)
    return min(most_s, _FIRST_WAIT_S * 2.0 ** min(rounds, 16), _SOON_S * 2.0 ** min(later, 16))
