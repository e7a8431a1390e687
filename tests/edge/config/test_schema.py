"""The JSON Schema says what the loader does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bridge.edge.config.schema import schema
from bridge.edge.discovery import Catalogue
from tests.support.configuration import VENDORS


def made() -> dict[str, Any]:
    return schema({"acme": Catalogue([VENDORS]).load("acme")})


def test_every_source_is_one_variant_told_apart_by_its_adapter() -> None:
    """`source` is a list of adapters' tables; unknown keys are refused, required ones named."""
    document = made()
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert document["properties"]["source"]["items"] == {"oneOf": [{"$ref": "#/$defs/source.acme"}]}
    variant = document["$defs"]["source.acme"]
    assert variant["properties"]["adapter"]["const"] == "acme"
    assert variant["required"] == ["name", "adapter", "http_url", "token"]
    assert variant["additionalProperties"] is False
    assert document["additionalProperties"] is False


def test_keys_have_type_default_bound_and_text() -> None:
    """Each key's declaration arrives in the schema; inferred facts are marked."""
    keys = made()["$defs"]["source.acme"]["properties"]
    assert keys["page_size"] == {
        "type": "integer",
        "default": 50,
        "minimum": 1,
        "description": "records per page (inferred: the vendor does not document it)",
        "x-inferred": True,
    }
    assert keys["auth"]["enum"] in (["jwt", "api-key"], ["api-key", "jwt"])
    assert keys["companies"]["type"] == "array"
    assert keys["accounts"]["items"]["required"] == ["id"]
    assert keys["omit"]["items"] == {"type": "string"}


def test_a_secret_is_one_of_three_references() -> None:
    """No schema accepts a literal secret."""
    document = made()
    assert document["$defs"]["source.acme"]["properties"]["token"]["$ref"] == "#/$defs/secret"
    assert document["properties"]["nats"]["properties"]["password"]["$ref"] == "#/$defs/secret"
    forms = document["$defs"]["secret"]["oneOf"]
    assert [form["required"] for form in forms] == [["env"], ["file"], ["credential"]]
    assert {form["type"] for form in forms} == {"object"}


def test_every_shipped_adapter_has_a_schema() -> None:
    """The adapters that are there can be described, without one named twice."""
    catalogue = Catalogue()
    shipped = {file.stem for file in (Path(__file__).parents[3] / "adapters").glob("[!_]*.py")}
    assert set(catalogue.names()) == shipped
    defs = schema({name: catalogue.load(name) for name in catalogue.names()})["$defs"]
    assert set(defs) == {"secret", *(f"source.{name}" for name in shipped)}


def test_subscriptions_are_in_the_schema() -> None:
    """Every key of `[[source.subscription]]`, and which are needed."""
    keys = schema({"pcvisit": Catalogue().load("pcvisit")})["$defs"]["source.pcvisit"]["properties"]
    table = keys["subscription"]["items"]
    assert table["required"] == ["name", "document"]
    assert table["additionalProperties"] is False
    assert {"variables", "path", "shape", "entity", "id", "fields", "gone", "occurred"} <= set(table["properties"])
    assert table["properties"]["fields"]["additionalProperties"] == {"type": "string"}
    assert set(keys["ws_close_codes"]["additionalProperties"]["enum"]) == {"refresh", "retry", "slow"}
    assert keys["ws_settle_s"]["x-inferred"]
