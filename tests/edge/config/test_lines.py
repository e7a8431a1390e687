"""Lines of keys: agreement with the parser, exact lines, and no crash whatever the text."""

from __future__ import annotations

import contextlib
import datetime
import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.edge.config.lines import DEEPEST, Path, find_lines
from tests.support.thorough import tries


def paths_of(value: Any, prefix: Path = ()) -> set[Path]:
    """Every key path of a parsed document."""
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {path for key, item in items for path in {(*prefix, key)} | paths_of(item, (*prefix, key))}
    return set()


# A document as a tree, then in one of the many ways TOML can spell it.
KEYS = st.text(min_size=0, max_size=6) | st.sampled_from(["a", "b-1", "source", "x_y", "1", "a.b", "#", '"', "'"])
LEAVES = st.one_of(
    st.integers(-99, 99),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(['x"""y', "'''", "a # b", "[no]\n[[no]]\nk = 1\n", '""', "\\", "1979-05-27 07:32:00", "}", "]"]),
    st.just(datetime.date(1979, 5, 27)),
)
TREES = st.dictionaries(
    KEYS,
    st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)),
    max_size=4,
)


def spell_string(draw: st.DrawFn, text: str) -> str:
    basic = _basic(text)
    ways = [basic, '"""\n' + basic[1:-1].replace("\\U0000000A", "\n") + '"""']
    printable = all(char.isprintable() for char in text)
    if printable and "'" not in text:
        ways.append(f"'{text}'")
    if printable and "'''" not in text and not text.endswith("'"):
        ways.append(f"'''\n{text}'''")
    return draw(st.sampled_from(ways))


def _basic(text: str) -> str:
    escapes = {'"': '\\"', "\\": "\\\\"}
    plain = (char if char.isascii() and char.isprintable() else f"\\U{ord(char):08X}" for char in text)
    return '"' + "".join(escapes.get(char, char) for char in plain) + '"'


def spell_key(draw: st.DrawFn, key: str) -> str:
    ways = [_basic(key)]
    if key and all(char.isascii() and (char.isalnum() or char in "-_") for char in key):
        ways += [key, f" {key}", f"'{key}'"]
    return draw(st.sampled_from(ways))


def spell_value(draw: st.DrawFn, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return spell_string(draw, value)
    if isinstance(value, list):
        gap = draw(st.sampled_from([" ", "\n", " # ], }\n", "\r\n\t"]))
        end = draw(st.sampled_from(["", ","])) if value else ""
        return "[" + gap + ("," + gap).join(spell_value(draw, item) + gap for item in value) + end + gap + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{spell_key(draw, k)} = {spell_value(draw, v)}" for k, v in value.items()) + " }"
    return value.isoformat() if isinstance(value, datetime.date) else repr(value)


def spell_table(draw: st.DrawFn, table: dict[str, Any], header: list[str]) -> str:
    pairs, later = "", ""
    for key, value in table.items():
        name = spell_key(draw, key)
        if isinstance(value, dict) and value and draw(st.booleans()):
            if draw(st.booleans()):
                body = spell_table(draw, value, [*header, name])
                later += f"[{' . '.join([*header, name])}] # [x]\n{body}"
            else:
                inner = value.items()
                pairs += "".join(f"{name} . {spell_key(draw, k)}={spell_value(draw, v)}\n" for k, v in inner)
        elif isinstance(value, list) and value and all(isinstance(v, dict) for v in value) and draw(st.booleans()):
            for item in value:
                later += f"[[{'.'.join([*header, name])}]]\n" + spell_table(draw, item, [*header, name])
        else:
            pairs += f"{name} = {spell_value(draw, value)}{draw(st.sampled_from(['', ' # = [', chr(13)]))}\n"
    return pairs + "\n# a comment = 1\n" + later


@st.composite
def documents(draw: st.DrawFn) -> str:
    return spell_table(draw, draw(TREES), [])


@settings(max_examples=tries(30, 150), deadline=None)
@given(documents())
def test_agrees_with_the_parser_about_which_keys_exist(text: str) -> None:
    """Whatever a document says and however it is spelled, the keys with lines are those the parser returns."""
    assert set(find_lines(text)) == paths_of(tomllib.loads(text))


@settings(max_examples=tries(30, 150), deadline=None)
@given(documents())
def test_a_keys_line_is_where_the_document_first_has_it(text: str) -> None:
    """Cut off before a key's line, the document no longer has the key, if it still is a document at all."""
    for path, line in find_lines(text).items():
        with contextlib.suppress(tomllib.TOMLDecodeError):
            assert path not in paths_of(tomllib.loads("\n".join(text.split("\n")[: line - 1])))


@settings(max_examples=tries(60, 300), deadline=None)
@given(st.text(st.sampled_from(list("ab.=[]{},\"'\\#\n\r\t 1-é\0")), max_size=60) | st.text(max_size=60))
def test_never_raises_and_never_contradicts_the_parser(text: str) -> None:
    """For any text the scan ends; where the parser accepts it, they agree."""
    lines = find_lines(text)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
    with contextlib.suppress(tomllib.TOMLDecodeError):
        assert set(lines) == paths_of(tomllib.loads(text))


def test_lines_are_exact() -> None:
    """Tables, arrays of tables, dotted keys, multi-line values and comments each count lines the way people do."""
    text = '''# one
[nats]
url = [
  "nats://a",  # four

  "nats://b",
]
tls.ca = """
x = 1
"""
tls.cert = 'c'

[[source]]
name = "one"
token = { env = "A", "b\\u0063" = { d = 1 } }
[source.inner]
deep = 1
[[source]]
name = "two"
  [[source.inner.list]]
  a = 1
  [[source.inner.list]]
  a = 2
'''
    lines = find_lines(text)
    expected: dict[Path, int] = {
        ("nats",): 2,
        ("nats", "url"): 3,
        ("nats", "url", 0): 4,
        ("nats", "url", 1): 6,
        ("nats", "tls"): 8,
        ("nats", "tls", "ca"): 8,
        ("nats", "tls", "cert"): 11,
        ("source",): 13,
        ("source", 0): 13,
        ("source", 0, "name"): 14,
        ("source", 0, "token"): 15,
        ("source", 0, "token", "env"): 15,
        ("source", 0, "token", "bc"): 15,
        ("source", 0, "token", "bc", "d"): 15,
        ("source", 0, "inner"): 16,
        ("source", 0, "inner", "deep"): 17,
        ("source", 1): 18,
        ("source", 1, "name"): 19,
        ("source", 1, "inner"): 20,
        ("source", 1, "inner", "list"): 20,
        ("source", 1, "inner", "list", 0): 20,
        ("source", 1, "inner", "list", 0, "a"): 21,
        ("source", 1, "inner", "list", 1): 22,
        ("source", 1, "inner", "list", 1, "a"): 23,
    }
    assert lines == expected


@pytest.mark.parametrize(
    "string",
    [
        '""', '"\\""', "''", '"#]}"', '""""""', '"""a "" b"""', '"""a"" """', '"""a"\\""""', '"""a"""""', '"""a""""',
        '"""a \\""" b"""', "''''''", "'''a '' b'''", "'''a'''''", "'''a\\'''", '"""\n[x]\ny = 1 """',
    ],
)  # fmt: skip
def test_every_kind_of_string_ends_where_it_ends(string: str) -> None:
    """Quotes inside and directly before the end of strings of all four kinds do not end them early or late."""
    text = f"a = [{string}, 1]\nb = {{ c = {string} }}\nd = {string}\ne = 2"
    assert set(find_lines(text)) == paths_of(tomllib.loads(text))


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "{b=" * 5000, "[" * 5000, "." * 5000, '"' * 5001])
def test_nesting_has_an_end(text: str) -> None:
    """Absurd depth ends the scan, not the program."""
    assert len(find_lines(text)) <= DEEPEST + 2
