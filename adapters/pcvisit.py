"""pcvisit remote support: the sessions of its work history, read by GraphQL queries.

Entries change after a session has ended and carry no update stamp, so two look-backs are read over and over: a
short one often, a long one slowly. No subscription is documented: those the configuration names are held live.
"""

from dataclasses import dataclass
from typing import Literal

import bridge.adapter as api
from bridge.adapter import Json, Refused, Retry, Secret, Throttled, Token, Unauthorized, fields, graphql, setting

_LOGIN = """query GetJWT($userApiToken: UserApiToken!, $integratorApiToken: IntegratorApiToken!) {
  SiRetrieveSignedJwt(userApiToken: $userApiToken, integratorApiToken: $integratorApiToken) {
    __typename ... on SignedJwtWasRetrieved { token customerUuid } ... on Failure { error comment_for_dev } } }"""
_HISTORY = """query GetWorkHistory($company: CustomerUuid!, $timeFrame: TimeFrame, $filter: Filter, $sort: [Sort!],
    $search: Search, $pagination: Pagination) { AcQuerySessionsHistory(company: $company, timeFrame: $timeFrame,
    filter: $filter, sort: $sort, search: $search, pagination: $pagination) {
    __typename ... on Failure { error comment_for_dev } ... on SessionProtocolEdge {
      totalCount batchLoadingIsStillActive reportingActiveSince nodes { cursor value {
        id name sessionCreatedAt sessionFinishedAt sessionCompanyUuid state type duration customDuration invoiceState
        participants { supporterIdentity { id } supporterContact { email } isSessionCreator }
        target { computerId computerDisplayName } clientCompany { clientId clientName } } } } } }"""
_NEXT: graphql.Reactions = {
    "AccessDenied": (Unauthorized, "the token is not accepted, or its user may not read this company"),
    "TokenExpired": (Unauthorized, "the JWT has expired"),
    "InvalidValue": (Refused, "check `companies`, `history_filter`, `_sort` and `_search`, or the variables"),
    "InsufficientRights": (Refused, "the user behind `user_token` lacks a permission: grant it in pcvisit"),
    "MissingValue": (Refused, "pcvisit wants a parameter that we do not send"),
    "DoesNotExist": (Refused, "check `companies`"),
    **dict.fromkeys(("ApplicationFailure", "BackendFailure"), (Retry, "a fault at pcvisit")),
    "TryAgainLater": (Throttled, "over the integrator's rate limit"),
    "TimeOut": (Retry, "pcvisit took too long"),
}
_FAILURES = graphql.Failures(_NEXT, quota_if_named=("TimeOut",))  # the manual also calls the rate limit so


@dataclass(frozen=True, kw_only=True)
class Settings(api.GraphqlSettings):
    omit: list[str] | None = setting(None, doc="never published; default participants.*.email; see also name, *.name")
    http_url: str = setting(doc="the GraphQL endpoint; it ends in /graphql")
    integrator_token: Secret = setting(doc="the integrator API token, from pcvisit")
    user_token: Secret = setting(doc="the user API token, made by the user in pcvisit's account settings")
    auth: Literal["jwt", "api-key"] = setting("jwt", doc="what queries carry: JWT or integrator token", inferred=True)
    companies: list[str] = setting([], doc="customer UUIDs to read; empty: the one the login returns", inferred=True)
    requests_per_minute: int = setting(60, doc="rate limit until pcvisit names its own", inferred=True, at_least=1)
    rate_limit_counts_jwt: bool = setting(True, doc="whether logging in counts against it", inferred=True)
    jwt_lifetime_fallback_s: float = setting(600.0, doc="lifetime of a JWT without exp", inferred=True, at_least=1)
    jwt_refresh_margin_s: float = setting(60.0, doc="a JWT is renewed this early at least", inferred=True, at_least=0)
    history_page_size: int = setting(50, doc="sessions per page", inferred=True, at_least=1)
    history_overlap_s: float = setting(900.0, doc="margin at both ends of a look-back", inferred=True, at_least=0)
    history_fast_every_s: float = setting(30.0, doc="how often the short look-back is read", at_least=1)
    history_fast_reach_s: float = setting(86_400.0, doc="the short look-back", inferred=True, at_least=60)
    history_slow_every_s: float = setting(3_600.0, doc="how often the long look-back is read", at_least=1)
    history_slow_reach_s: float = setting(3_024_000.0, doc="the long look-back: 35 days", inferred=True, at_least=60)
    history_filter: Json = setting(None, doc="a Filter, sent as it is", inferred=True)
    history_sort: Json = setting(None, doc="a list of Sort, sent as it is", inferred=True)
    history_search: Json = setting(None, doc="a Search, sent as it is", inferred=True)
    history_deletions: Literal["ignore", "report"] = setting("ignore", doc="what absence means", inferred=True)
    batch_loading_retry_s: float = setting(10.0, doc="pause while pcvisit still loads", inferred=True, at_least=1)
    batch_loading_max_wait_s: float = setting(600.0, doc="how long to bear with it", inferred=True, at_least=0)


class Adapter(api.Adapter[Settings]):
    Settings, vendor, type_prefix, mapping_version = Settings, "pcvisit", "de.pcvisit", "1"
    omit, shapes, failures, by_row = ("participants.*.email",), ("session",), _FAILURES, True

    @property
    def budget_key(self) -> str:  # the limit is the integrator's: all its customers share it
        return f"pcvisit-{self.settings.integrator_token.fingerprint()}"

    @property
    def limit(self) -> api.Limit:
        return api.Limit(self.settings.requests_per_minute, 60)

    def login(self) -> api.Login:
        s, counts = self.settings, self.settings.rate_limit_counts_jwt
        tokens = {"userApiToken": s.user_token, "integratorApiToken": s.integrator_token}
        response = yield graphql.post(s.http_url, {"x-api-key": s.integrator_token}, _LOGIN, tokens, counts=counts)
        try:
            found = _FAILURES.read(response, "SiRetrieveSignedJwt", InvalidValue=(Unauthorized, "a token is wrong"))
        except Unauthorized as error:
            keys = f"`integrator_token` ({s.integrator_token.origin}) and `user_token` ({s.user_token.origin})"
            raise Refused(f"{error}; check {keys}") from error
        lifetime_s, jwt = s.jwt_lifetime_fallback_s, found.get("token")
        token = api.jwt.token(jwt, response, lifetime_s, customerUuid=found.get("customerUuid"))
        if not token.facts and not s.companies:
            raise Refused("SiRetrieveSignedJwt: the answer names no customer; set `companies`")
        return token

    def token_margin_s(self, token: Token) -> float:
        return max(self.settings.jwt_refresh_margin_s, super().token_margin_s(token))

    def walks(self, token: Token) -> list[api.Walk]:
        s = self.settings
        fast = ("fast", s.history_fast_every_s, s.history_fast_reach_s, False)
        slow = ("slow", s.history_slow_every_s, s.history_slow_reach_s, s.history_deletions == "report")
        return [
            api.Walk(f"sessions-{pace}-{company}", "session", every_s, reach_s, s.history_overlap_s,
                     s.history_page_size, company, reports, s.batch_loading_retry_s, s.batch_loading_max_wait_s)
            for pace, every_s, reach_s, reports in (fast, slow)
            for company in dict.fromkeys(s.companies or token.facts.values())
        ]  # fmt: skip

    def request(self, ask: api.Ask, token: Token) -> api.Request:
        s, cursor = self.settings, api.paging.cursor(ask)
        variables = {
            "company": ask.walk.scope, "filter": s.history_filter, "sort": s.history_sort, "search": s.history_search,
            "timeFrame": ask.window and {"startDate": ask.window.start_ms, "endDate": ask.window.end_ms},
            "pagination": {"lengthStartingFromOffset": ask.walk.page_size} | ({"cursor": cursor} if cursor else {}),
        }  # fmt: skip
        return self.query(_HISTORY, variables, token)

    def query(self, document: str, variables: Json, token: Token) -> api.Request:
        header = "Authorization" if self.settings.auth == "jwt" else "x-api-key"
        return graphql.post(self.settings.http_url, {header: self._key(token)}, document, variables)

    def session(self, token: Token) -> api.GraphqlSession:
        s, init, facts = self.settings, {"authToken": self._key(token)}, token.facts.values()
        return api.subscription.session(s, token, url=s.http_url, init=init, companies=s.companies or facts)

    def _key(self, token: Token) -> Secret:  # an API token goes without the prefix, also on the WebSocket
        return token.value.prefixed("Bearer ") if self.settings.auth == "jwt" else self.settings.integrator_token

    def page(self, ask: api.Ask, response: api.Response) -> api.Page:
        field, lost = "AcQuerySessionsHistory", (api.CursorExpired, "the cursor is no longer known")
        edge = _FAILURES.read(response, field, **({"InvalidValue": lost, "DoesNotExist": lost} if ask.position else {}))
        nodes = [node if isinstance(node, dict) else {"value": node} for node in graphql.nodes(edge, field)]
        last, oldest = nodes[-1].get("cursor") if nodes else None, fields.known_millis(edge, "reportingActiveSince")
        next_ = api.paging.following(ask, len(nodes), last, edge.get("totalCount"))
        return api.Page([n.get("value") for n in nodes], next_, not edge.get("batchLoadingIsStillActive"), oldest)

    def record(self, ask: api.Ask, row: Json) -> api.Record:  # noqa: ARG002
        text, whole, stamp, millis = fields.text, fields.whole, fields.stamp, fields.millis
        created, finished = millis(row, "sessionCreatedAt"), millis(row, "sessionFinishedAt")
        after = {
            "name": text(row, "name"), "state": text(row, "state"), "type": text(row, "type"),
            "created_at": stamp(row, "sessionCreatedAt"), "finished_at": stamp(row, "sessionFinishedAt"),
            "duration_ms": whole(row, "duration"), "custom_duration_ms": whole(row, "customDuration"),
            "invoice_state": text(row, "invoiceState"), "company_id": text(row, "sessionCompanyUuid"),
            "participants": fields.unordered(row, "participants", supporter_id=(text, "supporterIdentity.id"),
                is_creator=(fields.truth, "isSessionCreator"), email=(text, "supporterContact.email")),
            "computer": fields.texts(row, id="target.computerId", name="target.computerDisplayName"),
            "client": fields.texts(row, id="clientCompany.clientId", name="clientCompany.clientName"),
        }  # fmt: skip
        return api.Record("session", fields.key(row, "id"), after, at_ms=finished or created, raw=row)

    def belongs(self, ask: api.Ask, after: Json) -> bool:
        return api.paging.inside(ask, after["company_id"], after["created_at"], after["finished_at"])
