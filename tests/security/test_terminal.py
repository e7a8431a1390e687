"""What a vendor writes drives no terminal, forges no line and is no markup: in the log and in every command."""

from __future__ import annotations

import ast
import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from bridge.cli import output
from bridge.cli.state_view import print_whole
from bridge.cli.tail_line import line
from bridge.cli.tail_raw import raw_lines
from bridge.core.secret import Masker
from bridge.edge import logging
from bridge.edge.nats.jetstream import Message
from bridge.edge.operator.tail import STORED, Seen

ROOT = Path(__file__).parent.parent.parent
ESCAPES = [
    "\x1b[2J", "\x1b]0;title\x07", "\x1b]8;;http://evil.example\x1b\\", "\x9b31m", "\x9d52;c;aGk=\x9c", "\x08",
    "\n2026-01-01T00:00:00Z [error] forged", "\0", "\x7f", "\u202e", "\u2066", "\u2028", "\u2029", "\x85", "\ud800",
    "[bold red]", "[link=http://evil.example]x[/link]", "[/]", "[/bold]", "{0}", "%s", '"}\n{"event": 1}', "\r",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(ESCAPES) | st.text(max_size=4), min_size=1, max_size=6).map("".join)
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""What a console writes itself, in front of what it colours."""
NOW = datetime(2026, 1, 1, tzinfo=UTC)
FEW = settings(max_examples=40, deadline=None, database=None)


class Terminal(io.StringIO):
    """Takes what a terminal would, and says that it is one."""

    def isatty(self) -> bool:
        return True


def harmless(written: str, *, lines: int | None = None) -> None:
    """Nothing of it steers; it is so many lines."""
    assert STEERING.findall(COLOURS.sub("", written)) == []
    assert lines is None or written.count("\n") == lines, written
    written.encode()


@FEW
@given(TEXTS, st.sampled_from(["json", "console"]))
def test_the_log(text: str, format: logging.Format) -> None:
    """As an event, a key, a value, in depth and in an exception: one line each, and JSON stays JSON."""
    terminal = Terminal()
    logging.configure("info", format, Masker(), terminal)
    log = structlog.get_logger()
    log.info(text, value=text, deep=[{text: (text, text.encode("utf-8", "replace"))}], error=ValueError(text))
    log.info("event", **{text: 1})
    harmless(terminal.getvalue(), lines=2)
    if format == "json":
        assert json.loads(terminal.getvalue().split("\n")[0])["level"] == "info"
    try:
        raise ValueError(text)
    except ValueError:
        log.exception("event")
    harmless(terminal.getvalue())


@FEW
@given(TEXTS)
def test_the_tables_of_events(text: str) -> None:
    """`tail`, `tail --raw` and `state` show markup as letters, and each event as one line."""
    data = {"id": text, "after": {text: text, "deep": [text]}, "before": {}, "changed": [text]}
    seen = Seen(1, f"events.a.b.{text}.updated.x", 1_700_000_000_000, {text: text}, data)
    message = Message(text, 1, {STORED: "now", text: text}, text.encode("utf-8", "replace"))
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=10_000, highlight=False)
    console.print(line(seen), soft_wrap=True)
    harmless(written.getvalue(), lines=1)
    shown = COLOURS.sub("", written.getvalue())
    if "[bold red]" in text:
        assert "[bold red]" in shown
    console.print(*raw_lines(message), sep="\n", soft_wrap=True)
    harmless(written.getvalue())
    assert "\x1b]8" not in written.getvalue(), "a link"


@FEW
@given(TEXTS)
def test_one_entity(text: str) -> None:
    """`state` of one entity: a line of its JSON is a line, whatever breaks lines inside."""
    event = SimpleNamespace(vendor=text, source=text, entity=text, id=text, change="updated", via=text, version=text,
                            time=NOW, observed=NOW, after={"a": text})  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out := io.StringIO())
        print_whole(SimpleNamespace(event=event, seq=1))  # type: ignore[arg-type]
    harmless(out.getvalue(), lines=5)


@FEW
@given(TEXTS)
def test_what_commands_say(text: str) -> None:
    """Lines, columns, complaints and JSON, whatever command hands them over."""
    with pytest.MonkeyPatch.context() as patch:
        out, err = io.StringIO(), io.StringIO()
        patch.setattr("sys.stdout", out)
        patch.setattr("sys.stderr", err)
        output.say(text)
        output.complain(text)
        output.columns([(text, text)])
        output.emit({text: [text]})
    harmless(out.getvalue())
    harmless(err.getvalue())


def test_commands_write_by_no_other_way() -> None:
    """Elsewhere `print` is given what was made harmless before; what rich prints is its own `Text`, and no markup."""
    for path in sorted(ROOT.glob("bridge/cli/*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                made = "json_line(" in (text := ast.unparse(node)) or ".plain" in text
                assert made or path.name in ("output.py", "demo_view.py"), f"{path.name}:{node.lineno}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "print":
                told = [one for one in node.args if isinstance(one, (ast.JoinedStr, ast.Constant, ast.BinOp))]
                assert told == [], f"{path.name}:{node.lineno}: a text that may hold markup"
