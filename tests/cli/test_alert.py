"""`bridged alert`: what it lists, what a test tells of each channel, how it ends; without NATS."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from aiohttp import web
from standardwebhooks import Webhook

from tests.support.command import Done
from tests.support.inside import within
from tests.support.web import serving

pytestmark = pytest.mark.anyio

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PASSWORD = "hunter2-password"


def write(folder: Path, port: int, more: str = "") -> Path:
    path = folder / "bridged.toml"
    path.write_text(
        f"""
[nats]
url = "nats://127.0.0.1:9"

[[alert]]
name = "new-session"
subjects = ["events.*.*.session.created.>"]
severity = "warning"
notify = [{{ env = "OPS_CHANNEL" }}]

[[alert.webhook]]
name = "desk"
url = "http://127.0.0.1:{port}/desk"
secret = {{ env = "DESK_KEY" }}

[[alert]]
name = "health"
preset = "health"
{more}"""
    )
    return path


async def alert(folder: Path, port: int, *arguments: str, url: str = "json://me:{0}@127.0.0.1:{1}/ops") -> Done:
    environ = {"OPS_CHANNEL": url.format(PASSWORD, port), "DESK_KEY": KEY}
    done = await within("alert", *arguments, "--config", str(write(folder, port)), environ=environ)
    assert PASSWORD not in done.out + done.err
    assert KEY not in done.out + done.err
    return done


async def test_a_test_that_all_take(tmp_path: Path) -> None:
    """One alert goes through every channel, with one id, and the answer is yes."""
    got: dict[str, tuple[dict[str, str], bytes]] = {}

    async def receive(request: web.Request) -> web.Response:
        got[request.path] = ({name.lower(): value for name, value in request.headers.items()}, await request.read())
        return web.Response(status=204)

    async with serving(receive) as port:
        done = await alert(tmp_path, port, "test", "new-session", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json["ok"] is True
    assert [(one["channel"], one["kind"], one["ok"], one["reason"]) for one in done.json["channels"]] == [
        ("env OPS_CHANNEL", "apprise", True, ""),
        ("desk", "webhook", True, ""),
    ]
    headers, body = got["/desk"]
    told = Webhook(KEY).verify(body, headers)
    assert headers["webhook-id"] == told["id"] == done.json["id"]
    assert (told["data"]["title"], told["data"]["severity"], told["data"]["test"]) == (
        "Test of the alert new-session", "warning", True,
    )  # fmt: skip
    assert json.loads(got["/ops"][1])["title"] == "Test of the alert new-session"


async def test_a_test_that_one_refuses(tmp_path: Path) -> None:
    """The other is told all the same; each says for itself what came of it, and the answer is no."""

    async def receive(request: web.Request) -> web.Response:
        return web.Response(status=204 if request.path == "/ops" else 401)

    async with serving(receive) as port:
        done = await alert(tmp_path, port, "test", "new-session")
    assert (done.code, done.err) == (1, "")
    first, ops, *desk = done.out.splitlines()
    assert first.startswith("alert new-session: a test with the id ")
    assert "env OPS_CHANNEL  apprise  taken in" in ops
    assert " ".join(" ".join(desk).split()).startswith("desk webhook answered with HTTP status 401")


async def test_alerts_that_cannot_be_tested(tmp_path: Path) -> None:
    """A name that there is not is told with those there are; an alert that tells nobody says so."""
    done = await alert(tmp_path, 9, "test", "nonsense")
    assert done.code == 64
    assert "there is no alert 'nonsense': the configuration has new-session, health" in done.err
    done = await alert(tmp_path, 9, "test", "health")
    assert done.code == 1
    assert "nobody is told" in done.err


async def test_a_url_that_does_not_parse(tmp_path: Path) -> None:
    """Is a mistake in the configuration: said by the place where it is, and nothing is sent."""
    done = await alert(tmp_path, 9, "test", "new-session", url="slack://{0}")
    assert done.code == 78
    assert 'alert["new-session"].notify[0]' in done.err
    assert "lacks what a slack:// URL needs" in done.err


async def test_the_list(tmp_path: Path) -> None:
    """Every alert with what it is about and whom it tells, by name; also where no secret can be read."""
    done = await within("alert", "list", "--config", str(write(tmp_path, 9)))
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[0] == "new-session: events.*.*.session.created.>"
    assert "nobody; it is only stored" in done.out
    done = await alert(tmp_path, 9, "--json", "list")
    assert done.json["alerts"][0]["channels"] == ["env OPS_CHANNEL", "desk"]
    assert [one["name"] for one in done.json["alerts"]] == ["new-session", "health"]
