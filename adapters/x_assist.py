"""X-Assist (EXOP, now Crisis24) travel risk: its events, read as a Relay connection and by their ids.

Creation order finds no edits, and queries may be stale for a while: recent events are read often, known ones over
and over by id, all of them now and then. Subscriptions are the operator's to supply.
"""

import functools
import hashlib
from dataclasses import dataclass
from typing import Literal

import bridge.adapter as api
from bridge.adapter import BadSetting, Json, Refused, Token, fields, graphql, iso8601, relay, setting

_SUBPROTOCOLS: dict[str, api.Subprotocol] = {
    "actioncable": "actioncable-v1-json", "graphql-transport-ws": "graphql-transport-ws", "graphql-ws": "graphql-ws",
}  # fmt: skip
_Transport = Literal["none", "actioncable", "graphql-transport-ws", "graphql-ws"]
_OURS = ("id", "name", "created_at")


@dataclass(frozen=True, kw_only=True)
class Settings(api.GraphqlSettings, api.OAuthSettings):
    graphql_url: str = setting(doc="the GraphQL endpoint, such as https://x-assist.crisis24.com/graphql")
    accept_language: str = setting("en", doc="language of all content; a change of it looks like news", inferred=True)
    requests_per_hour: int = setting(1000, doc="rate limit, until X-Assist's answers tell its own", at_least=1)
    burst: int = setting(26, doc="requests in rapid succession", at_least=1)
    reserve: int = setting(10, doc="how many of them are left to what is urgent", inferred=True, at_least=0)
    settle_delay_s: float = setting(60.0, doc="how long queries may be stale", inferred=True, at_least=0)
    late_backfill_delay_s: float = setting(600.0, doc="the last look after a connect", inferred=True, at_least=0)
    page_size: int = setting(50, doc="events per page; halved when too complex", inferred=True, at_least=1)
    event_fields: dict[str, str] = setting({}, doc='more: our name = "area.code", "area {id}", "startsAt as datetime"')
    event_type: str = setting("Event", doc="the GraphQL type of an event", inferred=True)
    event_language: str | None = setting(None, doc="argument `language` of an event's name", inferred=True)
    event_order: Literal["DESC", "ASC"] = setting("DESC", doc="by creation; with ASC a pass reads all", inferred=True)
    event_filter: Json = setting(None, doc="a filter, sent as it is; no durations: their meaning moves", inferred=True)
    event_filter_argument: str = setting("filter", doc="the argument that takes it", inferred=True)
    event_filter_type: str = setting("DateFilter", doc="its GraphQL type", inferred=True)
    recent_every_s: float = setting(60.0, doc="how often recent events are read", at_least=1)
    recent_reach_s: float = setting(172_800.0, doc="how far back those were created", at_least=60)
    all_every_s: float = setting(21_600.0, doc="how often all events are read", at_least=1)
    by_id: bool = setting(True, doc="read known events again by `nodes(ids:)`, to find edits", inferred=True)
    by_id_every_s: float = setting(1_800.0, doc="how often", at_least=1)
    by_id_batch: int = setting(25, doc="how many at a time", inferred=True, at_least=1)
    deletion_policy: Literal["ignore", "confirm"] = setting("ignore", doc="what absence means", inferred=True)
    transport: _Transport = setting("none", doc="how subscriptions travel; none: polled only", inferred=True)
    ws_subprotocol: api.Subprotocol = setting("graphql-ws", doc="follows `transport`, whatever it says", live=True)
    ws_init_key: str | None = setting(None, doc="send the token in connection_init, too, by this key", inferred=True)
    cable_channel: str = setting("GraphqlChannel", doc="ActionCable's channel", inferred=True, live=True)

    def __post_init__(self) -> None:
        api.GraphqlSettings.__post_init__(self)
        api.OAuthSettings.__post_init__(self)
        object.__setattr__(self, "ws_subprotocol", _SUBPROTOCOLS.get(self.transport, self.ws_subprotocol))
        api.selection.parse(self.event_fields, "event_fields", taken=_OURS)
        for key in ("event_type", "event_filter_argument", "event_language", "accept_language"):
            if (value := getattr(self, key)) is not None and not api.selection.is_word(value):
                raise BadSetting("expected one word", key)
        if iso8601.holds_duration(self.event_filter):
            raise BadSetting("a duration's meaning moves during a pass: write absolute times", "event_filter")
        if self.subscription and (self.transport == "none" or self.ws_url is None):
            raise BadSetting("subscriptions need to know how they travel: set `transport` and `ws_url`", "transport")
        if self.deletion_policy == "confirm" and self.event_filter is not None:
            raise BadSetting("what a filter leaves out is not deleted: remove `event_filter`", "deletion_policy")


class Adapter(api.Adapter[Settings]):
    Settings, vendor, type_prefix, mapping_version = Settings, "x-assist", "com.crisis24.x-assist", "1"
    shapes, by_row = ("event",), True

    @functools.cached_property
    def _extra(self) -> list[api.selection.Selected]:
        return api.selection.parse(self.settings.event_fields, "event_fields", taken=_OURS)

    def _document(self, by_id: bool) -> str:
        s, given, sent = self.settings, "", ""
        name = f'name(language: "{s.event_language}")' if s.event_language else "name"
        parts = " ".join(["id", name, "createdAt", *(one.text for one in self._extra)])
        if by_id:
            return f"query Known($ids: [ID!]!) {{ nodes(ids: $ids) {{ ... on {s.event_type} {{ {parts} }} }} }}"
        if s.event_filter is not None:
            given, sent = f", $filter: {s.event_filter_type}", f", {s.event_filter_argument}: $filter"
        order = f"{{field: CREATED_AT, direction: {s.event_order}}}"
        start = f"query Events($first: Int!, $after: String{given}) {{ events(first: $first, after: $after, "
        return f"{start}orderBy: {order}{sent}) {{ pageInfo {{ hasNextPage endCursor }} nodes {{ {parts} }} }} }}"

    @property
    def budget_key(self) -> str:  # the limit is the OAuth application's
        known = f"{self.settings.graphql_url} {self.settings.client_id}".encode()
        return "x-assist-" + hashlib.blake2b(known, digest_size=8).hexdigest()

    @property
    def limit(self) -> api.Limit:
        return api.Limit(self.settings.requests_per_hour, 3_600.0, self.settings.burst)

    def allowance(self, response: api.Response) -> api.Allowance | None:
        return api.answer.allowance(response.headers)

    def login(self) -> api.Login:
        return api.oauth.client_credentials(self.settings)

    def walks(self, token: Token) -> list[api.Walk]:  # noqa: ARG002
        s, later = self.settings, (self.settings.settle_delay_s, self.settings.late_backfill_delay_s)
        recent = api.Walk("events-recent", "event", s.recent_every_s, s.recent_reach_s, s.settle_delay_s, s.page_size,
                          lag_s=s.settle_delay_s, again_s=later)  # fmt: skip
        everything = api.Walk("events-all", "event", s.all_every_s, page_size=s.page_size, lag_s=s.settle_delay_s,
                              reports_absence=s.deletion_policy == "confirm", spares=s.reserve,
                              on_connect=not s.by_id, again_s=() if s.by_id else later)  # fmt: skip
        by_id = api.Walk("events-by-id", "event", s.by_id_every_s, page_size=s.by_id_batch, batch=s.by_id_batch,
                         lag_s=s.settle_delay_s, again_s=later, spares=s.reserve)  # fmt: skip
        return sorted([recent, everything, *([by_id] if s.by_id else [])], key=lambda walk: walk.every_s)

    def request(self, ask: api.Ask, token: Token) -> api.Request:
        page = {"first": ask.walk.page_size, "after": api.paging.cursor(ask), "filter": self.settings.event_filter}
        by_id = ask.walk.batch > 0
        return self.query(self._document(by_id), {"ids": list(ask.ids)} if by_id else page, token)

    def query(self, document: str, variables: Json, token: Token) -> api.Request:
        return graphql.post(self.settings.graphql_url, self._headers(token), document, variables)

    def _headers(self, token: Token) -> dict[str, str | api.Secret]:
        return {"Authorization": token.value.prefixed("Bearer "), "Accept-Language": self.settings.accept_language}

    def page(self, ask: api.Ask, response: api.Response) -> api.Page:
        api.answer.not_too_complex(response, f"walk {ask.walk.name}")
        if response.status == 403:
            raise Refused(f"walk {ask.walk.name}: HTTP status 403; ask X-Assist what the OAuth client may read")
        if ask.walk.batch:
            return relay.looked_up(ask, response)
        newest_first = "createdAt" if self.settings.event_order == "DESC" else ""
        return relay.page(ask, response, "events", newest_first=newest_first)

    def record(self, ask: api.Ask, row: Json) -> api.Record:  # noqa: ARG002
        after = {"name": fields.text(row, "name"), "created_at": iso8601.stamp(row, "createdAt")}
        return api.Record("event", fields.key(row, "id"), after | api.selection.read(self._extra, row),
                          at_ms=iso8601.millis(row, "createdAt"), raw=row)  # fmt: skip

    def belongs(self, ask: api.Ask, after: Json) -> bool:  # noqa: ARG002
        return self.settings.deletion_policy == "confirm"

    def session(self, token: Token) -> api.GraphqlSession:
        s, headers = self.settings, self._headers(token)
        init = {s.ws_init_key: headers["Authorization"]} if s.ws_init_key else None
        return api.subscription.session(s, token, headers=headers, init=init, channel=s.cable_channel)
