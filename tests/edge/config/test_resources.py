"""`[[source.resource]]`: what a table changes, and every mistake with its file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.core.resource import ResourceSettings
from bridge.edge.config.schema import schema
from bridge.edge.discovery import Catalogue
from tests.support.configuration import loaded, refused

SOURCE = """[[source]]
name = "crew"
adapter = "agyletime"
subdomain = "acme"
region = "eu"
key_id = "key-0001"
secret = { env = "ACME_TOKEN" }
"""
GOOD = """
[[source.resource]]
name = "users"
every_s = 600
fields = { "private.phone" = "phone as text", roles = "" }

[[source.resource]]
name = "leave"
entity = "leave"
host = "tenant"
path = "schedule/leave"
one = "schedule/leave/{id}"
query = { state = "approved" }
fields = { person_id = "userId as id", starts_on = "from as date" }
window_from = "from={date}"
window_to = "to={date}"
dated = "starts_on"
slow_every_s = 3600
deletion = "confirm"
"""


def test_tables_are_read(tmp_path: Path) -> None:
    """A shipped one is changed where the table says so; a new one joins them."""
    (source,) = loaded(tmp_path, SOURCE + GOOD).sources
    assert isinstance(source, ResourceSettings)
    found = {one.name: one for one in source.resources}
    assert found["users"].every_s == 600
    assert found["users"].path == "organisation/users"
    assert found["users"].fields["private.phone"] == "phone as text"
    assert "roles" not in found["users"].fields
    assert "first_name" in found["users"].fields
    assert [walk.name for walk in found["leave"].walks()] == ["leave", "leave-slow"]
    assert found["leave"].query == {"state": "approved"}


@pytest.mark.parametrize(
    ("old", "new", "line", "text"),
    [
        ('roles = ""', 'rolls = ""', 12, "fields.rolls: nothing is called so, to be taken away"),
        ('"phone as text"', '"phone as color"', 12, "expected one of text, id, number"),
        ('"phone as text"', "5", 12, "fields: expected a table of texts"),
        ("every_s = 600", "every_s = 0", 11, "every_s: expected at least 1"),
        ("every_s = 600", "evry_s = 600", 11, "evry_s: unknown key; did you mean every_s?"),
        ('entity = "leave"', 'entity = "Leave"', 16, "entity: expected a lower-case name"),
        ('entity = "leave"', 'entity = "person"', 16, "entity: users has the same entity"),
        ('path = "schedule/leave"\n', "", 15, "name: the key path is missing"),
        ('name = "leave"', 'name = "users"', 15, "name: another resource of this source has that name"),
        ('"from={date}"', '"from"', 22, "window_from: expected a parameter such as"),
        ('dated = "starts_on"', 'dated = "person_id"', 24, "dated: expected one of our `fields` that is a date"),
        ('deletion = "confirm"', 'deletion = "confrim"', 26, 'did you mean "confirm"?'),
        ('host = "tenant"', 'host = "moon"', 17, "resource[1].host: expected tenant or regional"),
    ],
)
def test_each_mistake_has_its_line(tmp_path: Path, old: str, new: str, line: int, text: str) -> None:
    """The line in the file, the key by the source's name, and what to do."""
    assert old in GOOD
    found = refused(tmp_path, SOURCE + GOOD.replace(old, new))
    assert any('source["crew"].resource' in one and text in one for one in found), found
    assert any(one.startswith(f"bridged.toml:{line}: ") for one in found), found


def test_the_zone_is_checked(tmp_path: Path) -> None:
    """Before anything runs."""
    (found,) = refused(tmp_path, SOURCE + 'zone = "Europe/Atlantis"\n')
    assert found.startswith('bridged.toml:8: source["crew"].zone: expected a time zone that this machine knows')


def test_resources_are_in_the_schema() -> None:
    """Every key with its text; only the name is needed."""
    keys = schema({"agyletime": Catalogue().load("agyletime")})["$defs"]["source.agyletime"]["properties"]
    table = keys["resource"]["items"]
    assert table["required"] == ["name"]
    assert table["additionalProperties"] is False
    assert all(key["description"] for key in table["properties"].values())
    assert table["properties"]["deletion"]["enum"] == ["confirm", "ignore"]
    assert table["properties"]["fields"]["additionalProperties"] == {"type": "string"}
    assert table["properties"]["every_s"]["minimum"] == 1
    assert keys["zone"]["x-inferred"]
