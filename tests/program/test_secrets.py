"""Known secrets are put through every failure of the whole running program, then looked for everywhere."""

from __future__ import annotations

import base64
import html
import json
import urllib.parse
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import nats.js.errors
import pytest

from tests.support.asking import plain_client, plain_jetstream
from tests.support.certificates import Authority
from tests.support.command import Done, Setup
from tests.support.inside import inside
from tests.support.nats_server import nats_server
from tests.support.parrot import MODES, Parrot, parrot
from tests.support.program import Child, PlayedVendor
from tests.support.waiting import wait_until
from tests.support.web import server_tls, serving

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]

PASSWORD = "pass/wörd&with\"quotes'and%percent"
WRONG = "another-wrong-password"
LONGEST_PIECE = 12
"""So many characters in a row of a secret count as the secret, for texts that cut it."""

CRASHING = """
from dataclasses import dataclass
from bridge import adapter as api

@dataclass(frozen=True, kw_only=True)
class Settings(api.BaseSettings):
    http_url: str = api.setting(doc="where it is")
    token: api.Secret = api.setting(doc="what opens it")

class Adapter(api.Adapter[Settings]):
    Settings, vendor, type_prefix, mapping_version, budget_key = Settings, "crash", "test.crash", "1", "crash"
    limit = api.Limit(60, 60.0)
    def login(self):
        token = self.settings.token.reveal()
        try:
            raise KeyError({"token": token, "bytes": token.encode()})
        except KeyError as error:
            raise RuntimeError(f"crashed with {token!r}", token) from error
        yield
    def walks(self, token): return []
    def request(self, ask, token): return api.Request("GET", self.settings.http_url)
    def page(self, ask, response): return api.Page([])
    def record(self, ask, row): return api.Record("thing", "1", {})
"""


def disguises(secret: str) -> Iterable[str]:
    """How a secret may be spelled where nobody expects it."""
    yield secret
    yield json.dumps(secret)[1:-1]
    yield repr(secret)[1:-1]
    yield urllib.parse.quote(secret)
    yield urllib.parse.quote_plus(secret, safe="")
    yield html.escape(secret)
    data = secret.encode()
    for lead in range(3):
        # What base64 makes of it inside a longer text, but for the characters its neighbours share.
        text = base64.b64encode(b"\0" * lead + data).decode().rstrip("=")
        yield text[-(-lead * 8 // 6) : -1]
    if len(secret) > 2 * LONGEST_PIECE and secret.isascii():
        # The first characters of all JWTs and test tokens are alike, so they tell nothing.
        yield secret[-LONGEST_PIECE:]
        yield secret[len(secret) // 2 :][:LONGEST_PIECE]


def leaks(text: str, secrets: Iterable[str]) -> list[str]:
    """Where a text holds a secret: what stands around it, without the secret."""
    found = []
    for secret in secrets:
        for spelling in disguises(secret):
            at = text.find(spelling)
            if at >= 0:
                found.append(f"{text[max(0, at - 200) : at]}<<<{len(spelling)} characters>>>")
                break
    return found


def test_the_search_finds_what_it_looks_for() -> None:
    """Each disguise is found, so that finding nothing means something."""
    for secret in (PASSWORD, "pcv-user-3638a915c4f6089297abedad"):
        for text in (
            secret, json.dumps([secret]), repr({"a": secret}), f"x={urllib.parse.quote(secret)}&y", html.escape(secret),
            *(base64.b64encode(f"{'a' * n}{secret}{'z' * m}".encode()).decode() for n in range(4) for m in range(4)),
        ):  # fmt: skip
            assert leaks(text, [secret]), text
    assert not leaks("nothing of the kind", [PASSWORD])


@pytest.fixture
async def vendor(tmp_path: Path) -> AsyncIterator[PlayedVendor]:
    played = PlayedVendor(tmp_path, rate=2, seed=1, companies=1)
    try:
        await played.begin()
        yield played
    finally:
        played.close()


@asynccontextmanager
async def tls_of_another(folder: Path) -> AsyncIterator[int]:
    """An HTTPS server whose certificate nobody trusts."""

    async def never(_: object) -> None:
        raise AssertionError("nothing may be sent")

    files = Authority(folder).issue("vendor", "elsewhere.example")
    async with serving(never, server_tls(*files)) as port:  # type: ignore[arg-type]  # it is never called
        yield port


async def everything_stored(url: str) -> str:
    """Every message of every stream, headers and payload, deleted ones excepted."""
    async with plain_client(url, user="bridge", password=PASSWORD) as client:
        js = plain_jetstream(client)
        parts = []
        for info in await js.streams_info():
            parts.append(json.dumps(info.config.as_dict(), default=str))
            for seq in range(info.state.first_seq, info.state.last_seq + 1):
                try:
                    message = await js.get_msg(str(info.config.name), seq)
                except nats.js.errors.NotFoundError:
                    continue
                payload = (message.data or b"").decode("utf-8", "backslashreplace")
                parts.append(f"{message.subject} {message.headers} {payload}")
        return "\n".join(parts)


async def through_every_mode(bird: Parrot, daemon: Child) -> None:
    """Let the vendor misbehave in every way, each until the daemon has met it and recovered."""
    for mode in MODES:
        met = bird.served[mode]
        await meet(bird, daemon, mode)
        while not await recovered(bird, daemon):
            # A source that was refused waits for an hour. A new start meets the same once more, at the login.
            await daemon.terminate()
            daemon.start()
            if bird.served[mode] < met + 2:
                await meet(bird, daemon, mode)


async def meet(bird: Parrot, daemon: Child, mode: str) -> None:
    """Returns when the vendor has misbehaved like this towards the daemon; it behaves again then."""
    met = bird.served[mode]
    bird.mode = mode
    await wait_until(lambda: bird.served[mode] > met, 150, f"the daemon to meet {mode}")
    bird.mode = "pass_on"
    assert daemon.running, daemon.tail()


async def recovered(bird: Parrot, daemon: Child) -> bool:
    """Whether the daemon goes on reading; False when the source was refused for good."""
    passed = bird.served["pass_on"]
    await wait_until(
        lambda: bird.served["pass_on"] > passed + 1 or blocked(daemon), 60, f"it to recover:\n{daemon.tail()}"
    )
    return not blocked(daemon)


def blocked(daemon: Child) -> bool:
    return any(line["source"] == "acme" for line in daemon.said("source.blocked", -1))


async def test_no_failure_shows_a_secret(tmp_path: Path, vendor: PlayedVendor) -> None:
    """Vendor errors that repeat tokens, HTML, redirects, TLS, quarantine, crashes, a lost NATS, and every command."""
    (tmp_path / "vendors").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "vendors" / "crashing.py").write_text(CRASHING, encoding="utf-8")
    users = f"authorization {{ users = [ {{ user: bridge, password: {json.dumps(PASSWORD, ensure_ascii=False)} }} ] }}"
    texts: dict[str, str] = {}

    def note(name: str, done: Done) -> None:
        texts[f"stdout of {name}"], texts[f"stderr of {name}"] = done.out, done.err

    async with (
        nats_server(tmp_path, extra=users) as server,
        parrot(vendor.facts["url"], vendor.secrets) as bird,
        tls_of_another(tmp_path / "other") as other,
    ):
        keys = f'url = "{server.url}"\nuser = "bridge"\npassword = {{ env = "NATS_PASSWORD" }}'
        setup = Setup(
            tmp_path, vendor, nats=keys, http_url=bird.url, history_slow_every_s=3.0, jwt_refresh_margin_s=0.0,
            raw=True, omit=[],
        )  # fmt: skip
        setup.text = setup.text.replace('log_format = "json"', 'log_format = "json"\nlog_level = "debug"')
        setup.write(
            f'[[source]]\nname = "crash"\nadapter = "crashing"\nhttp_url = "{bird.url}"\ntoken = {{ env = "IT" }}\n'
            f'[[source]]\nname = "tls"\nadapter = "pcvisit"\nhttp_url = "https://127.0.0.1:{other}/graphql"\n'
            'integrator_token = { env = "IT" }\nuser_token = { env = "UT" }\n'
        )
        environ = {"NATS_PASSWORD": PASSWORD, "BRIDGED_ADAPTERS": str(tmp_path / "vendors")}
        daemon = setup.daemon(**environ)
        daemon.start()
        try:
            await wait_until(lambda: daemon.said("source.bug"), what="the crash")
            await wait_until(lambda: bird.served["pass_on"] > 2, what="the first pages")
            await through_every_mode(bird, daemon)
            await server.restart()
            # One that people use and one that fails as processes of their own: what is printed on the way out counts.
            note("check", await inside(setup, "check", "--online", "--json", environ=environ))
            note("check, for people", await setup.run("check", "--online", environ=environ))
            note("status", await inside(setup, "status", environ=environ))
            note("status --json", await inside(setup, "status", "--json", environ=environ))
            note("tail", await inside(setup, "tail", "--since", "1h", "--count", "20", environ=environ))
            told = await inside(setup, "tail", "--since", "1h", "--count", "40", "--json", environ=environ)
            note("tail --json", told)
            wrong = {**environ, "NATS_PASSWORD": WRONG}
            note("wrong password", await setup.run("run", environ=wrong))
            note("wrong password, tail", await inside(setup, "tail", environ=wrong))
            note("wrong password, check", await inside(setup, "check", "--online", environ=wrong))
            for mode in ("unauthorized", "error_500", "redirect", "strange_failure"):
                bird.mode = mode
                note(f"check at {mode}", await inside(setup, "check", "--online", "--json", environ=environ))
            bird.mode = "pass_on"
            await daemon.terminate()
        finally:
            daemon.close()
        stored = await everything_stored(server.url)
        secrets = {*vendor.secrets, PASSWORD, WRONG, *bird.learned}

    texts["the daemon"] = daemon.text()
    texts["the streams"] = stored
    assert set(MODES) <= bird.served.keys()
    assert any(secret.startswith("eyJ") for secret in secrets), "no JWT has passed"
    assert ".quarantine.occurred." in stored
    assert "[secret]" in stored, "nothing that held a secret was quarantined"
    assert "[secret]" in texts["the daemon"], "nothing that held a secret was logged"
    assert "Traceback" in texts["the daemon"]
    assert "cannot be trusted" in texts["the daemon"]
    assert "refuses user" in texts["stderr of wrong password"]
    assert {name: found for name, text in texts.items() if (found := leaks(text, secrets))} == {}
