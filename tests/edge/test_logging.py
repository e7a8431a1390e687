"""The log: levels, formats, one pipeline for everybody, and no secret whatever is logged."""

from __future__ import annotations

import enum
import io
import json
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
import structlog

from bridge.core.secret import MASK, Masker, Secret
from bridge.edge.logging import Format, configure, crash
from tests.support.configuration import SECRET

SPELLINGS = (SECRET, "s3cr3t", "W\\u00f6rt", "Wört", quote(SECRET, safe=""), "%C3%B6")
log = structlog.get_logger()


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging is global: put everything back."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:], root.level = before
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks


class Log(io.StringIO):
    """What stderr would have received."""

    @property
    def text(self) -> str:
        return self.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


def started(format: Format = "json", level: Any = "info", secrets: tuple[Secret, ...] = (Secret(SECRET),)) -> Log:
    stream = Log()
    configure(level, format, Masker(secrets), stream)
    return stream


def test_a_json_line_has_time_level_event_and_values() -> None:
    """One object a line: UTC time, level, event, then what was given, of any type."""
    out = started()
    log.info("page read", rows=3, took_s=0.5, walk=None, keys=("a", b"b"), nested={"x": [True]}, source="one")
    (line,) = out.lines
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert datetime.fromisoformat(line.pop("timestamp")).utcoffset().total_seconds() == 0  # type: ignore[union-attr]
    assert line == {
        "level": "info", "event": "page read", "rows": 3, "took_s": 0.5, "walk": None, "keys": ["a", "b"],
        "nested": {"x": [True]}, "source": "one",
    }  # fmt: skip


def test_the_level_is_kept() -> None:
    """Below the level nothing is written, by us or by libraries."""
    out = started(level="warning")
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)(name)
        getattr(logging.getLogger("library"), name)(name)
    assert [line["event"] for line in out.lines] == ["warning", "warning", "error", "error"]


def test_libraries_go_through_the_same_pipeline() -> None:
    """The standard library's records come out in our format; of chatty libraries only their warnings."""
    out = started()
    logging.getLogger("aiohttp.client").info("got %s from %r", SECRET, {"token": SECRET})
    logging.getLogger("nats").info("connected")
    logging.getLogger("nats").error("slow consumer")
    logging.getLogger("broken").error("wrong %d", "format")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"deprecated {SECRET}", stacklevel=1)
    first, second, third, fourth = out.lines
    assert (first["logger"], first["level"]) == ("aiohttp.client", "info")
    assert first["event"].startswith(f"got {MASK} from ")
    assert (second["logger"], second["event"]) == ("nats", "slow consumer")
    assert third["event"] == "wrong %d"
    assert (fourth["logger"], fourth["level"]) == ("py.warnings", "warning")
    assert_hidden(out)


def test_auto_is_json_where_there_is_no_terminal_and_console_where_there_is() -> None:
    """A pipe gets JSON; a terminal gets columns."""
    out = started("auto")
    log.info("x")
    assert out.lines[0]["event"] == "x"
    terminal = Log()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    configure("info", "auto", Masker(), terminal)
    log.info("x")
    assert not terminal.text.startswith("{")


def test_text_from_outside_cannot_forge_lines_or_drive_the_terminal() -> None:
    """Newlines and control characters in values are shown, not obeyed; lone surrogates do no harm."""
    out = started("console")
    log.info("first\n2026-01-01 [info] forged", value="\x1b[2J\x9b\ud800")
    assert out.text.count("\n") == 1
    assert "\x1b" not in out.text
    assert "\x9b" not in out.text
    out.getvalue().encode()


def test_context_is_in_every_line() -> None:
    """What was bound to the context or to the logger is logged with each event."""
    out = started()
    with structlog.contextvars.bound_contextvars(source="one"):
        log.bind(walk="fast").info("x")
    assert (out.lines[0]["source"], out.lines[0]["walk"]) == ("one", "fast")


class Colour(enum.Enum):
    RED = SECRET


class Pair(NamedTuple):
    a: str
    b: object


@dataclass
class Holder:
    value: object


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError(SECRET)


def fail(text: str = SECRET) -> None:
    local = text  # must not be shown
    try:
        raise KeyError(local)
    except KeyError as error:
        raise ExceptionGroup(f"group {text}", [ValueError(f"inside {text}"), OSError(5, text, text)]) from error


def raised() -> BaseException:
    try:
        fail()
    except ExceptionGroup as error:
        error.add_note(f"note {SECRET}")
        return error
    raise AssertionError


def assert_hidden(out: Log) -> None:
    assert out.text
    for spelling in SPELLINGS:
        assert spelling not in out.text


LEAKS: dict[str, Callable[[], object]] = {
    "event": lambda: log.info(f"using {SECRET}"),
    "positional": lambda: log.info("using %s", SECRET),
    "value": lambda: log.info("x", token=SECRET),
    "key": lambda: log.info("x", **{SECRET: 1}),
    "header": lambda: log.info("x", headers={"Authorization": f"Bearer {SECRET}", SECRET: b"x" + SECRET.encode()}),
    "url": lambda: log.info("x", url=f"https://h/?key={quote(SECRET, safe='')}&k={quote(SECRET)}"),
    "json": lambda: log.info("x", body=json.dumps({"a": [SECRET]}), ascii=json.dumps(SECRET, ensure_ascii=False)),
    "bytes": lambda: log.info("x", body=SECRET.encode(), more=bytearray(SECRET.encode())),
    "nested": lambda: log.info("x", a=[{"b": (SECRET, {SECRET})}]),
    "deep": lambda: log.info("x", a=[[[[[[[[[[[[SECRET]]]]]]]]]]]]),
    "named tuple": lambda: log.info("x", a=Pair(SECRET, {"b": SECRET})),
    "object": lambda: log.info("x", a=Holder(SECRET), b=Holder([SECRET]), c=Colour.RED),
    "secret object": lambda: log.info("x", a=Secret(SECRET), b=Holder(Secret(SECRET, "env A"))),
    "rude object": lambda: log.info("x", a=Rude()),
    "exception as event": lambda: log.error(raised()),
    "exception as value": lambda: log.error("x", error=raised(), more=KeyError(SECRET)),
    "traceback": lambda: log.error("x", exc_info=raised()),
    "traceback as a tuple": lambda: log.error("x", exc_info=(ValueError, raised(), None)),
    "library": lambda: logging.getLogger("l").error("%r", Holder(SECRET), exc_info=raised()),
    "library's object": lambda: logging.getLogger("l").error(Holder(SECRET)),
    "library's name": lambda: logging.getLogger(f"l.{SECRET}").error("x"),
    "crash": lambda: crash(raised()),
    "uncaught": lambda: sys.excepthook(ValueError, raised(), None),
    "long": lambda: log.info("x", body="y" * 9_995 + SECRET),
    "context": lambda: log.bind(a=SECRET).info("x"),
}


@pytest.mark.parametrize("format", ["json", "console"])
@pytest.mark.parametrize("leak", LEAKS)
def test_no_way_of_logging_shows_a_secret(leak: str, format: Format) -> None:
    """A known secret is put through every way a value can reach the log; no spelling of it comes out."""
    out = started(format)
    LEAKS[leak]()
    assert_hidden(out)


def test_a_secret_in_a_thread_or_a_finaliser_is_masked_too() -> None:
    """Uncaught exceptions of threads and of finalisers end in the log like the others."""
    out = started()
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join(10)

    class Last:
        def __del__(self) -> None:
            fail()

    Last()
    assert [line["level"] for line in out.lines] == ["critical", "critical"]
    assert "ValueError: inside [secret]" in out.lines[1]["exception"]
    assert_hidden(out)


def test_a_number_that_is_a_secret_is_masked() -> None:
    """A numeric secret is hidden also where it is logged as a number; other numbers stay numbers."""
    out = started(secrets=(Secret("12345678"),))
    log.info("x", pin=12345678, count=7, rate=float("nan"))
    line = out.lines[0]
    assert (line["pin"], line["count"], line["rate"]) == (MASK, 7, "nan")


def test_a_secret_learned_later_is_masked_from_then_on() -> None:
    """Tokens come and go while the daemon runs."""
    out, masker = Log(), Masker()
    configure("info", "json", masker, out)
    masker.add(Secret(SECRET))
    log.info("x", token=SECRET)
    assert_hidden(out)


def test_a_traceback_shows_code_but_no_local_variables() -> None:
    """File, line, code and message are there; the values of local variables are not."""
    out = started("console")
    log.error("x", exc_info=raised())
    log.exception("y", exc_info=ValueError("plain"))
    assert "raise KeyError(local)" in out.text
    assert "test_logging.py" in out.text
    assert "ValueError: plain" in out.text
    assert "text =" not in out.text


def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    """A closed or full stderr loses lines; the caller does not notice."""
    out = started()
    out.close()
    log.info("x")
    logging.getLogger("l").error("x")


def test_a_value_is_cut_at_a_length() -> None:
    """A body of megabytes becomes a line that says how much is missing."""
    out = started()
    log.info("x", body="y" * 1_000_000)
    assert len(out.text) < 11_000
    assert out.lines[0]["body"].endswith("… (990000 more characters)")


@pytest.mark.parametrize(
    ("method", "priority"), [("debug", 7), ("info", 6), ("warning", 4), ("error", 3), ("critical", 2), ("exception", 3)]
)
def test_the_journal_is_told_the_priority(
    method: str, priority: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where systemd says that stderr is its journal, each line begins with its level as syslog counts."""
    with (tmp_path / "journal").open("w+", encoding="utf-8") as stream:
        found = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        configure("debug", "auto", Masker(), stream)
        getattr(log, method)("it.happened")
        stream.seek(0)
        (line,) = stream.read().splitlines()
    assert line.startswith(f"<{priority}>{{")
    assert json.loads(line[3:])["event"] == "it.happened"


@pytest.mark.parametrize("given", ["", "1:2", "nonsense"])
def test_nobody_else_is_told_priorities(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, or a pipe of another program, gets plain JSON, even if the environment was inherited from a service."""
    monkeypatch.setenv("JOURNAL_STREAM", given)
    with (tmp_path / "file").open("w+", encoding="utf-8") as stream:
        configure("info", "auto", Masker(), stream)
        log.warning("it.happened")
        stream.seek(0)
        assert json.loads(stream.read())["event"] == "it.happened"
