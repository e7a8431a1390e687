"""The adapters that go through the contract suite, each with what its vendor says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapters import pcvisit, x_assist
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


CASES: Sequence[Case] = (pcvisit_case(), x_assist_case())
