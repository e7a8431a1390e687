"""The generic IoT platform (Rightech IoT Cloud style): its stores, its journal of events, its objects' packets.

Pushed by Socket.IO or a plain stream; the truth is read by REST. Lists know creation times only, so stores are read
whole, over and over; what happens once is found again in the journal, telemetry with each object.
"""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import quote, urlencode

import bridge.adapter as api
from bridge.adapter import BadSetting, Json, Token, credentials, journal, setting, slices

_STORE_KEY, _EVENT_KEY, _PACKET_KEY = ("_id",), ("_msgid",), ("_ts", "_id")


@dataclass(frozen=True, kw_only=True)
class Settings(api.PushSettings, api.CredentialSettings):
    omit: list[str] | None = setting(None, doc="never published; default personal_data: who a user is")
    base_url: str = setting(doc="the platform's address, such as https://dev.rightech.io")
    ws_cookie: bool = setting(True, doc="auth = token: log in for the cookie, too", inferred=True, live=True)
    requests_per_minute: int = setting(300, doc="rate limit; the platform names none", inferred=True, at_least=1)
    page_size: int = setting(1000, doc="rows in one answer, at most 10000", at_least=2)
    stores: list[str] = setting(["objects", "models"], doc="what to read as entities: objects, models, users, …")
    store_fields: dict[str, list[str]] = setting({}, doc='only these of its fields: objects = ["id", "name"]')
    store_pushes: Literal["entity", "hint"] = setting(
        "entity", doc="a pushed change that has an _id is the whole row, or only a hint to read it", inferred=True
    )
    stores_every_s: float = setting(600.0, doc="how often stores are read", at_least=1)
    stores_lag_s: float = setting(0.0, doc="how long stores may be older than pushes", inferred=True, at_least=0)
    deletion_policy: Literal["report", "ignore"] = setting("report", doc="what absence from a whole store means")
    journal_every_s: float = setting(60.0, doc="how often the journal is read", at_least=1)
    journal_reach_s: float = setting(3600.0, doc="how late an event may enter it", inferred=True, at_least=1)
    journal_overlap_s: float = setting(60.0, doc="how far clocks may differ", inferred=True, at_least=0)
    packets: bool = setting(True, doc="read the packets of each object, to find those that were not pushed")
    packets_every_s: float = setting(300.0, doc="how often; it takes a request per object", at_least=1)
    packets_reach_s: float = setting(3600.0, doc="how late a packet may be listed", inferred=True, at_least=1)
    packets_overlap_s: float = setting(60.0, doc="how far clocks may differ", inferred=True, at_least=0)
    events: list[str] = setting([], doc="event types wanted; default: all")
    ignore_events: list[str] = setting([], doc="event types not wanted")
    objects: list[str] = setting([], doc="ids (_id) of the objects wanted; default: all")

    def __post_init__(self) -> None:
        api.PushSettings.__post_init__(self)
        api.CredentialSettings.__post_init__(self)
        if api.url.problem(self.base_url, allow_plain=True) or set("?#") & set(self.base_url):
            raise BadSetting("expected an address such as https://dev.rightech.io", "base_url")
        if self.auth == "cookie" and self.transport == "events-stream":
            raise BadSetting("events-stream takes a token and no cookie: set token, or issued", "auth")
        if self.page_size > 10_000:
            raise BadSetting("expected at most 10000: no answer holds more", "page_size")
        journal.check_stores(self.stores, self.store_fields, taken=("events", "journal", "packets"))
        if self.packets and "objects" not in self.stores:
            raise BadSetting("goes by the known objects: add objects to `stores`, or set it to false", "packets")


class Adapter(api.Adapter[Settings]):
    Settings, vendor, type_prefix, mapping_version = Settings, "platform", "iot.platform", "1"
    omit, by_row = (journal.PERSON,), True

    @functools.cached_property
    def _reader(self) -> journal.Reader:
        s = self.settings
        return journal.Reader(
            entities={journal.entity_of(store): store for store in s.stores}, fields=s.store_fields,
            types=frozenset(s.events), ignored=frozenset(s.ignore_events), objects=frozenset(s.objects),
            whole=s.store_pushes == "entity",
        )  # fmt: skip

    @property
    def _base(self) -> str:
        return self.settings.base_url.rstrip("/")

    @property
    def budget_key(self) -> str:  # whose the limit is nobody says: taken for the user's
        known = f"{self._base} {self.settings.who}".encode("utf-8", "surrogatepass")
        return "platform-" + hashlib.blake2b(known, digest_size=8).hexdigest()

    @property
    def limit(self) -> api.Limit:
        return api.Limit(self.settings.requests_per_minute, 60.0)

    def login(self) -> api.Login:
        both = self.settings.ws_cookie and self.settings.transport == "socketio"
        return credentials.log_in(self.settings, f"{self._base}/api/v1/auth", both=both)

    def walks(self, token: Token) -> list[api.Walk]:  # noqa: ARG002
        s = self.settings
        walks = [api.Walk(store, entity, s.stores_every_s, page_size=s.page_size, lag_s=s.stores_lag_s,
                          reports_absence=s.deletion_policy == "report")
                 for entity, store in self._reader.entities.items()]  # fmt: skip
        walks.append(api.Walk("journal", "event", s.journal_every_s, s.journal_reach_s, s.journal_overlap_s,
                              s.page_size, once=True))  # fmt: skip
        if s.packets:  # beside the catch-up: pushes must not wait until every object was asked
            walks.append(api.Walk("packets", "packet", s.packets_every_s, s.packets_reach_s, s.packets_overlap_s,
                                  s.page_size, once=True, telemetry=True, batch=1, of="object",
                                  on_connect=False, again_s=(1.0,)))  # fmt: skip
        return sorted(walks, key=lambda walk: walk.every_s)

    def request(self, ask: api.Ask, token: Token) -> api.Request:
        path, only = ask.walk.name, self.settings.store_fields.get(ask.walk.name, [])
        if ask.walk.once:
            path = f"objects/{quote(''.join(ask.ids), safe='')}/packets" if ask.walk.of else "events"
        query = slices.parameters(ask) | ({"only": ",".join(dict.fromkeys([*only, "time"]))} if only else {})
        url = f"{self._base}/api/v1/{path}?{urlencode(query, safe=',')}"
        return api.Request("GET", url, credentials.headers(self.settings, replace(token, beside=None)))

    def page(self, ask: api.Ask, response: api.Response) -> api.Page:
        if response.status == 404 and ask.walk.of:
            return api.Page([])  # removed since it was known
        if response.status == 404 and not ask.walk.once:
            raise api.Refused(f"the platform has no store `{ask.walk.name}` for us: check `stores`")
        rows, now_ms = api.answer.rows(response, f"walk {ask.walk.name}"), api.answer.server_ms(response.headers)
        names = _PACKET_KEY if ask.walk.of else _EVENT_KEY if ask.walk.once else _STORE_KEY
        page = slices.page(ask, rows, names=names, at="time", now_ms=now_ms)
        return replace(page, rows=[row for row in page.rows if self._is_wanted(ask, row)])

    def _is_wanted(self, ask: api.Ask, row: Json) -> bool:
        if ask.walk.of:
            return self._reader.wants_event(journal.PACKET, {"_oid": "".join(ask.ids)})
        if ask.walk.once:
            return self._reader.enters(row)
        return not isinstance(row, dict) or self._reader.wants(ask.walk.entity, row.get("_id"))

    def record(self, ask: api.Ask, row: Json) -> api.Record:
        if ask.walk.of:
            return self._reader.packet("".join(ask.ids), row)
        return self._reader.occurred(row) if ask.walk.once else self._reader.row(ask.walk.entity, row)

    def belongs(self, ask: api.Ask, after: Json) -> bool:
        return self._reader.wants(ask.walk.entity, after.get("_id"))

    @property
    def entities(self) -> Sequence[api.Published]:
        return self._reader.published(self.settings.deletion_policy == "report", self.listens, self.settings.packets)

    @property
    def live_only(self) -> bool:
        return self.listens and not self.settings.packets  # those are lost while nobody listens

    def session(self, token: Token) -> api.Session:
        s, headers = self.settings, credentials.headers(self.settings, token)
        return api.push.session(s, self._base, "/events/stream", headers, self._reader.filter)

    def live(self, frame: Json) -> Sequence[api.Record | api.Look]:
        return self._reader.pushed(frame, named=self.settings.transport == "socketio")
