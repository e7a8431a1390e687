"""The log: one pipeline for our own events, the standard library's logging, warnings and crashes.

Every value is made plain, every known secret is taken out of every text, and only then a line is written to stderr:
JSON for machines, columns for people, and for the journal with the priority in front that it filters by. Tracebacks
show code and messages, never local variables. Logging never raises.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import sys
import threading
import traceback
from collections.abc import Mapping
from typing import Any, Literal, NoReturn, TextIO

import structlog

from bridge.core.secret import Masker, Secret

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "json", "console"]

LONGEST = 10_000
"""Characters of one value; a traceback may have four times as many."""

DEEPEST = 8
"""Levels of nested values."""

# These speak of every request or reconnect at `info`; what matters of it we log ourselves.
_CHATTY = ("aiohttp.access", "asyncio", "nats")

# As syslog counts (RFC 5424 section 6.2.1). systemd takes `<4>` at the beginning of a line for the line's priority, and
# what has none for "info" (sd-daemon(3)).
_PRIORITIES = {"debug": "<7>", "info": "<6>", "warning": "<4>", "error": "<3>", "critical": "<2>"}

_KEEP_LINES = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)}
# What breaks lines elsewhere, and what turns the writing's direction: text may not look like another one.
_TURNS = (0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
_KEEP_LINES |= {code: f"\\u{code:04x}" for code in _TURNS}
_ONE_LINE = {**_KEEP_LINES, 9: "\\t", 10: "\\n"}


class _Pipeline:
    """From an event dict to a written line."""

    def __init__(self, masker: Masker, stream: TextIO, console: bool) -> None:
        self._masker = masker
        self._stream = stream
        self._priorities = _PRIORITIES if _is_journal(stream) else {}
        self._stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
        self._columns = (
            structlog.dev.ConsoleRenderer(
                colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback, sort_keys=False
            )
            if console
            else None
        )

    def write(self, logger: Any, method: str, event: structlog.typing.EventDict) -> None:
        """Never raises: a log that cannot be written is no reason to stop."""
        level = str(event.get("level", method))
        try:
            line = self._line(logger, method, event)
        except Exception as error:  # noqa: BLE001 - a value whose rendering fails must not take the daemon along
            line = json.dumps({"level": "error", "event": "a log line failed", "error": type(error).__name__})
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(f"{self._priorities.get(level, '')}{line}\n")
            self._stream.flush()

    def _line(self, logger: Any, method: str, event: structlog.typing.EventDict) -> str:
        failure = _failure(event.pop("exc_info", None))
        plain: dict[str, Any] = {"timestamp": "", "level": event.pop("level", method)}
        plain["event"] = self._plain(event.pop("event", ""))
        plain |= {self._text(key): self._plain(value) for key, value in event.items()}
        if failure is not None:
            shown = "".join(traceback.format_exception(failure))
            plain["exception"] = self._text(shown, _KEEP_LINES, LONGEST * 4)
        self._stamp(logger, method, plain)
        if self._columns is None:
            return json.dumps(plain, ensure_ascii=False)
        return str(self._columns(logger, method, plain))

    def _plain(self, value: Any, depth: int = 0) -> Any:
        if value is None or isinstance(value, bool) or (isinstance(value, float) and math.isfinite(value)):
            return value
        if isinstance(value, int):
            # A secret may be a number; only then it becomes text.
            return value if self._masker.mask(text := str(value)) == text else self._text(text)
        if isinstance(value, (str, Secret)):
            return self._text(str(value))
        if isinstance(value, (bytes, bytearray)):
            return self._text(value.decode("utf-8", "backslashreplace"))
        if depth < DEEPEST:
            if isinstance(value, Mapping):
                return {self._text(str(key)): self._plain(item, depth + 1) for key, item in value.items()}
            if isinstance(value, (list, tuple, set, frozenset)):
                return [self._plain(item, depth + 1) for item in value]
        return self._text(_show(value))

    def _text(self, text: str, escapes: Mapping[int, str] = _ONE_LINE, longest: int = LONGEST) -> str:
        """Masked first, since a secret that is cut or escaped would no longer be recognised."""
        masked = self._masker.mask(text)
        if len(masked) > longest:
            masked = f"{masked[:longest]}… ({len(masked) - longest} more characters)"
        # A vendor's text must neither forge a line nor reach the terminal's controls.
        return masked.encode("utf-8", "backslashreplace").decode().translate(escapes)


class _Handler(logging.Handler):
    """Brings the standard library's records into the pipeline."""

    def __init__(self, pipeline: _Pipeline) -> None:
        super().__init__()
        self._pipeline = pipeline

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001 - a library's wrong format string
            text = str(record.msg)
        event = {"event": text, "logger": record.name, "level": record.levelname.lower()}
        self._pipeline.write(None, event["level"], {**event, "exc_info": record.exc_info})


_current: _Pipeline | None = None


def configure(level: Level, format: Format, masker: Masker, stream: TextIO | None = None) -> None:
    """Send everything that is logged from now on through one pipeline, to `stream` (default: stderr).

    `format` "auto" is console on a terminal and JSON elsewhere. Secrets added to `masker` later are masked from
    then on. Also takes over uncaught exceptions, those of threads included. May be called again.
    """
    global _current
    stream = stream or sys.stderr
    console = format == "console" or (format == "auto" and stream.isatty())
    pipeline = _current = _Pipeline(masker, stream, console)
    number = getattr(logging, level.upper())

    def render(logger: Any, method: str, event: structlog.typing.EventDict) -> NoReturn:
        pipeline.write(logger, method, event)
        raise structlog.DropEvent  # it is written: nothing is left for structlog to do

    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        cache_logger_on_first_use=False,
    )
    logging.captureWarnings(True)
    root = logging.getLogger()
    root.handlers[:] = [_Handler(pipeline)]
    root.setLevel(number)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(number if level == "debug" else max(number, logging.WARNING))
    sys.excepthook = lambda _kind, error, _trace: crash(error)
    sys.unraisablehook = lambda args: crash(args.exc_value or args.exc_type())
    threading.excepthook = _thread_crash


def crash(error: BaseException) -> None:
    """Log an exception nobody caught, as a bug. Works before `configure`, too."""
    if _current is None:
        configure("info", "auto", Masker())
    assert _current is not None
    _current.write(None, "critical", {"event": "a bug: this exception was not expected", "exc_info": error})


def _thread_crash(args: threading.ExceptHookArgs) -> None:
    if not issubclass(args.exc_type, SystemExit):
        crash(args.exc_value or args.exc_type())


def _is_journal(stream: TextIO) -> bool:
    """Whether what is written there goes straight to systemd's journal, which names it in the environment."""
    given = os.environ.get("JOURNAL_STREAM", "")
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return given == f"{found.st_dev}:{found.st_ino}"


def _failure(value: Any) -> BaseException | None:
    """The exception meant by any of the forms `exc_info` may have."""
    if isinstance(value, BaseException):
        return value
    if isinstance(value, tuple):
        return next((part for part in value if isinstance(part, BaseException)), None)
    return sys.exc_info()[1] if value else None


def _show(value: object) -> str:
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - a value that cannot show itself is no reason to lose the line
        return f"<{type(value).__name__}: its repr raised {type(error).__name__}>"
