"""`bridged run` as a process: how it starts, what it refuses, how it ends."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bridge.edge.nats.trouble import Denied
from tests.support.asking import plain_client, plain_jetstream
from tests.support.command import SOURCE, Setup, bridged
from tests.support.nats_server import nats_server
from tests.support.program import Child, PlayedVendor
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


async def live(daemon: Child, source: str = SOURCE) -> None:
    """Returns when the source has read everything once."""
    await wait_until(
        lambda: not daemon.running or any(line["source"] == source for line in daemon.said("source.live", -1)),
        what=f"{source} to be live",
    )
    assert daemon.running, daemon.tail()


async def last_words(daemon: Child) -> tuple[int, str]:
    """Exit code and last log line of a daemon that ends by itself."""
    daemon.start()
    child = daemon._child
    assert child is not None
    await wait_until(lambda: child.poll() is not None, what="the daemon to give up")
    assert daemon.out() == ""
    (failed,) = daemon.said("bridged.failed")
    assert failed["level"] == "critical"
    assert failed["exit"] == child.returncode
    return child.returncode, "\n".join([failed["reason"], *failed.get("details", ())])


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_it_runs_with_embedded_nats_until_sigterm(tmp_path: Path, vendor: PlayedVendor) -> None:
    """It starts NATS and reads the vendor, logs JSON only, ends by SIGTERM with 0, and leaves no child behind. A second
    instance on the same folder is refused meanwhile, with 69: it names the process that is there, which goes on."""
    setup = Setup(tmp_path, vendor, nats='url = "embedded"')
    daemon, second = setup.daemon(), setup.daemon("second")
    daemon.start()
    try:
        await live(daemon)
        (started,) = daemon.said("nats_server.started")
        assert not gone(started["pid"])
        code, said = await last_words(second)
        assert code == 69
        assert f"process {daemon.pid}" in said
        assert str(setup.state_dir) in said
        assert await daemon.terminate() == 0
    finally:
        daemon.close()
        second.close()
    assert gone(started["pid"])
    assert daemon.out() == ""
    assert all({"timestamp", "level", "event"} <= line.keys() for line in daemon.lines())
    assert daemon.lines()[-1]["event"] == "bridged.stopped"
    assert not [line for line in daemon.lines() if line["level"] in ("error", "critical")]


async def test_a_wrong_configuration_names_file_and_line(tmp_path: Path) -> None:
    """Exit 78 before anything is started."""
    setup = Setup(tmp_path, nats='url = "embedded"')
    setup.write("history_page_sise = 5\n")
    done = await setup.run("run")
    assert (done.code, done.out) == (78, "")
    assert done.err.startswith(f"{setup.path}:{len(setup.text.splitlines()) + 1}: ")
    assert "did you mean history_page_size?" in done.err
    assert not setup.state_dir.exists()


async def test_nats_without_jetstream_is_refused(tmp_path: Path) -> None:
    """Exit 69 and what to do about it."""
    async with nats_server(tmp_path, jetstream=False) as server:
        code, said = await last_words(Setup(tmp_path, nats=f'url = "{server.url}"').daemon())
    assert code == 69
    assert "without JetStream" in said


async def test_a_wrong_password_is_refused(tmp_path: Path) -> None:
    """Exit 77; the user is named, the password is not."""
    users = 'authorization { users = [ { user: bridge, password: "right-password" } ] }'
    async with nats_server(tmp_path, extra=users) as server:
        keys = f'url = "{server.url}"\nuser = "bridge"\npassword = {{ env = "NATS_PASSWORD" }}'
        daemon = Setup(tmp_path, nats=keys).daemon(NATS_PASSWORD="wrong-password")
        code, said = await last_words(daemon)
    assert code == 77
    assert "refuses user 'bridge'" in said
    assert "env NATS_PASSWORD" in said
    assert "wrong-password" not in daemon.text()


@pytest.mark.parametrize(
    ("denied", "subject"),
    [("$JS.API.STREAM.CREATE.BRIDGE", "$JS.API.STREAM.CREATE.BRIDGE"), ("bridge.owner.*", "bridge.owner.acme")],
)
async def test_a_missing_permission_is_named(tmp_path: Path, denied: str, subject: str) -> None:
    """Exit 77 with the subject, both before the stream is there and when the first record is to be written."""
    permissions = f'permissions: {{ publish: {{ deny: ["{denied}"] }} }}'
    users = f"authorization {{ users = [ {{ user: bridge, password: pw, {permissions} }} ] }}"
    async with nats_server(tmp_path, extra=users) as server:
        keys = f'url = "{server.url}"\nuser = "bridge"\npassword = {{ env = "NATS_PASSWORD" }}'
        code, said = await last_words(Setup(tmp_path, nats=keys).daemon(NATS_PASSWORD="pw"))
    assert code == 77
    assert f"denies this user publish on {subject}; grant it" in said


async def test_a_stream_that_differs_is_reported_and_left_alone(tmp_path: Path) -> None:
    """Exit 78; every field that differs is named with what it must be, and nothing on the server changes."""
    async with nats_server(tmp_path) as server, plain_client(server.url) as client:
        js = plain_jetstream(client)
        made = await js.add_stream(name="BRIDGE", subjects=["bridge.in.>", "else.>"], max_msgs=10)
        code, said = await last_words(Setup(tmp_path, nats=f'url = "{server.url}"').daemon())
        after = await js.stream_info("BRIDGE")
        assert [info.config.name for info in await js.streams_info()] == ["BRIDGE"]
    assert code == 78
    assert "nothing was changed" in said
    for field in ("subjects", "max_msgs", "allow_atomic", "allow_rollup_hdrs", "subject_transform", "republish"):
        assert f"BRIDGE: {field} is " in said
    assert after.config == made.config


async def test_a_vendor_that_is_down_is_waited_for(tmp_path: Path) -> None:
    """The daemon stays up, says why it waits, and reads the vendor once it is there."""
    vendor = PlayedVendor(tmp_path, rate=0, seed=1)
    await vendor.begin()
    port = int(vendor.facts["url"].split(":")[2].partition("/")[0])
    vendor.close()
    daemon = Setup(tmp_path, vendor, nats='url = "embedded"').daemon()
    again = Child(tmp_path, "sandbox-again", ["sandbox", "pcvisit", "--rate", "0", "--seed", "1", "--port", str(port)])
    daemon.start()
    try:
        await wait_until(lambda: daemon.said("source.waiting"), what="the daemon to find nobody")
        assert "refused the connection" in daemon.said("source.waiting")[0]["reason"]
        again.start()
        await live(daemon)
        assert await daemon.terminate() == 0
    finally:
        daemon.close()
        again.close()


FAULTY = """
from dataclasses import dataclass
from bridge import adapter as api

@dataclass(frozen=True, kw_only=True)
class Settings(api.BaseSettings):
    http_url: str = api.setting(doc="where it is")

class Adapter(api.Adapter[Settings]):
    Settings, vendor, type_prefix, mapping_version, budget_key = Settings, "faulty", "test.faulty", "1", "faulty"
    limit = api.Limit(60, 60.0)
    def login(self):
        raise ZeroDivisionError("nobody expected this")
        yield
    def walks(self, token): return []
    def request(self, ask, token): return api.Request("GET", self.settings.http_url)
    def page(self, ask, response): return api.Page([])
    def record(self, ask, row): return api.Record("thing", "1", {})
"""


async def test_a_bug_in_one_source_is_logged_and_costs_no_other_anything(tmp_path: Path, vendor: PlayedVendor) -> None:
    """It is told as a bug, with its traceback; the other source goes live; the daemon stays up."""
    (tmp_path / "vendors").mkdir()
    (tmp_path / "vendors" / "faulty.py").write_text(FAULTY, encoding="utf-8")
    setup = Setup(tmp_path, vendor, nats='url = "embedded"')
    setup.write('[[source]]\nname = "bad"\nadapter = "faulty"\nhttp_url = "http://127.0.0.1:9/"\n')
    daemon = setup.daemon(BRIDGED_ADAPTERS=str(tmp_path / "vendors"))
    daemon.start()
    try:
        await wait_until(lambda: daemon.said("source.bug") or not daemon.running, what="the bug")
        await live(daemon)
        bug = daemon.said("source.bug")[0]
        assert await daemon.terminate() == 0
    finally:
        daemon.close()
    assert (bug["source"], bug["level"]) == ("bad", "error")
    assert "ZeroDivisionError: nobody expected this" in bug["exception"]


async def test_without_a_file_it_says_so(tmp_path: Path) -> None:
    """Exit 78 and the path that was tried."""
    done = await bridged("run", "--config", str(tmp_path / "none.toml"), "--json")
    assert done.code == 78
    assert done.json["ok"] is False
    assert str(tmp_path / "none.toml") in json.dumps(done.json)


def test_of_an_acknowledgement_or_an_event_the_permission_is_named() -> None:
    """Its own subject is never used again, and holds an id; every other is named as it is."""
    once = "$JS.ACK.BRIDGE.bridged-alert-ops-hook.1.546.271.1795342911076174693.0"
    assert Denied("publish", once).grant == "$JS.ACK.BRIDGE.bridged-alert-ops-hook.>"
    assert Denied("publish", "bridge.owner.acme").grant == "bridge.owner.acme"
    assert Denied("publish", "bridge.in.pcvisit.acme.session.updated.4711").grant == "bridge.in.>"
