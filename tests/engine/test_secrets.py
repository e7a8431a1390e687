"""Known secrets through every failure of the engine: nowhere in the stream, in a status or in the log."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import anyio
import pytest
import structlog

from bridge.adapter import Ask, Json, Login, Page, Record, Request, Response, Secret, Token, Walk
from bridge.core.errors import Away, CursorExpired, Malformed, Refused, Retry, Throttled, Unauthorized
from bridge.core.secret import Masker
from bridge.edge import logging as our_logging
from bridge.engine.runner import Runner
from bridge.engine.source import Source
from tests.support import sim_vendor as sim
from tests.support.engine import Bench, on_virtual_clock
from tests.support.memory_ledger import MemoryBook
from tests.support.sim_vendor import SimAdapter

CONFIGURED = "api-key/with+strange=signs-7f3a"
ISSUED = "issued-token-0123456789abcdef"


class Gossip(SimAdapter):
    """Says both secrets wherever it can. `mood` is what goes wrong."""

    mood: Callable[[str], Exception | None] = staticmethod(lambda where: None)

    def login(self) -> Login:
        yield Request("POST", "sim:login", counts=False)
        self._say("login")
        return Token(Secret(ISSUED))

    def walks(self, token: Token) -> Sequence[Walk]:
        self._say("walks")
        return super().walks(token)

    def request(self, ask: Ask, token: Token) -> Request:
        return Request("GET", "sim:things", {"authorization": Secret("x-9999999999999")}, {"after": None, "size": 3})

    def page(self, ask: Ask, response: Response) -> Page:
        self._say("page")
        self._raise_for(response)
        return Page(response.json["rows"])

    def record(self, ask: Ask, row: Json) -> Record:
        self._say("record")
        return super().record(ask, row)

    def live(self, frame: Json) -> Sequence[Record]:
        self._say("live")
        return super().live(frame)

    def _say(self, where: str) -> None:
        error = type(self).mood(where)
        if error is not None:
            raise error


class Talk(Bench):
    """A bench that knows one secret from its configuration, and learns the other by logging in."""

    def __init__(self, mood: Callable[[str], Exception | None], *, live: bool) -> None:
        super().__init__(live=live)
        self._world.masker.__init__([Secret(CONFIGURED)])  # type: ignore[misc]
        Gossip.mood = staticmethod(mood)
        self.seen: list[str] = []
        for name in "ab":
            self.vendor.put(name, "1")

    def _fresh(self) -> Runner:
        return Runner(Source(Gossip(self._settings), self.vendor.feed if self._live else None), self._world)

    @property
    def masker(self) -> Masker:
        return self._world.masker

    def look(self) -> None:
        """Everything that can be seen from outside now."""
        self.seen.append(repr(self.runner.status))
        self.seen.append(repr(self.runner._reader.keeper.__dict__))

    def everything(self) -> str:
        """All that was ever to be seen, in the plain and decoded."""
        found = list(self.seen)
        for entry in self.ledger._messages.values():
            found += [entry.subject, repr(dict(entry.headers)), entry.payload.decode()]
            after = entry.data.get("after")
            if isinstance(after, dict) and "raw_base64" in after:
                found.append(base64.b64decode(after["raw_base64"]).decode("utf-8", "replace"))
        return "\n".join(found)


@pytest.fixture
def log() -> Iterator[Callable[[Masker], io.StringIO]]:
    """Our own log, as the daemon writes it."""

    def start(masker: Masker) -> io.StringIO:
        stream = io.StringIO()
        our_logging.configure("debug", "json", masker, stream)
        return stream

    yield start
    structlog.reset_defaults()


def text() -> str:
    return f"the vendor said: key {CONFIGURED}, bearer {ISSUED}, url ?key=api-key%2Fwith%2Bstrange%3Dsigns-7f3a"


ERRORS: dict[str, Callable[[], Exception]] = {
    "retry": lambda: Retry(text()),
    "throttled": lambda: Throttled(text(), after=1),
    "unauthorized": lambda: Unauthorized(text()),
    "refused": lambda: Refused(text()),
    "expired": lambda: CursorExpired(text()),
    "malformed": lambda: Malformed(text(), raw=text().encode()),
    "malformed in bytes": lambda: Malformed(text(), raw=b"\xff" + text().encode() + b"\xfe"),
    "malformed and long": lambda: Malformed(text() * 100, raw=(text() * 10_000).encode()),
    "a bug": lambda: ZeroDivisionError(text()),
    "a bug that quotes": lambda: KeyError(json.dumps({"key": CONFIGURED, "token": ISSUED})),
}


@pytest.mark.parametrize("where", ["login", "walks", "page", "record", "live"])
@pytest.mark.parametrize("what", ERRORS)
def test_no_failure_tells_a_secret(where: str, what: str, log: Callable[[Masker], io.StringIO]) -> None:
    """Whatever goes wrong, wherever, and whatever the vendor echoes: first it works, then it fails for minutes."""
    failures = 0

    def mood(at: str) -> Exception | None:
        nonlocal failures
        if at != where or anyio.current_time() - started < 15:
            return None
        failures += 1
        return ERRORS[what]()

    started = 0.0
    talk = Talk(mood, live=where == "live")
    stream = log(talk.masker)

    async def script() -> None:
        nonlocal started
        started = anyio.current_time()
        await anyio.sleep(14)
        for number in range(20):
            talk.look()
            talk.vendor.put("b", f"{number}")
            if where in ("login", "walks"):
                # A renewal, or a new session.
                talk.vendor.faults.append(sim.status(401 if where == "login" else 500))
            talk.vendor.hang_up()
            await anyio.sleep(17)
        talk.look()

    try:
        on_virtual_clock(lambda: talk.during(script))
    except (Exception, BaseExceptionGroup) as error:
        structlog.get_logger().error("source.bug", exc_info=error)
        if isinstance(error, AssertionError):
            raise
    seen = talk.everything() + stream.getvalue()
    assert failures
    for secret in (CONFIGURED, ISSUED, "%2Fwith%2Bstrange"):
        assert secret not in seen
    # Not even half of one, as where something was cut.
    assert "issued-token" not in seen
    assert "strange" not in seen


@pytest.mark.parametrize("live", [True, False])
def test_no_failure_of_nats_tells_a_secret(
    live: bool, log: Callable[[Masker], io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the ledger that quotes one is masked like the vendor's."""
    talk = Talk(lambda where: None, live=live)
    stream = log(talk.masker)

    async def away(self: MemoryBook, *args: object) -> None:
        raise Away(text())

    async def script() -> None:
        await anyio.sleep(5)
        monkeypatch.setattr(MemoryBook, "commit", away)
        monkeypatch.setattr(MemoryBook, "append", away)
        talk.vendor.put("c", "1")
        for _ in range(10):
            await anyio.sleep(3.3)
            talk.look()

    on_virtual_clock(lambda: talk.during(script))
    seen = talk.everything() + stream.getvalue()
    assert "[secret]" in seen
    assert "issued-token" not in seen
    assert "strange" not in seen


def test_this_file_would_notice(tmp_path: Path) -> None:
    """The two secrets are in the text, as they are and in disguise."""
    assert CONFIGURED in text()
    assert ISSUED in text()
    assert "strange" not in Masker([Secret(CONFIGURED), Secret(ISSUED)]).mask(text())
