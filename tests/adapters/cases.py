"""The adapters that go through the contract suite, each with what its vendor says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapters import agyletime, pcvisit, platform, prosonata, x_assist
from bridge.adapter import Ask, Json, Secret, Token, Window
from tests.adapters.contract import Case
from tests.support.answers import answer

SAMPLES = Path(__file__).parent / "samples"
DATE = {"date": "Mon, 01 Jan 2024 12:00:00 GMT"}


def sample(path: str) -> Json:
    """A recorded body."""
    return json.loads((SAMPLES / path).read_text("utf-8"))


def pcvisit_settings(**changes: Any) -> pcvisit.Settings:
    """A source with two made-up tokens."""
    given: dict[str, Any] = {
        "name": "acme",
        "adapter": "pcvisit",
        "http_url": "https://api.example.com/graphql",
        "integrator_token": Secret("integrator-token-0001", "env INTEGRATOR"),
        "user_token": Secret("user-token-0002", "env USER_TOKEN"),
    }
    return pcvisit.Settings(**given | changes)


def pcvisit_case() -> Case:
    """pcvisit, with the samples of its manual."""

    def make() -> pcvisit.Adapter:
        return pcvisit.Adapter(pcvisit_settings())

    token = Secret("anything")
    walk = make().walks(Token(token, facts={"customerUuid": "customer-uuid-here"}))[0]
    window = Window(1_609_459_200_000, 1_640_995_200_000)
    return Case(
        name="pcvisit",
        make=make,
        login=[answer(sample("pcvisit/login.json"), headers=DATE)],
        ask=Ask(walk, window),
        later=Ask(walk, window, {"cursor": "cursor_abc123", "seen": 50}),
        pages=[answer(sample("pcvisit/history.json")), answer(sample("pcvisit/whole.json"))],
        fields=["AcQuerySessionsHistory", "SiRetrieveSignedJwt"],
        secrets=["integrator-token-0001", "user-token-0002"],
        personal=["alice@support.example", "bob@support.example"],
    )


X_ASSIST_FIELDS = {
    "version": "version",
    "severity": "severity",
    "area_code": "area.code",
    "centre": "area.centre",
    "validity": "validity { lower upper } as datetime",
    "stay_ms": "stay as duration",
    "original": 'name(language: "de")',
}


def x_assist_settings(**changes: Any) -> x_assist.Settings:
    """A source with a made-up client and some fields of its own."""
    given: dict[str, Any] = {
        "name": "acme",
        "adapter": "x_assist",
        "graphql_url": "https://api.example.com/graphql",
        "issuer": "https://accounts.example.com",
        "client_id": "client-id-0001",
        "client_secret": Secret("client-secret-0002", "env X_ASSIST_SECRET"),
        "event_fields": X_ASSIST_FIELDS,
    }
    return x_assist.Settings(**given | changes)


def x_assist_case() -> Case:
    """X-Assist, with answers as its documents describe them."""

    def make() -> x_assist.Adapter:
        return x_assist.Adapter(x_assist_settings())

    walk = make().walks(Token(Secret("anything")))[0]
    window = Window(1_700_000_000_000, 1_704_110_400_000)
    return Case(
        name="x_assist",
        make=make,
        login=[answer(sample("x_assist/discovery.json")), answer(sample("x_assist/token.json"), headers=DATE)],
        ask=Ask(walk, window),
        later=Ask(walk, window, {"cursor": "Mw"}),
        pages=[answer(sample("x_assist/events.json"))],
        fields=["events", "nodes"],
        secrets=["client-secret-0002", sample("x_assist/token.json")["access_token"]],
        personal=[],
    )


def platform_settings(**changes: Any) -> platform.Settings:
    """A source with a made-up login."""
    given: dict[str, Any] = {
        "name": "plant",
        "adapter": "platform",
        "base_url": "https://iot.example.com",
        "login": "bridge-0001",
        "password": Secret("platform-password-0002", "env PLATFORM_PASSWORD"),
        "stores": ["objects", "models", "users"],
    }
    return platform.Settings(**given | changes)


def platform_case(walk_name: str, body: str, personal: Sequence[str] = ()) -> Case:
    """The generic platform, by one of its walks, with answers as its documents show them."""

    def make() -> platform.Adapter:
        return platform.Adapter(platform_settings())

    walk = next(walk for walk in make().walks(Token(Secret("anything"))) if walk.name == walk_name)
    window = Window(1_722_330_000_000, 1_722_340_000_000) if walk.once else None
    ids = ("66a8f0000000000000000001",) if walk.batch else ()
    later = {"stage": "slice", "low": 1_722_330_000_000, "high": 1_722_335_000_000, "width": 5_000_000, "full": 1000}
    cookie = {"set-cookie": "sid=platform-sid-0004; Path=/; Expires=Mon, 01 Jan 2024 18:00:00 GMT; HttpOnly"}
    return Case(
        name="platform",
        make=make,
        login=[answer(sample("platform/token.json"), headers=DATE), answer({"sucess": True}, headers=DATE | cookie)],
        ask=Ask(walk, window, None, ids),
        later=Ask(walk, window, later, ids),
        pages=[answer(sample(f"platform/{body}.json"), headers=DATE)],
        fields=["data"],
        secrets=["platform-password-0002", "platform-token-0003", "platform-sid-0004"],
        personal=personal,
    )


def prosonata_settings(**changes: Any) -> prosonata.Settings:
    """A source with a made-up app integration."""
    given: dict[str, Any] = {
        "name": "agency",
        "adapter": "prosonata",
        "subdomain": "agency",
        "api_key": Secret("prosonata-key-0001", "env PROSONATA_API_KEY"),
        "app_id": Secret("prosonata-app-0002", "env PROSONATA_APP_ID"),
    }
    return prosonata.Settings(**given | changes)


def prosonata_case(walk_name: str, personal: Sequence[str] = ()) -> Case:
    """ProSonata, by one of its walks, with answers as its documents show them."""

    settings = prosonata_settings()  # its tables are compiled once

    def make() -> prosonata.Adapter:
        return prosonata.Adapter(settings)

    walk = next(walk for walk in make().walks(Token(Secret("anything"))) if walk.name == walk_name)
    window = Window(1_702_000_000_000, 1_704_110_400_000) if walk.reach_s else None
    return Case(
        name="prosonata",
        make=make,
        login=[],
        ask=Ask(walk, window),
        later=Ask(walk, window, {"part": 0, "at": 2}),
        pages=[answer(sample(f"prosonata/{walk_name}.json"))],
        fields=["meta", "data"],
        secrets=["prosonata-key-0001", "prosonata-app-0002"],
        personal=personal,
    )


def agyletime_settings(**changes: Any) -> agyletime.Settings:
    """A source with a made-up access key."""
    given: dict[str, Any] = {
        "name": "workforce",
        "adapter": "agyletime",
        "subdomain": "acme",
        "region": "eu",
        "key_id": "AGY-key-0001",
        "secret": Secret("agy-secret-0002", "env AGYLETIME_SECRET"),
    }
    return agyletime.Settings(**given | changes)


def agyletime_case(walk_name: str, personal: Sequence[str] = ()) -> Case:
    """AgyleTime, by one of its walks, with answers as its pages and its clients describe them."""

    settings = agyletime_settings()  # its tables are compiled once

    def make() -> agyletime.Adapter:
        return agyletime.Adapter(settings)

    walk = next(walk for walk in make().walks(Token(Secret("anything"))) if walk.name == walk_name)
    window = Window(1_704_000_000_000, 1_704_110_400_000) if walk.reach_s is not None else None
    return Case(
        name="agyletime",
        make=make,
        login=[answer(sample("agyletime/token.json"), headers=DATE)],
        ask=Ask(walk, window),
        later=Ask(walk, window, {"part": 0, "at": "5bd2b3b0c8f1d2001f3a5e02"}),
        pages=[answer(sample(f"agyletime/{walk_name}.json"), headers=DATE)],
        fields=["items"],
        secrets=["agy-secret-0002", "agy-signature-0003"],
        personal=personal,
    )


CASES: Sequence[Case] = (
    pcvisit_case(),
    x_assist_case(),
    platform_case("objects", "objects"),
    platform_case("users", "users", ["Anna Adler", "anna1", "anna1@plant.example", "+49 30 123"]),
    platform_case("journal", "events", ["anna1", "192.0.2.7"]),
    platform_case("packets", "packets"),
    agyletime_case("users", ["Adalind", "Abendrot", "adalind.abendrot@staff.example"]),
    agyletime_case("tasks", ["b.cornwell@staff.example", "Sick leave"]),
    agyletime_case("shifts"),
    prosonata_case("projects"),
    prosonata_case("projecttimes"),
    prosonata_case("workingtimes", ["sickness"]),
    prosonata_case("contacts", ["h.doerfler@kunde.example", "+49 40 555310", "Lindenweg 9", "1977-03-14"]),
    prosonata_case("addresses", ["DE02120300000000202051"]),
)
