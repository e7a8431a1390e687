"""A vendor that exists in tests only: one setting of every type the loader knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bridge import adapter as api
from bridge.adapter import Json, Secret, setting


@dataclass(frozen=True, kw_only=True)
class Account:
    """A table inside a source."""

    id: str = setting(doc="its number")
    key: Secret | None = setting(None, doc="its key")


@dataclass(frozen=True, kw_only=True)
class AcmeSettings(api.BaseSettings):
    """Every type."""

    http_url: str = setting(doc="where it is")
    token: Secret = setting(doc="what opens it")
    other: Secret | None = setting(None, doc="what opens the rest")
    page_size: int = setting(50, doc="records per page", inferred=True, at_least=1)
    every_s: float = setting(30.0, doc="pause", at_least=0)
    auth: Literal["jwt", "api-key"] = setting("jwt", doc="which header")
    companies: list[str] = setting([], doc="what to read")
    variables: dict[str, Any] = setting({}, doc="sent as it is")
    headers: dict[str, Secret] = setting({}, doc="sent with every request")
    accounts: list[Account] = setting([], doc="whose records")
    search: Json = setting(None, doc="anything")
    trouble: Literal["", "settings", "adapter", "bug"] = setting("", doc="what fails, quoting the token")

    def __post_init__(self) -> None:
        if self.trouble == "settings":
            raise ValueError(f"the token {self.token.reveal()} does not go with the page size")
        if self.trouble == "bug":
            raise RuntimeError(self.token.reveal())


class Adapter(api.Adapter[AcmeSettings]):
    Settings = AcmeSettings
    vendor = "acme"
    type_prefix = "com.example.acme"
    mapping_version = "1"
    omit = ("person.email",)

    def __init__(self, settings: AcmeSettings) -> None:
        super().__init__(settings)
        if settings.trouble == "adapter":
            raise ValueError(f"cannot work with {settings.token.reveal()}")

    @property
    def budget_key(self) -> str:
        return "acme"

    @property
    def limit(self) -> api.Limit:
        return api.Limit(60, 60.0)

    def login(self) -> api.Login:
        yield api.Request("GET", self.settings.http_url)
        return api.Token(self.settings.token)

    def walks(self, token: api.Token) -> Sequence[api.Walk]:
        return [api.Walk("things", "thing", self.settings.every_s, 3600.0, scope=token.facts["tenant"])]

    def request(self, ask: api.Ask, token: api.Token) -> api.Request:
        return api.Request("GET", self.settings.http_url)

    def page(self, ask: api.Ask, response: api.Response) -> api.Page:
        return api.Page([])

    def record(self, ask: api.Ask, row: Json) -> api.Record:
        return api.Record("thing", "1", {})
