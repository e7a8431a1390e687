"""Webhooks: any vendor that posts what happens. What a delivery means is said by tables in the configuration.

Nothing is read: the sender repeats what was not confirmed, and it is confirmed once it is stored.
"""

import functools
import hashlib
from collections.abc import Sequence

import bridge.adapter as api
from bridge.adapter import Json, Refused, Token, WebhookSettings


class Adapter(api.Adapter[WebhookSettings]):
    Settings, vendor, type_prefix, mapping_version = WebhookSettings, "webhook", "bridged.webhook", "1"

    @functools.cached_property
    def hook(self) -> api.HookSession:
        return self.settings.hook

    def live(self, frame: Json) -> Sequence[api.Record]:
        return self.settings.tables.records(frame)

    @property
    def entities(self) -> Sequence[api.Published]:
        return self.settings.tables.entities()

    def edition(self, entity: str) -> str:
        return self.settings.tables.edition(entity)

    @property
    def budget_key(self) -> str:  # nothing is asked of anybody
        name = self.settings.name.encode("utf-8", "surrogatepass")
        return f"webhook-{hashlib.blake2b(name, digest_size=8).hexdigest()}"

    @property
    def limit(self) -> api.Limit:
        return api.Limit(1, 1.0)

    def login(self) -> api.Login:
        return api.credentials.issued(api.Secret(""))

    def walks(self, token: Token) -> list[api.Walk]:  # noqa: ARG002
        return []

    def request(self, ask: api.Ask, token: Token) -> api.Request:  # noqa: ARG002
        raise Refused("webhooks are taken, and nothing is asked for")

    def page(self, ask: api.Ask, response: api.Response) -> api.Page:  # noqa: ARG002
        raise Refused("webhooks are taken, and nothing is asked for")

    def record(self, ask: api.Ask, row: Json) -> api.Record:  # noqa: ARG002
        raise api.Malformed("webhooks have no pages")
