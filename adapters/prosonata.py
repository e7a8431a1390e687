"""ProSonata, an agency's software: polled only, behind a small quota that it shares with everybody's other tools.

No list tells what has changed, so collections are read whole in the order of their ids, recent days more often.
Contacts and addresses hide while they are not active: they are read in two parts, and nothing is deleted by hiding.
"""

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import bridge.adapter as api
from adapters.tables import prosonata as tables
from bridge.adapter import BadSetting, Json, Resource, Secret, Token, metered, numbered, resource, setting


@dataclass(frozen=True, kw_only=True)
class Settings(api.ResourceSettings):
    omit: list[str] | None = setting(None, doc="never published; default private: sickness, birthdays, bank, homes")
    subdomain: str | None = setting(None, doc="yours, as in https://SUBDOMAIN.prosonata.software")
    base_url: str | None = setting(None, doc="another address in its place, such as https://www.prosonata-demo.de")
    api_key: Secret = setting(doc="the key of an app integration; or of a user, whose rights then count")
    app_id: Secret | None = setting(None, doc="the app integration's id; without it the key is a user's")
    zone: str = setting("Europe/Berlin", doc="time zone of the vendor's times, which name none", inferred=True)
    requests_per_block: int = setting(50, doc="calls in 15 minutes, by the package: 50 to 500", at_least=1)
    block_s: float = setting(900.0, doc="how long a block of the quota lasts", at_least=1)
    reserve: float = setting(0.2, doc="share of the calls left to your other tools", inferred=True, at_least=0)

    def __post_init__(self) -> None:
        api.ResourceSettings.__post_init__(self)
        if (self.subdomain is None) == (self.base_url is None):
            raise BadSetting("say where your ProSonata is: set `subdomain`, or `base_url` in its place", "subdomain")
        if self.subdomain is not None and not self.subdomain.replace("-", "").isalnum():
            raise BadSetting("expected only what stands before .prosonata.software", "subdomain")
        if api.url.problem(self.base, allow_plain=True) or set("?#") & set(self.base):
            raise BadSetting("expected an address such as https://www.prosonata-demo.de", "base_url")
        if self.reserve >= 1:
            raise BadSetting("expected a share below 1: nothing is left to read with", "reserve")
        for one in self.resources:
            if one.page_size > tables.MOST_ROWS:
                raise BadSetting(f"{one.name}: expected at most {tables.MOST_ROWS} as its `page_size`", "resource")

    @property
    def base(self) -> str:
        """Where the API is, without its path."""
        return (self.base_url or f"https://{self.subdomain}.prosonata.software").rstrip("/")

    @property
    def shipped(self) -> Sequence[Resource]:
        return tables.SHIPPED


class Adapter(api.Adapter[Settings]):
    Settings, vendor, type_prefix, mapping_version, omit = Settings, "prosonata", "de.prosonata", "1", ("private",)

    @property
    def budget_key(self) -> str:  # the quota is the account's, whichever key asks
        return "prosonata-" + hashlib.blake2b(self.settings.base.lower().encode(), digest_size=8).hexdigest()

    @property
    def limit(self) -> api.Limit:
        s = self.settings
        return api.Limit(s.requests_per_block, s.block_s, reserve=int(s.requests_per_block * s.reserve))

    def allowance(self, response: api.Response) -> api.Block | None:
        return metered.block(response)

    def login(self) -> api.Login:
        return api.credentials.issued(self.settings.api_key)  # made by hand; it does not expire

    def walks(self, token: Token) -> list[api.Walk]:  # noqa: ARG002
        walks = [walk for one in self.settings.resources for walk in one.walks(probe=True)]
        return sorted(walks, key=lambda walk: walk.every_s)

    @functools.cached_property
    def _resources(self) -> Mapping[str, Resource]:
        return {one.name: one for one in self.settings.resources}

    def _of(self, ask: api.Ask) -> Resource:
        return self._resources[ask.walk.scope]

    def request(self, ask: api.Ask, token: Token) -> api.Request:
        one, app = self._of(ask), self.settings.app_id
        path = one.one.replace("{id}", api.url.segment("".join(ask.ids))) if ask.ids else one.path
        order = {"orderBy": f"{one.id} DESC" if ask.walk.wakes else one.id, "perPage": f"{_size(ask)}",
                 "page": f"{numbered.number(ask)}"}  # fmt: skip
        query = urlencode(one.parameters(ask) | ({} if ask.ids else order))
        headers = {"X-API-Key": token.value, **({"X-APP-ID": app} if app else {})}
        return api.Request("GET", f"{self.settings.base}/api/v1/{path}{'?' * bool(query)}{query}", headers)

    def page(self, ask: api.Ask, response: api.Response) -> api.Page:
        return metered.page(self._of(ask), ask, response, size=_size(ask))

    def record(self, ask: api.Ask, row: Json) -> api.Record:
        return tables.record(self._of(ask), ask, row)

    def basis(self, ask: api.Ask) -> Json:
        return resource.basis(self._of(ask), ask)

    def belongs(self, ask: api.Ask, after: Json) -> bool:
        return self._of(ask).belongs(ask, after)

    def schema(self, entity: str) -> str | None:
        return resource.schema(self.settings.resources, entity)

    def edition(self, entity: str) -> str:
        return resource.edition(self.settings.resources, entity)


def _size(ask: api.Ask) -> int:
    return min(ask.walk.page_size, tables.MOST_ROWS)
