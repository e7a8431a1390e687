"""AgyleTime (Playvox WFM): staff, published shifts, what agents spend their time on, and reference data, all polled.

Two hosts, one token for both. There is no filter by change: windows are read again and compared, a short one often and
a long one slowly, since timelines are corrected days later. Lists run in the order of creation.
"""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlencode

import bridge.adapter as api
from adapters.tables import agyletime as tables
from bridge.adapter import BadSetting, Json, Resource, Secret, Token, access_key, jsend, setting

_HOSTS = ("tenant", "regional")
_LIVES = ("expiresIn", "expireIn")
"""By which names a token's life is known to be told."""


@dataclass(frozen=True, kw_only=True)
class Settings(api.ResourceSettings):
    omit: list[str] | None = setting(None, doc="never published; default private, first_name, last_name")
    subdomain: str | None = setting(None, doc="the tenant's name, as in https://SUBDOMAIN.cloud.agyletime.io")
    region: Literal["eu", "us", "au"] | None = setting(None, doc="where the tenant was made; au: New Zealand, too")
    tenant_url: str | None = setting(None, doc="the tenant's host, in place of the one that subdomain makes")
    regional_url: str | None = setting(None, doc="the region's host, in place of the one that region makes")
    key_id: str = setting(doc="identifier of the access key; it needs permission to read what is configured")
    secret: Secret = setting(doc="the access key's secret")
    token_path: str = setting("/api/authority/token", doc="where tokens are made, on the tenant's host", inferred=True)
    token_form: dict[str, str] = setting(
        {}, doc='a form to send there: grant_type = "client_credentials"', inferred=True
    )
    token_lifetime_fallback_s: float = setting(300.0, doc="life of a token that tells none", inferred=True, at_least=1)
    requests_per_30s: int = setting(100, doc="rate limit; AgyleTime names none", inferred=True, at_least=1)

    def __post_init__(self) -> None:
        api.ResourceSettings.__post_init__(self)
        for key, name in (("tenant_url", "subdomain"), ("regional_url", "region")):
            if not getattr(self, key) and not getattr(self, name):
                raise BadSetting(f"the key {name} is missing: nothing says where that host is")
        if self.subdomain is not None and not self.subdomain.replace("-", "").isalnum():
            raise BadSetting("expected only what stands before .cloud.agyletime.io", "subdomain")
        for key in ("tenant_url", "regional_url"):
            url = getattr(self, key)
            if url and (api.url.problem(url, allow_plain=True) or set("?#") & set(url)):
                raise BadSetting("expected an address such as https://acme.cloud.agyletime.io", key)
        if ":" in self.key_id:
            raise BadSetting("expected no colon: HTTP Basic takes it for the identifier's end", "key_id")
        tables = [table.name for table in self.resource]
        for one in self.resources:
            if one.host not in _HOSTS:
                raise BadSetting(f"expected {' or '.join(_HOSTS)}", "resource", tables.index(one.name), "host")

    @property
    def shipped(self) -> Sequence[Resource]:
        return tables.SHIPPED

    @functools.cached_property
    def hosts(self) -> dict[str, str]:
        """Where resources begin, by kind of host; `login`: where the token's path does."""
        tenant = (self.tenant_url or f"https://{self.subdomain}.cloud.agyletime.io").rstrip("/")
        regional = (self.regional_url or f"https://api-{self.region}.cloud.agyletime.io").rstrip("/")
        return {"login": tenant, "tenant": f"{tenant}/api", "regional": regional}


class Adapter(api.Adapter[Settings]):
    Settings, vendor, type_prefix, mapping_version = Settings, "agyletime", "io.agyletime", "1"
    omit = ("private", "first_name", "last_name")

    @property
    def budget_key(self) -> str:  # whose the limit is nobody says: taken for the access key's
        known = f"{self.settings.hosts['login']} {self.settings.key_id}".encode("utf-8", "surrogatepass")
        return "agyletime-" + hashlib.blake2b(known, digest_size=8).hexdigest()

    @property
    def limit(self) -> api.Limit:
        return api.Limit(self.settings.requests_per_30s, 30.0)

    def login(self) -> api.Login:
        s = self.settings
        url = f"{s.hosts['login']}/{s.token_path.lstrip('/')}"
        form = dict(s.token_form) or None
        return access_key.log_in(
            url, s.key_id, s.secret, form=form, lives=_LIVES, fallback_s=s.token_lifetime_fallback_s
        )

    def walks(self, token: Token) -> list[api.Walk]:  # noqa: ARG002
        return tables.walks(self.settings.resources)

    def _of(self, ask: api.Ask) -> Resource:
        return api.resource.of(self.settings.resources, ask.walk)

    def request(self, ask: api.Ask, token: Token) -> api.Request:
        one, at = self._of(ask), _token(ask)
        path = one.one.replace("{id}", api.url.segment("".join(ask.ids))) if ask.ids else one.path
        page = {"pageLimit": str(ask.walk.page_size)} | ({"nextPageToken": at} if at else {})
        query = urlencode(one.parameters(ask) | ({} if ask.ids else page))  # nobody says that a token knows its filters
        url = f"{self.settings.hosts[one.host]}/{path.lstrip('/')}{'?' * bool(query)}{query}"
        return api.Request("GET", url, {"Authorization": token.value.prefixed("Bearer ")})

    def page(self, ask: api.Ask, response: api.Response) -> api.Page:
        one, what = self._of(ask), f"walk {ask.walk.name}"
        if ask.ids:
            return jsend.one(response, f"{what}, one record")
        page = jsend.page(response, what, _token(ask))
        return replace(page, next=api.resource.onward(one, ask, page.next), part=api.resource.part(one, ask))

    def record(self, ask: api.Ask, row: Json) -> api.Record:
        return tables.record(self._of(ask), row)

    def basis(self, ask: api.Ask) -> Json:
        return api.resource.basis(self._of(ask), ask)

    def belongs(self, ask: api.Ask, after: Json) -> bool:
        return self._of(ask).belongs(ask, after)

    def schema(self, entity: str) -> str | None:
        return api.resource.schema(self.settings.resources, entity)

    def edition(self, entity: str) -> str:
        return api.resource.edition(self.settings.resources, entity)


def _token(ask: api.Ask) -> str | None:
    at = api.resource.place(ask)
    return at if isinstance(at, str) else None
