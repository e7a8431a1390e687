"""A real systemd: the units as they are, on a booted Debian, with bridged installed as docs/install.md says.

Run by `make systemd`. The tests share one machine, each begins with the service stopped.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.live_webhooks import EVENTS, KEY
from tests.support.machine import ROOT, Machine, machine, missing
from tests.support.waiting import wait_until_blocking

pytestmark = [pytest.mark.systemd, pytest.mark.timeout(900)]

UNIT = "bridged.service"
CONFIGURATION = "/etc/bridged/bridged.toml"


@pytest.fixture(scope="module")
def booted() -> Iterator[Machine]:
    why = missing()
    assert not why, f"there can be no machine here: {why}"
    with machine() as there:
        yield there


@pytest.fixture
def there(booted: Machine) -> Iterator[Machine]:
    """The machine, with a configuration of one source, and nothing running."""
    booted.write(CONFIGURATION, configured("shop"))
    # Written with group and others shut out: only the service manager reads it, and hands it over.
    booted.write("/etc/bridged/secrets/shop", f"whsec_{KEY}", 0o600)
    for name in ("bridged", "bridged@"):
        dropin(booted, name, "secrets", "LoadCredential=shop:/etc/bridged/secrets/shop")
    yield booted
    booted.run("systemctl", "stop", "bridged.socket", UNIT, "bridged@*", check=False)
    booted.run("rm", "-f", "/etc/systemd/system/bridged.service.d/test.conf")
    booted.run("systemctl", "daemon-reload")
    booted.run("systemctl", "reset-failed", check=False)


def configured(*names: str, more: str = "") -> str:
    sources = [
        f'[[source]]\nname = "{name}"\nadapter = "webhook"\n'
        'verify = "standard"\nsecrets = [{ credential = "shop" }]\n'
        f"{EVENTS}"
        for name in names
    ]
    return "\n".join(['[nats]\nurl = "embedded"', *sources, more])


def dropin(there: Machine, unit: str, name: str, *lines: str) -> None:
    there.write(f"/etc/systemd/system/{unit}.service.d/{name}.conf", "\n".join(["[Service]", *lines, ""]))
    there.run("systemctl", "daemon-reload")


def status(there: Machine) -> str:
    return there.shows(UNIT, "StatusText")["StatusText"]


def test_systemd_finds_no_fault(there: Machine) -> None:
    """Not one complaint by a systemd that knows every setting; and little is exposed."""
    units = ("bridged.service", "bridged@one.service", "bridged.socket", "bridged@one.socket")
    there.run("systemd-analyze", "verify", "--man=no", *units)
    complaints = there.run("systemd-analyze", "verify", "--man=no", *units)
    assert complaints.stdout + complaints.stderr == ""
    for unit in (UNIT, "bridged@one.service"):
        there.run("systemd-analyze", "security", "--offline=true", "--threshold=15", unit)


def test_it_is_started_once_it_is_ready(there: Machine) -> None:
    """`systemctl start` returns when NATS has answered and the port is open; the status is a telling line."""
    there.run("systemctl", "start", UNIT)
    shown = there.shows(UNIT, "ActiveState", "SubState", "NRestarts", "Type", "WatchdogUSec")
    assert shown == {
        "ActiveState": "active",
        "SubState": "running",
        "NRestarts": "0",
        "Type": "notify-reload",
        "WatchdogUSec": "1min",
    }
    assert '"webhooks.listening"' in there.journal(UNIT)
    wait_until_blocking(lambda: status(there).startswith("1 source: 1 live; "), what="the status to tell")
    processes = there.run("ps", "-eo", "uid,args").stdout.splitlines()
    ours = [line.split()[0] for line in processes if "/opt/bridged/bin/" in line]
    assert len(ours) == 2, processes
    # Nobody's but theirs, while they run: systemd's own range for such users.
    assert len(set(ours)) == 1
    assert 61_184 <= int(ours[0]) <= 65_519
    there.run("systemctl", "stop", UNIT)
    assert there.shows(UNIT, "Result", "ExecMainStatus") == {"Result": "success", "ExecMainStatus": "0"}


def test_it_waits_for_nats_as_long_as_that_takes(there: Machine) -> None:
    """Longer than the time to start, which is 10 s here: it says what it waits for, and is not given up."""
    dropin(there, "bridged", "test", "TimeoutStartSec=10")
    there.write(CONFIGURATION, configured("shop").replace('"embedded"', '"nats://127.0.0.1:4999"'))
    there.run("systemctl", "start", "--no-block", UNIT)

    def waits() -> bool:
        return "waiting for nats (NATS at 127.0.0.1:4999: " in status(there)

    wait_until_blocking(waits, what="it to say what it waits for")
    began = int(there.shows(UNIT, "ExecMainStartTimestampMonotonic")["ExecMainStartTimestampMonotonic"])

    def later() -> bool:
        return float(there.run("cat", "/proc/uptime").stdout.split()[0]) > began / 1e6 + 25

    wait_until_blocking(later, what="more than twice the time to start")
    assert there.shows(UNIT, "ActiveState", "NRestarts") == {"ActiveState": "activating", "NRestarts": "0"}


def test_reload(there: Machine) -> None:
    """`systemctl reload` returns when it is done; a refused one as well, the old goes on, and the status says why."""
    there.run("systemctl", "start", UNIT)
    pid = there.shows(UNIT, "MainPID")
    there.write(CONFIGURATION, configured("shop", "second"))
    there.run("systemctl", "reload", UNIT, deadline_s=30)
    wait_until_blocking(lambda: status(there).startswith("2 sources: 2 live; "), what="two sources")
    there.write(CONFIGURATION, configured("shop", "second", more="nonsense = 1"))
    there.run("systemctl", "reload", UNIT, deadline_s=30)
    assert "nonsense" in status(there)
    assert there.shows(UNIT, "ActiveState", "MainPID") == {"ActiveState": "active", **pid}
    there.write(CONFIGURATION, configured("second"))
    there.run("systemctl", "reload", UNIT, deadline_s=30)
    wait_until_blocking(lambda: status(there).startswith("1 source: 1 live; "), what="one source")
    assert there.shows(UNIT, "MainPID") == pid


@pytest.mark.parametrize(("amount", "trace"), [(13, "in live"), (17, "watchdog.withheld")])
def test_the_watchdog_ends_one_that_is_stuck(there: Machine, amount: int, trace: str) -> None:
    """Blocked, or with one source that hangs: ended within the watchdog's time, said why, and started anew."""
    there.write("/opt/bridged/stuck.py", (ROOT / "tests/support/stuck.py").read_text())
    command = f"/opt/bridged/bin/python /opt/bridged/stuck.py run --config {CONFIGURATION}"
    dropin(there, "bridged", "test", "WatchdogSec=3", "ExecStart=", f"ExecStart={command}")
    there.run("systemctl", "start", UNIT)
    with hammer(there, f"--one={amount}"):
        wait_until_blocking(lambda: there.shows(UNIT, "NRestarts")["NRestarts"] != "0", what="the watchdog")
    journal = there.journal(UNIT)
    assert "Watchdog timeout" in journal
    assert trace in journal


def test_a_restart_refuses_nobody(there: Machine) -> None:
    """The socket unit holds the port: every delivery sent over three restarts is taken at its first attempt."""
    there.run("systemctl", "start", "bridged.socket", UNIT)
    with hammer(there, "800") as sender:
        assert sender.stdout is not None
        for _ in range(3):
            assert sender.stdout.readline().strip().isdigit()
            there.run("systemctl", "restart", UNIT)
        *_, answers = sender.stdout.read().splitlines()
    assert json.loads(answers) == {"202": 800}


def test_a_delivery_starts_it(there: Machine) -> None:
    """With the socket alone enabled, whoever posts first has the service started, and is answered."""
    there.run("systemctl", "start", "bridged.socket")
    with hammer(there, "100") as sender:
        assert sender.stdout is not None
        *_, answers = sender.stdout.read().splitlines()
    assert json.loads(answers) == {"202": 100}


def test_the_guide_holds_command_by_command(there: Machine) -> None:
    """What docs/install.md says to type, in its order, on a machine that has nothing of it: the unit runs, and goes."""
    there.run("systemctl", "stop", UNIT)
    there.run("sh", "-c", "rm -rf /opt/bridged /etc/bridged /var/lib/private/bridged* /etc/systemd/system/bridged*")
    there.run("systemctl", "daemon-reload")
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/install.md").read_text("utf-8"), re.S)
    try:
        for block in blocks:
            # Without a network: Debian's package is there already, and the wheels lie beside.
            script = block.replace("apt-get install -y", "dpkg --status")
            offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/opt/wheels"}
            setting = [f"{name}={value}" for name, value in offline.items()]
            done = there.run("env", "-C", "/opt/given", *setting, "sh", "-euc", script, check=False)
            assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
            if "enable --now bridged.socket" in block and "disable" not in block:
                wait_until_blocking(lambda: status(there).startswith("1 source: 1 live; "), what="the unit to run")
            if "enable --now bridged@north" in block:
                assert there.shows("bridged@north.service", "ActiveState") == {"ActiveState": "active"}
        assert there.shows(UNIT, "LoadState") == {"LoadState": "not-found"}
        assert there.run("test", "-e", "/opt/bridged", check=False).returncode == 1
    finally:
        there.install()


def test_several_instances(there: Machine) -> None:
    """Each with its own configuration, state, user and socket."""
    for name in ("one", "two"):
        there.write(f"/etc/bridged/{name}.toml", configured("shop"))
    there.run("systemctl", "start", "bridged@one.socket", "bridged@one.service", "bridged@two.socket", "bridged@two")
    for name in ("one", "two"):
        assert there.shows(f"bridged@{name}.service", "ActiveState") == {"ActiveState": "active"}
        there.run("test", "-f", f"/var/lib/private/bridged-{name}/nats.json")
        assert f"unix:/run/bridged-{name}.sock" in there.journal(f"bridged@{name}.service")


def test_a_wrong_configuration_is_not_tried_again(there: Machine) -> None:
    """Exit 78 ends it, and the status names file and line."""
    there.write(CONFIGURATION, configured("shop", more="nonsense = 1"))
    assert there.run("systemctl", "start", UNIT, check=False).returncode != 0
    assert there.shows(UNIT, "ActiveState", "ExecMainStatus") == {"ActiveState": "failed", "ExecMainStatus": "78"}
    assert f"failed: {CONFIGURATION}:" in status(there)
    assert "nonsense" in status(there)


def hammer(there: Machine, count: str) -> subprocess.Popen[str]:
    """Our sender, in the machine's network. A context manager; what still runs at the end is ended."""
    url = "http://127.0.0.1:8791/hooks/shop"
    return _Hammer(
        [*there.enter("-n"), sys.executable, "-m", "tests.support.hammering", url, count],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=dict(os.environ),
    )


class _Hammer(subprocess.Popen[str]):
    def __exit__(self, *about: object) -> None:
        self.kill()
        super().__exit__(*about)  # type: ignore[arg-type]


def test_the_older_drop_in_is_understood(there: Machine, tmp_path: Path) -> None:
    """With it the type is one that every systemd since 247 knows, and a reload is a signal."""
    there.write("/etc/systemd/system/bridged.service.d/test.conf", (ROOT / "systemd/older-than-253.conf").read_text())
    there.run("systemctl", "daemon-reload")
    there.run("systemctl", "start", UNIT)
    assert there.shows(UNIT, "Type") == {"Type": "notify"}
    there.write(CONFIGURATION, configured("shop", "second"))
    there.run("systemctl", "reload", UNIT)
    wait_until_blocking(lambda: status(there).startswith("2 sources: 2 live; "), what="two sources")
