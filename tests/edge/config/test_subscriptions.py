"""`[[source.subscription]]`: every mistake with its file, line and key, before anything runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bridge.cli.main import main
from tests.support.configuration import ENVIRON, SOURCE, loaded, refused, write

PCVISIT = SOURCE.replace('"acme"', '"pcvisit"').replace("token =", "integrator_token =") + (
    'user_token = { env = "ACME_TOKEN" }\n'
)
GOOD = '''
[[source.subscription]]
name = "states"
entity = "computer"
id = "id"
fields = { online = "online" }
variables = { company = "{company}" }
document = """
subscription ($company: ID!) {
  changed(company: $company) { id online }
}
"""
'''


def test_a_subscription_is_read(tmp_path: Path) -> None:
    """All its keys arrive; a source may have several, and its drop-in may hold it."""
    (source,) = loaded(tmp_path, PCVISIT + GOOD + GOOD.replace('"states"', '"others"')).sources
    one, other = source.subscription  # type: ignore[attr-defined]
    assert (one.name, one.entity, one.id, one.fields) == ("states", "computer", "id", {"online": "online"})
    assert one.variables == {"company": "{company}"}
    assert "changed(company: $company)" in one.document
    assert other.name == "others"


@pytest.mark.parametrize(
    ("old", "new", "line", "text"),
    [
        ("online }\n}", "online\n}", 14, "line 4, column 1 of the document: Expected Name"),
        ("subscription (", "query (", 14, "expected a subscription, found a query"),
        ("{ company =", "{ firm =", 13, "variables: subscription states: the variable company is missing"),
        ('online = "online"', 'online = "on"', 12, "fields: subscription states: the document does not ask for"),
        ('id = "id"', 'uid = "id"', 11, "uid: unknown key; did you mean id?"),
        ('id = "id"\n', "", 8, 'subscription[0]: the key id is missing'),
        ('name = "states"', 'name = "a b"', 9, "name: expected letters, digits, - and _"),
        ('entity = "computer"', 'entity = "session"', 10, 'entity: the adapter maps these itself'),
        ('entity = "computer"\nid = "id"\nfields = { online = "online" }', 'shape = "computer"', 10,
         "shape: the adapter has no such mapping; there are: session"),
        ('entity = "computer"', 'entity = "computer"\nshape = "session"', 10, "entity: goes not with `shape`"),
        ('fields = { online = "online" }', "fields = { online = 5 }", 12, "fields: expected a table of texts"),
    ],
)  # fmt: skip
def test_each_mistake_has_its_line(tmp_path: Path, old: str, new: str, line: int, text: str) -> None:
    """The line in the file, the key by the source's name, and what to do."""
    assert old in GOOD
    found = refused(tmp_path, PCVISIT + GOOD.replace(old, new))
    assert any(
        one.startswith(f'bridged.toml:{line}: source["one"].subscription[0]') and text in one for one in found
    ), found


def test_two_of_one_name(tmp_path: Path) -> None:
    """The second one is the mistake."""
    (found,) = refused(tmp_path, PCVISIT + GOOD + GOOD)
    assert 'source["one"].subscription[1].name: another subscription of this source has that name' in found
    assert "bridged.toml:21:" in found


def test_the_values_of_variables_are_not_told(tmp_path: Path) -> None:
    """Whatever is wrong with the document."""
    text = GOOD.replace('"{company}"', '"hunter2-hunter2"').replace("$company: ID!", "$firm: ID!")
    found = refused(tmp_path, PCVISIT + text)
    assert found
    assert "hunter2" not in str(found)


def test_adapters_without_graphql_have_no_subscriptions(tmp_path: Path) -> None:
    """The key is unknown to them."""
    (found,) = refused(tmp_path, SOURCE + GOOD)
    assert 'source["one"].subscription: unknown key' in found


def test_other_keys_of_the_session(tmp_path: Path) -> None:
    """A code of four digits, a known meaning, an address of a WebSocket; each told at its place."""
    text = PCVISIT + 'ws_close_codes = { "4403" = "refresh" }\nws_url = "wss://push.example.com"\n'
    (source,) = loaded(tmp_path, text).sources
    assert source.ws_close_codes == {"4403": "refresh"}  # type: ignore[attr-defined]
    (found,) = refused(tmp_path, PCVISIT + 'ws_close_codes = { "44" = "refresh" }\n')
    assert found.startswith('bridged.toml:7: source["one"].ws_close_codes.44: expected a close code')
    assert "ws_close_codes: expected" in refused(tmp_path, PCVISIT + 'ws_close_codes = { "4403" = "panic" }\n')[0]
    assert "ws_url: expected an address" in refused(tmp_path, PCVISIT + 'ws_url = "https://push.example.com"\n')[0]


def test_check_ends_with_78_and_the_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`bridged check` on a document that is no GraphQL."""
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    path = write(tmp_path, PCVISIT + GOOD.replace("changed(", "changed)"))
    assert main(["check", "--json", "--config", str(path)]) == 78
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert (problem["line"], problem["key"]) == (14, 'source["one"].subscription[0].document')
    assert "line 2, column 10 of the document" in problem["message"]


def test_who_writes_no_graphql_does_not_wait_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library is imported for the first subscription, not before."""
    for name in [name for name in sys.modules if name == "bridge.edge.graphql_document"]:
        monkeypatch.delitem(sys.modules, name)
    loaded(tmp_path, PCVISIT)
    assert "bridge.edge.graphql_document" not in sys.modules
    loaded(tmp_path, PCVISIT + GOOD)
    assert "bridge.edge.graphql_document" in sys.modules


def test_variables_nested_without_end(tmp_path: Path) -> None:
    """An error at the key, not a crash: by dotted keys a short line nests as deep as it likes."""
    deep = GOOD.replace('variables = { company = "{company}" }', f'variables.company{".a" * 3_000} = "{{company}}"')
    (problem,) = refused(tmp_path, PCVISIT + deep)
    assert problem.startswith("bridged.toml:")
    assert problem.endswith(': source["one"].subscription[0].variables: nested more than 100 deep')
    fine = GOOD.replace('variables = { company = "{company}" }', f'variables.company{".a" * 90} = "{{company}}"')
    assert loaded(tmp_path, PCVISIT + fine).sources
