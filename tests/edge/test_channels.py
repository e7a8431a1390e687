"""What every channel promises, whether Apprise tells or a webhook: seen by real receivers, honest and otherwise."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial

import anyio
import pytest
from aiohttp import web
from cloudevents.core.bindings import http as sdk
from standardwebhooks import Webhook

from bridge.core.alerts.alert import Alert
from bridge.core.alerts.settings import AlertWebhook
from bridge.core.errors import Refused, Retry
from bridge.core.hooks import cloudevents
from bridge.core.secret import Masker, Secret
from bridge.edge import apprise as apprise_edge
from bridge.edge import logging as edge_logging
from bridge.edge.alert_webhook import WebhookChannel
from bridge.edge.apprise import AppriseChannel
from bridge.edge.apprise import problem as apprise_problem
from bridge.edge.http import HttpClient
from bridge.engine.alert_ports import Channel
from tests.support.waiting import wait_until
from tests.support.web import serving

pytestmark = pytest.mark.anyio

PASSWORD, PATH, TOKEN = "hunter2-password", "s3cret-path-token", "s3cret-query-token"
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PLANTED = (PASSWORD, PATH, TOKEN, KEY, KEY[6:])
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ALERT = Alert(
    id="0123456789abcdef0123456789abcdef",
    alert="new-session",
    title="Printer 7",
    body="Zoë's session\nhas begun",
    severity="warning",
    group="acme",
    count=3,
    held=2,
    traceparent=TRACE,
    at_ms=1_700_000_000_000,
    data={"events": [{"subject": "events.a.b.c.created.1", "ce_id": "1", "seq": 7}], "title": "Printer 7"},
)


@dataclass
class Receiver:
    """Answers as it is told, and remembers what it got."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    size: int = 0
    hold: anyio.Event | None = None
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    port: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.got.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        if self.hold is not None:
            await self.hold.wait()
        if not self.size:
            return web.Response(status=self.status, headers=self.headers)
        answer = web.StreamResponse(status=self.status, headers=self.headers)
        await answer.prepare(request)
        for _ in range(self.size >> 20):
            await answer.write(bytes(1 << 20))
        return answer


Make = Callable[[int], Channel]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    async with serving(found.answer) as port:
        found.port = port
        yield found


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    async with HttpClient() as client:
        yield client


@pytest.fixture(params=["apprise", "webhook"])
async def make(request: pytest.FixtureRequest, http: HttpClient) -> Make:
    return by_apprise if request.param == "apprise" else lambda port: by_webhook(port, http)


def by_apprise(port: int, more: str = "") -> AppriseChannel:
    url = f"json://me:{PASSWORD}@127.0.0.1:{port}/{PATH}?+X-Token={TOKEN}{more}"
    return AppriseChannel(Secret(url, "env OPS_CHANNEL"))


def by_webhook(port: int, http: HttpClient, key: str = KEY) -> WebhookChannel:
    url = f"http://127.0.0.1:{port}/hooks?token={TOKEN}"
    return WebhookChannel(settings(url, key), http, lambda: int(time.time() * 1000))


def settings(url: str, key: str = KEY) -> AlertWebhook:
    return AlertWebhook(name="desk", url=url, secret=Secret(key, "env HOOK_KEY"))


async def failure(channel: Channel, kind: type[Exception] = Retry, timeout_s: float = 20.0) -> str:
    """The text of what sending raises: it names the channel, and shows nothing that nobody may see."""
    with pytest.raises(kind) as caught:
        await channel.send(ALERT, timeout_s=timeout_s)
    assert type(caught.value) is kind
    text = str(caught.value)
    assert text.startswith(f"{channel.name}: ")
    assert discreet(f"{text}{caught.value!r}{caught.value.__cause__!r}{caught.value.__context__!r}{channel!r}")
    return text


def discreet(text: str) -> bool:
    return not any(planted in text for planted in (*PLANTED, "Printer", "Zoë"))


# --- what both promise -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_taken(make: Make, receiver: Receiver, status: int) -> None:
    """Any 2xx: it is told, once, with its title and its text."""
    receiver.status = status
    await make(receiver.port).send(ALERT, timeout_s=20.0)
    [(_, body)] = receiver.got
    told = json.loads(body)
    assert "Printer 7" in (told.get("title"), told.get("data", {}).get("title"))
    assert "Zoë's session\nhas begun" in (told.get("message"), told.get("data", {}).get("body"))


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_not_now(make: Make, receiver: Receiver, status: int) -> None:
    """Such statuses mean that it is tried again, soon."""
    receiver.status = status
    assert f"HTTP status {status}" in await failure(make(receiver.port))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422])
async def test_never(make: Make, receiver: Receiver, status: int) -> None:
    """Such statuses mean that the same would be refused again: it is tried more rarely."""
    receiver.status = status
    assert f"HTTP status {status}" in await failure(make(receiver.port), Refused)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect(make: Make, receiver: Receiver, status: int) -> None:
    """Is not followed: an alert, and what proves who we are, go to the configured address and to no other."""
    other = Receiver()
    async with serving(other.answer) as port:
        receiver.status, receiver.headers = status, {"Location": f"http://localhost:{port}/{PATH}"}
        assert f"HTTP status {status}" in await failure(make(receiver.port), Refused)
    assert (len(receiver.got), other.got) == (1, [])


async def test_nobody_there(make: Make) -> None:
    """A port where nobody listens: it is tried again."""
    async with serving(Receiver().answer) as port:
        pass
    await failure(make(port))


async def test_a_receiver_that_hangs(make: Make, receiver: Receiver) -> None:
    """Costs the time that was given, and no more."""
    receiver.hold = anyio.Event()
    begun = time.monotonic()
    assert "no answer within 0.5 s" in await failure(make(receiver.port), timeout_s=0.5)
    assert time.monotonic() - begun < 60
    receiver.hold.set()


async def test_an_endless_answer(make: Make, receiver: Receiver) -> None:
    """Of 50 MB behind a 200 next to nothing is read: what was taken is told, and is not sent again."""
    receiver.status, receiver.size = 200, 50 << 20
    tracemalloc.start()
    try:
        await make(receiver.port).send(ALERT, timeout_s=30.0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40 << 20
    assert len(receiver.got) == 1


async def test_what_others_wrote_as_an_alert(make: Make, receiver: Receiver) -> None:
    """Is told as well as it can be: an odd id, half a character, a trace that is none, a title of several lines."""
    odd = Alert(
        id="a.b c",
        alert="new-session",
        title="half \ud800\nof it",
        traceparent="x\r\nEvil: 1",
        data={"title": "half \ud800"},
    )
    await make(receiver.port).send(odd, timeout_s=20.0)
    [(headers, body)] = receiver.got
    told = json.loads(body)
    assert told.get("message", "half ? of it") == "half ? of it"
    assert "evil" not in headers
    assert "traceparent" not in headers
    if "webhook-id" in headers:
        assert headers["webhook-id"] == "8640d2e22c0699815cacc519ee3f91ad"
        assert (told["id"], told["data"]["title"]) == ("a.b c", "half ?\nof it")


async def test_nothing_is_ever_told(make: Make, receiver: Receiver, capfd: pytest.CaptureFixture[str]) -> None:
    """With the log at `debug`, and no secret known to it: no URL, no key and no text of an alert turns up in it."""
    stream = io.StringIO()
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    edge_logging.configure("debug", "json", Masker(), stream)
    try:
        channel = make(receiver.port)
        await channel.send(ALERT, timeout_s=20.0)
        for receiver.status in (500, 401):
            await failure(channel, Refused if receiver.status == 401 else Retry)
        receiver.hold = anyio.Event()
        await failure(make(receiver.port), timeout_s=0.3)
        receiver.hold.set()
        apprise_problem(Secret(f"slack://{PATH}/{TOKEN}?x={PASSWORD}", "env X"))
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    printed = capfd.readouterr()
    assert discreet(stream.getvalue() + printed.out + printed.err)


# --- webhooks ----------------------------------------------------------------------------------------------------


async def test_a_webhook_is_a_signed_cloud_event(http: HttpClient, receiver: Receiver) -> None:
    """The library of Standard Webhooks verifies it, and its payload is the alert as a CloudEvent, with its trace."""
    await by_webhook(receiver.port, http).send(ALERT, timeout_s=20.0)
    await by_webhook(receiver.port, http).send(ALERT, timeout_s=20.0)
    for headers, body in receiver.got:
        assert Webhook(KEY).verify(body, headers) == {
            "specversion": "1.0",
            "id": ALERT.id,
            "source": "/bridge/new-session",
            "type": "bridged.alert.occurred",
            "time": "2023-11-14T22:13:20.000Z",
            "datacontenttype": "application/json",
            "traceparent": TRACE,
            "data": {
                "alert": "new-session",
                "title": "Printer 7",
                "body": "Zoë's session\nhas begun",
                "severity": "warning",
                "group": "acme",
                "count": 3,
                "held": 2,
                "events": [{"subject": "events.a.b.c.created.1", "ce_id": "1", "seq": 7}],
            },
        }
        assert headers["content-type"] == "application/cloudevents+json; charset=utf-8"
        assert (headers["webhook-id"], headers["traceparent"]) == (ALERT.id, TRACE)
        read_by_sdk = sdk.from_structured_event(sdk.HTTPMessage(headers, body))
        [read_by_us] = cloudevents.read(headers, body)
        assert read_by_sdk.get_id() == read_by_us.attributes["id"] == ALERT.id
        assert read_by_sdk.get_data() == read_by_us.data


async def test_a_webhook_signed_by_a_private_key(http: HttpClient, receiver: Receiver) -> None:
    """`whsk_` signs by ed25519: whoever receives it needs the public key alone."""


async def test_a_url_that_does_not_parse() -> None:
    """Is refused when something is to be sent, too: the daemon starts all the same."""
    channel = AppriseChannel(Secret(f"slack://{PATH}", "env OPS_CHANNEL"))
    assert "lacks what a slack:// URL needs" in await failure(channel, Refused)


@pytest.mark.parametrize(("severity", "told"), [("info", "info"), ("failure", "failure"), ("odd", "info")])
async def test_what_apprise_tells(receiver: Receiver, severity: str, told: str) -> None:
    """Severity, and a title in place of a text that is not there."""
    await by_apprise(receiver.port).send(
        Alert(id="1", alert="a", title="Two\nlines", severity=severity), timeout_s=20.0
    )
    [(headers, body)] = receiver.got
    assert (headers["x-token"], json.loads(body)["type"]) == (TOKEN, told)
    assert (json.loads(body)["title"], json.loads(body)["message"]) == ("", "Two lines")


async def test_what_apprise_would_forgive(receiver: Receiver) -> None:
    """`optional=yes` would report a failure as a success, `retry` would repeat at once: neither counts."""
    receiver.status = 500
    await failure(by_apprise(receiver.port, "&optional=yes&retry=5&wait=0"))
    assert len(receiver.got) == 1


async def test_an_environment_full_of_surprises(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies that the environment names are not used."""
    other = Receiver()
    async with serving(other.answer) as port:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", "")
        await by_apprise(receiver.port).send(ALERT, timeout_s=20.0)
    assert (len(receiver.got), other.got) == (1, [])


async def test_one_that_comes_late(receiver: Receiver) -> None:
    """What the service took after all is not sent again; meanwhile nothing else is begun."""
    receiver.hold = anyio.Event()
    channel = by_apprise(receiver.port, "&rto=60")
    assert "no answer within" in await failure(channel, timeout_s=0.3)
    assert "no answer within" in await failure(channel, timeout_s=0.3)
    with pytest.raises(Retry, match="has not come back yet") as caught:
        await channel.send(Alert(id="2", alert="a", title="t"), timeout_s=1)
    assert caught.value.after == 30.0
    receiver.hold.set()
    await channel.send(ALERT, timeout_s=20.0)
    assert len(receiver.got) == 1
    await channel.send(Alert(id="2", alert="a", title="t"), timeout_s=20.0)
    assert len(receiver.got) == 2


async def test_a_cancelled_attempt_is_joined(receiver: Receiver) -> None:
    """Whoever asks for the same alert after a cancellation waits for the attempt that runs."""
    receiver.hold = anyio.Event()
    channel = by_apprise(receiver.port, "&rto=60")
    with anyio.move_on_after(0.3):
        await channel.send(ALERT, timeout_s=20.0)
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: channel.send(ALERT, timeout_s=20.0))
        await wait_until(lambda: len(receiver.got) == 1)
        receiver.hold.set()
    assert len(receiver.got) == 1


async def test_threads_that_never_come_back(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Are given up and bounded: after three of them nothing more is tried."""
    receiver.hold = anyio.Event()
    monkeypatch.setattr(apprise_edge, "HUNG_S", 0.0)
    channel = by_apprise(receiver.port, "&rto=60")
    for count in (1, 2, 3):
        await failure(channel, timeout_s=0.3)
        await wait_until(partial(lambda count: len(receiver.got) == count, count))
    assert "3 attempts never came back" in await failure(channel, Refused, timeout_s=0.3)
    assert len(receiver.got) == 3
    receiver.hold.set()


def test_a_hanging_plugin_does_not_hold_up_the_end() -> None:
    """The process ends at once, though the thread is still in the plugin's hands."""
    script = (
        "import anyio, socket\n"
        "from bridge.core.alerts.alert import Alert\n"
        "from bridge.core.errors import Retry\n"
        "from bridge.core.secret import Secret\n"
        "from bridge.edge.apprise import AppriseChannel\n"
        "silent = socket.create_server(('127.0.0.1', 0))\n"
        "async def main():\n"
        "    channel = AppriseChannel(Secret(f'json://127.0.0.1:{silent.getsockname()[1]}/?rto=600', 'x'))\n"
        "    try:\n"
        "        await channel.send(Alert(id='1', alert='a', title='t'), timeout_s=3)\n"
        "    except Retry as error:\n"
        "        print(error)\n"
        "anyio.run(main)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "no answer within 3 s" in ended.stdout
