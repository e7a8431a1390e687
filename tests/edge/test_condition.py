"""Conditions in CEL, with the real library."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bridge.core.alerts.expression import FUNCTIONS, read
from bridge.core.alerts.template import NAMES
from bridge.edge import condition
from bridge.edge.condition import BadCondition, ConditionFailed, compile_condition
from tests.support.happenings import happening
from tests.support.thorough import tries

EVENT: dict[str, Any] = {
    **happening(7, changed=("name", "state")).variables(),
    "time": "2024-02-29T23:30:15.250Z",
    "after": {
        "name": "Drucker", "n": 3, "whole": 3.0, "price": 2.5, "list": [1, 2, 3], "none": None, "ä": 1,
        "heat": "Überhitzung", "rows": [{"a": 1}, {"a": 2}], "big": 2**63, "bigger": 2**70, "secret": "hunter2",
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        # numbers of JSON: whole ones and others compare by value
        ("after.n == 3 && after.n == 3.0 && after.whole == 3", True),
        ("after.price > 2 && after.n > 2.5 && 2 < after.price", True),
        ("after.n + 1 == 4 && double(after.n) + 0.5 == 3.5 && after.n % 2 == 1", True),
        ("after.big > 0 && after.bigger > 1.0e20", True),
        ("int(after.price) == 2 && string(after.n) == '3' && type(after.n) == int", True),
        # texts
        ('after.name.startsWith("Dru") && after.name.endsWith("er") && after.name.contains("uck")', True),
        ('after.name.matches("^D.*r$") && !after.name.matches(r"^[a-z]+$")', True),
        ('after.heat.size() == 11 && size(after.heat) == 11 && size("") == 0', True),
        ('after.name + "!" == "Drucker!"', True),
        ("after.name == 'Printer' || source == \"acme\"", True),
        # lists, objects and macros
        ('"name" in changed && !("site" in changed)', True),
        ("after.list.all(x, x > 0) && after.list.exists(x, x == 2) && after.list.exists_one(x, x > 2)", True),
        ("after.list.filter(x, x > 1).size() == 2 && after.list.map(x, x * 2) == [2, 4, 6]", True),
        ("after.rows.exists(row, row.a == 2) && after.rows[0].a == 1 && size(after.rows) == 2", True),
        ('after.exists(key, key == "heat") && "n" in after', True),
        ('after["name"] == "Drucker"', True),
        # what is not there
        ("has(after.colour)", False),
        ("has(after.none)", True),
        ("after.none == null && before == null && after != null", True),
        ("before != null && before.n == 3", False),
        ("has(after.colour) && after.colour == 'red'", False),
        # times
        ('timestamp(time) > timestamp("2024-02-29T12:00:00Z")', True),
        ('timestamp(time) - timestamp("2024-02-29T22:30:15.25Z") == duration("1h")', True),
        ("timestamp(time).getHours() == 23 && timestamp(time).getDayOfWeek() == 4", True),
        ('timestamp(time).getHours("Europe/Berlin") == 0 && timestamp(time).getHours("UTC") == 23', True),
        ('timestamp(time).getDate("Europe/Berlin") == 1 && timestamp(time).getMonth("Europe/Berlin") == 2', True),
        ('timestamp(time).getHours("+01:00") == 0 && timestamp(time).getMinutes("-00:45") == 45', True),
        ('timestamp(time).getDayOfYear("UTC") == 59 && timestamp(time).getMilliseconds("UTC") == 250', True),
        ('duration("90m").getHours() == 1 && duration("90m").getMinutes() == 90', True),
        ('timestamp(time).getHours("UTC") == 23 && duration("90m").getHours() == 1', True),
        # the rest
        ("// a comment\nafter.n > 2 ? true : false", True),
        ('vendor == "pcvisit" && change in ["created", "updated"]', True),
        ('"after.colour" == "after.colour"', True),
        ("after.colour == 1 || true", True),
    ],
)  # fmt: skip
def test_what_expressions_say(expression: str, answer: bool) -> None:
    """As the language has it; where the library counts bytes or knows no zones, we do."""
    assert compile_condition(expression)(EVENT) is answer


@pytest.mark.parametrize(
    ("expression", "line", "column", "text"),
    [
        ("", 1, 1, "the expression is empty"),
        (" \n ", 1, 1, "the expression is empty"),
        ('vendor == "x" &&', 1, 17, "the expression ends before it is complete"),
        ("vendor ==\n\n ]", 3, 2, "did not expect ']' here"),
        ("a b", 1, 3, "did not expect 'b' here"),
        ('"ööö" ++ 1 == 2', 1, 8, "did not expect '+' here"),
        ('vendor == "x', 1, 11, "did not expect '\"x' here"),
        ("afer.name == 1", 1, 1, "an event has no afer; did you mean after?"),
        ("true &&\n  name == 1", 2, 3, "an event has no name; there are: after, before,"),
        ("after.name.startWith('a')", 1, 12, "there is no function startWith(); did you mean startsWith?"),
        ("after.name.matches(after.n)", 1, 20, "the pattern must be written here"),
        ("matches(after.name, 'a')", 1, 9, "the pattern must be written here"),
        ('after.name.matches("(")', 1, 20, "this is no regular expression"),
        ('after.name.matches("(a{100}){100}")', 1, 20, "the pattern is too large"),
        ('after.name.matches(r"(?i)(\\pL|\\pN){200}")', 1, 20, "the pattern is too large"),
        ("after.list.all(after, after > 1)", 1, 16, "after is a field of the event: call the element otherwise"),
        (
            "after.list.all(a, [a].all(b, [b].all(c, [c].all(d, d > 1))))",
            1,
            48,
            "more than 3 macros inside one another",
        ),
        ("(" * 200 + "1" + ")" * 200, 1, 97, "nested too deep"),
        ("1 + 1", 1, 1, "the expression is to be true or false, and is a number"),
        ("'a' < 1", 1, 1, "an operation does not fit"),
        ("1 / 0 == 1", 1, 1, "something is divided by zero"),
        ("true" + " " * 4000, 0, 0, "the expression is longer than 4000 characters"),
    ],
)
def test_what_is_refused_when_it_is_compiled(expression: str, line: int, column: int, text: str) -> None:
    """With the line and the column, and in our words."""
    with pytest.raises(BadCondition) as caught:
        compile_condition(expression)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert text in caught.value.message


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("after.colour == 1", "the event lacks a field it names: colour; has(…) tells beforehand"),
        ('after["colour"] == 1', "lacks a field it names: colour"),
        ("after[after.secret] == 1", "lacks a field it names; has(…) tells"),
        ("before.name == 'x'", "such as null"),
        ("has(before.name)", "such as null"),
        ("after.secret > 3", "such as null, or text in place of a number"),
        ("after.secret + 1 == 2", "such as null, or text"),
        ("after.list[3] == 1", "a list is shorter than the index"),
        ("after.n / 0 == 1", "something is divided by zero"),
        ("after.n + 9223372036854775807 == 1", "a number is too large"),
        ("int(after.secret) == 1", "a function does not accept what the event holds"),
        ("timestamp(after.secret) > timestamp(time)", "a function does not accept"),
        ("timestamp(time).getHours(after.secret) == 1", "a function does not accept"),
        ("after.n.size() == 1", "a function does not accept"),
        ("after.secret", "is to be true or false, and is text"),
        ("after.none", "and is null"),
        ("after.n", "and is a number"),
        ("after.list", "and is a list"),
        ("after", "and is an object"),
        ("timestamp(time)", "and is no boolean"),
    ],
)
def test_what_fails_for_one_event(expression: str, text: str) -> None:
    """Says why, and shows nothing that the event holds."""
    compiled = compile_condition(expression)
    with pytest.raises(ConditionFailed) as caught:
        compiled(EVENT)
    assert text in f"{caught.value}"
    assert "hunter2" not in f"{caught.value!r}"
    assert caught.value.__cause__ is None
    # The next event is another one.
    with pytest.raises(ConditionFailed):
        compiled({})


@pytest.mark.parametrize(
    ("expression", "after"),
    [
        ('after.text.matches("(a+)+$")', {"text": "a" * 70_000}),
        ("after.list.all(x, after.list.all(y, x == y))", {"list": list(range(1500))}),
        ("after.list.map(x, x) == []", {"list": list(range(10_000))}),
        ("after.list.all(x, x in after.other)", {"list": list(range(3000)), "other": list(range(3000))}),
        ("after.list.all(x, after.other.size() > x)", {"list": list(range(3000)), "other": list(range(3000))}),
        ("after.list.all(x, !after.text.contains(x))", {"list": ["x"] * 10_000, "text": "y" * 60_000}),
        ("after.list != null", {"list": list(range(100_001))}),
        ("after.list.map(x, after.list.map(y, x)) == []", {"list": list(range(200))}),
        ('after.list.exists(x, x.matches("^b$"))', {"list": ["a"] * 10_000}),
        ("[after.text + after.text].map(a, [a + a].map(b, [b + b].map(c, c + c))) == []", {"text": "x" * 1_000_000}),
    ],
)
def test_what_could_take_seconds_is_not_tried(expression: str, after: dict[str, Any]) -> None:
    """Nothing can end an evaluation once it has begun."""
    with pytest.raises(ConditionFailed, match="too l"):
        compile_condition(expression)({"after": after})
    # Only what the expression names counts.
    assert compile_condition("after.n == 1")({"after": {**after, "n": 1}})


@pytest.mark.parametrize(
    "expression",
    [
        'after.rows.exists(row, row.tags.exists(tag, tag == "b"))',
        'after.rows.filter(row, row.state == "open").size() == 200',
        "after.rows.exists(row, row.state == after.state && row.id == after.id)",
        'after.rows.all(row, row.state in ["open", "closed"])',
        "after.rows.all(row, row.state in after.states)",
        'after.rows[0].tags.map(tag, tag + "!")[1] == "b!"',
    ],
)
def test_what_is_usual_is_not_taken_for_expensive(expression: str) -> None:
    """Two hundred rows of five fields."""
    rows = [{"id": n, "tags": ["a", "b"], "state": "open", "n": 1} for n in range(200)]
    event = {"after": {"rows": rows, "state": "open", "id": 199, "states": ["open", "closed"]}}
    assert compile_condition(expression)(event) is True


def test_hostile_patterns_and_values() -> None:
    """What makes other engines go back over a text for ever; and a value that is nested without end."""
    for pattern in ("(a+)+$", "(a|aa)+b", "(a*)*b", ".*.*.*.*.*b", "^(([a-z])+.)+[A-Z]([a-z])+$"):
        assert compile_condition(f'after.text.matches("{pattern}") || true')({"after": {"text": "a" * 60_000}})
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ConditionFailed, match="nested more than 100 deep"):
        compile_condition("after.deep == 1")({"after": {"deep": deep}})


def test_a_panic_of_the_library_concerns_one_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no Exception: it would end the daemon. What ends programs on purpose still does."""

    class PanicException(BaseException):
        pass

    class Program:
        source = "true"
        error: BaseException = PanicException("hunter2")

        def execute(self, _: Any) -> Any:
            raise self.error

    class Library:
        program = Program()

        def compile(self, text: str) -> Any:
            if text == "vendor":
                raise PanicException("hunter2")
            return self.program

    library = Library()
    monkeypatch.setattr(condition, "_library", lambda: library)
    compiled = compile_condition("vendor == source")
    with pytest.raises(ConditionFailed, match="cannot be evaluated for this event"):
        compiled(EVENT)
    with pytest.raises(BadCondition, match="cannot be read"):
        compile_condition("vendor")
    library.program.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        compiled(EVENT)


def test_every_function_that_is_let_through_is_there() -> None:
    """An expression that compiles does not fail for a name."""
    calls = {
        **dict.fromkeys(("contains", "startsWith", "endsWith"), '"a".{}("a")'),
        **dict.fromkeys(("timestamp",), 'timestamp("2024-02-29T12:00:00Z") == timestamp("2024-02-29T12:00:00Z")'),
        "matches": '"a".matches("a")', "has": "has({{'a': 1}}.a)", "duration": 'duration("1h") == duration("60m")',
        "size": "size([]) == 0",
    }  # fmt: skip
    for name in sorted(FUNCTIONS):
        if name.startswith("get"):
            form = (
                'timestamp("2024-02-29T12:00:00Z").{0}() >= 0 && timestamp("2024-02-29T12:00:00Z").{0}("+00:00") >= 0'
            )
        else:
            form = calls.get(name, "{}(1) == {}(1)" if name != "bytes" else '{}("a") == {}("a")')
        assert compile_condition(form.format(name, name))(EVENT), name


def test_threads_may_share_a_condition() -> None:
    """Each gets its own answers."""
    compiled = compile_condition('after.n == 3 && timestamp(time).getHours("UTC") == 23 && after.heat.size() == 11')
    wrong: list[int] = []

    def work() -> None:
        for n in range(200):
            if compiled({**EVENT, "after": {**EVENT["after"], "n": n % 5}}) != (n % 5 == 3):
                wrong.append(n)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_what_is_loaded() -> None:
    """The evaluating half of the library alone: its command line would bring a terminal toolkit along."""
    program = (
        "import sys, json\n"
        "from bridge.edge.condition import compile_condition\n"
        "before = len(sys.modules)\n"
        "assert compile_condition('vendor == \"a\"')({'vendor': 'a'})\n"
        "print(json.dumps([name for name in ('typer', 'prompt_toolkit', 'pygments', 'rich') if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == []


def test_only_what_is_named_is_handed_over() -> None:
    """A field of an object where the expression names one; all of it where it may mean any."""
    fields = {name: keys if keys is None else set(keys) for name, keys in read("after.a.b == after.c").fields.items()}
    assert fields == {"after": {"a", "c"}}
    assert read("after == before").fields == {"after": None, "before": None}
    assert read("after != null").fields == {"after": frozenset()}
    assert read("after.exists(x, true) || after.a == 1").fields == {"after": None}
    assert read('"after.a" == vendor // time').fields == {"vendor": None}
    assert read("{'a': after.a}.size() == 1").fields == {"after": frozenset({"a"})}


WORDS = st.sampled_from(
    ["after", "before", "changed", "vendor", "after.name", "after.n", "after.list", "'a'", '"Überhitzung"', "1", "2.5",
     "null", "true", "x", "(", ")", "[", "]", "{", "}", ".", ",", ":", "?", "==", "!=", "<", "+", "-", "!", "&&", "||",
     " in ", ".size()", ".all(x, x == 1)", ".exists(", ".map(x, x)", ".matches('a')", "size(", "has(after.name)",
     "timestamp(time)", ".getHours('UTC')", "//", "\n", "'", '"', "\\", "r'", "`", "ä", "\x00", "\ud800"]
)  # fmt: skip


@hypothesis_settings(max_examples=tries(40, 150), deadline=None, derandomize=True)
@given(st.lists(WORDS, max_size=14).map("".join), st.sampled_from(["", " "]))
def test_any_text_is_refused_or_answers(text: str, more: str) -> None:
    """Nothing else is ever raised, whatever is written and whatever the event holds."""
    try:
        compiled = compile_condition(text + more)
    except BadCondition:
        return
    for event in (EVENT, {}, dict.fromkeys(NAMES), {**EVENT, "after": [1, {"name": 1}]}):
        with contextlib.suppress(ConditionFailed):
            assert compiled(event) in (True, False)
