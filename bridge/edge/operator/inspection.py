"""Looks at a NATS server for `bridged check --online`: what is there, what differs, what is permitted. Writes nothing.

Whether we may publish is found out with messages that demand a stream of another name: the server checks the
permission first, then every stream refuses the message. Requests to the API are sent without a body, which it refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import anyio
import nats.errors

from bridge.core.errors import Away
from bridge.core.record import Json, Key
from bridge.core.subject import cursor_subject, ingest_subject, owner_subject, token
from bridge.edge.ledger.consumers import (
    CONSUMER_NOT_FOUND,
    consumer_config,
    consumer_differences,
    consumer_name,
)
from bridge.edge.ledger.layout import (
    BOUND,
    Difference,
    LedgerNames,
    check_version,
    lease_differences,
    state_differences,
    stream_differences,
)
from bridge.edge.ledger.permissions import permissions
from bridge.edge.nats.connection import Denied, NatsConnection
from bridge.edge.nats.jetstream import STREAM_NOT_FOUND, ApiError, JetStream
from bridge.edge.operator.tail import StreamMissing, explained, stream_state

DEADLINE_S = 5.0
PROBE = "bridged-check"
"""The id in the subjects tried, and the part of a stream's name that no stream bears."""
_ELSEWHERE = {"Nats-Expected-Stream": f"{PROBE}-there-is-no-such-stream"}


@dataclass(frozen=True, slots=True)
class Found:
    """A stream, or a consumer, on the server. `state`: `missing`, `same`, or `differs`, with the differences."""

    name: str
    state: Literal["missing", "same", "differs"]
    differences: Sequence[Difference] = ()
    messages: int = 0


class Inspection:
    """One look at the server `connection` leads to. Raises Away when JetStream does not answer."""

    def __init__(self, connection: NatsConnection, names: LedgerNames) -> None:
        self._connection = connection
        self._names = names
        self._js = JetStream(connection.client, prefix=names.api, deadline_s=DEADLINE_S)

    def version(self) -> str:
        """The server's version. Raises ServerTooOld."""
        check_version(self._js.server_version)
        return self._js.server_version

    async def jetstream(self) -> None:
        """Returns when JetStream answers. Raises JetStreamOff and NoAnswer."""
        try:
            await stream_state(self._js, self._names.stream)
        except StreamMissing:
            return

    async def streams(self) -> list[Found]:
        """The ledger's stream, the view and the bucket of leases, compared with what they must be."""
        names = self._names
        ledger, view = await self._look(names.stream), await self._look(names.state_stream)
        leases = await self._look(names.lease_stream)
        differing = [] if view is None else state_differences(names, view["config"])
        if ledger and view and names.manage == "verify":  # else the daemon makes it anew by itself
            bound = (view["config"].get("metadata") or {}).get(BOUND, ledger["created"])
            if bound != ledger["created"]:
                advice = "it was made from a stream that is gone: remove it, and make it anew"
                differing.append(Difference(names.state_stream, BOUND, ledger["created"], bound, advice))
        return [
            _found(names.stream, ledger, stream_differences(names, ledger["config"]) if ledger else []),
            _found(names.state_stream, view, differing),
            _found(names.lease_stream, leases, lease_differences(names, leases["config"]) if leases else []),
        ]

    async def consumer(self, alert: str, channel: str) -> Found:
        """The place that a channel of an alert has in the stream, compared with what it must be."""
        name = consumer_name(alert, channel)
        try:
            info = await self._js.call(f"CONSUMER.INFO.{self._names.stream}.{name}")
        except ApiError as error:
            if error.err_code in (CONSUMER_NOT_FOUND, STREAM_NOT_FOUND):
                return Found(name, "missing")
            raise explained(error, name) from None
        differing = consumer_differences(name, consumer_config(alert, channel), info["config"])
        waiting = info["num_pending"] + info["num_ack_pending"]
        return Found(name, "differs" if differing else "same", tuple(differing), waiting)

    async def denied(
        self, sources: Iterable[tuple[str, str]], alerts: Sequence[tuple[str, str]] | None = None
    ) -> list[Denied]:
        """What the daemon would be refused for these (vendor, source), and (alert, channel). Raises Away.

        `alerts`: None where there are none. Whether an alert may be fetched is not tried: that would take it.
        """
        client = self._connection.client
        try:
            with anyio.fail_after(DEADLINE_S):
                for subject in self._api(alerts):
                    await client.publish(subject, b"", reply=client.new_inbox())
                for vendor, source in sources:
                    for subject in self._written(vendor, source):
                        await client.publish(subject, b"", headers=dict(_ELSEWHERE))
                for alert, channel in alerts or ():
                    # Real acknowledgements have more tokens behind the consumer: nobody hears this one.
                    await client.publish(f"$JS.ACK.{self._names.stream}.{consumer_name(alert, channel)}.{PROBE}", b"")
                # Refusals come before the answer to a ping that follows what was refused. nats-py's first ping
                # overtakes what is still buffered; the second cannot.
                await client.flush()
                await client.flush()
        except (nats.errors.Error, TimeoutError) as error:
            raise Away(f"NATS cannot be asked now ({type(error).__name__})") from None
        return list(self._connection.denied)

    def _api(self, alerts: Sequence[tuple[str, str]] | None) -> list[str]:
        """What the daemon asks, but for the requests that would do something without a body, too."""
        api = f"{self._names.api}."
        ledger = self._names.stream
        harmful = (f"{api}STREAM.DELETE.", f"{api}STREAM.LEADER.", f"{api}CONSUMER.MSG.NEXT.{ledger}.")
        allowed: list[str] = permissions(self._names, alerts=alerts)["publish"]["allow"]
        asked = [subject for subject in allowed if subject.startswith(api) and "$KV." not in subject]
        return [re.sub("[*>]", PROBE, subject) for subject in asked if not subject.startswith(harmful)]

    def _written(self, vendor: str, source: str) -> list[str]:
        """A subject of every kind that the daemon publishes for a source."""
        lease = self._names.lease_subject(token(source))
        return [
            ingest_subject(Key(vendor, source, PROBE, PROBE), "updated"),
            ingest_subject(Key("bridge", source, PROBE, PROBE), "occurred"),
            cursor_subject(source, PROBE),
            owner_subject(source),
            lease if self._names.api == "$JS.API" else f"{self._names.api}.{lease}",
        ]

    async def _look(self, name: str) -> Json:
        try:
            return await self._js.stream(name)
        except ApiError as error:
            if error.err_code == STREAM_NOT_FOUND:
                return None
            raise explained(error, name) from None


def _found(name: str, info: Json, differing: Sequence[Difference]) -> Found:
    if info is None:
        return Found(name, "missing")
    return Found(name, "differs" if differing else "same", tuple(differing), info["state"]["messages"])
