"""A machine of its own: a Debian, its systemd as process 1, in namespaces of this kernel, with bridged installed.

What is made once lies in `HOME` and is kept: the Debian (by debootstrap), and the packages. Each machine runs on a
layer above it that lives in memory and goes with it. Needs root on Linux, `debootstrap`, and packages from where
this machine gets its own.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.edge.embedded import parentlink

ROOT = Path(__file__).parent.parent.parent
HOME = Path(os.environ.get("BRIDGED_MACHINES", "/var/tmp/bridged-machines"))
SUITE = "trixie"
PYTHON = "3.13"
PACKAGES = "systemd,systemd-sysv,dbus,python3,python3-venv,procps"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux2014_x86_64", "manylinux_2_17_x86_64", "linux_x86_64")
COMMAND_S = 120.0

_BOOT = """
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$LAYER"
mkdir "$LAYER/upper" "$LAYER/work" "$LAYER/root"
mount -t overlay -o "lowerdir=$BASE,upperdir=$LAYER/upper,workdir=$LAYER/work" overlay "$LAYER/root"
cd "$LAYER/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
for one in null zero full random urandom tty; do touch "dev/$one"; mount --bind "/dev/$one" "dev/$one"; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mkdir -p old opt/given
mount --bind "$GIVEN" opt/given
pivot_root . old
umount -l old
# As a container's manager leaves it: credentials reach a service by propagation.
mount --make-rshared /
exec env -i container=bridged-test PATH=/usr/sbin:/usr/bin:/sbin:/bin /usr/lib/systemd/systemd --log-target=journal
"""


def missing() -> str:
    """Why there can be no machine here; "" if there can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs root on Linux"
    for command in ("debootstrap", "unshare", "nsenter"):
        if shutil.which(command) is None:
            return f"{command} is not installed (on Debian: apt-get install debootstrap util-linux)"
    return "" if _cgroups() else "no cgroup2 hierarchy is mounted"


class Machine:
    """One that runs. `given`: a folder of this machine's that it sees as /opt/given."""

    def __init__(self, pid: int, given: Path) -> None:
        self.pid = pid
        self.given = given

    def run(self, *command: str, check: bool = True, deadline_s: float = COMMAND_S) -> subprocess.CompletedProcess[str]:
        """A command there, as root."""
        done = subprocess.run(
            [*self.enter("-a"), *command],
            capture_output=True,
            text=True,
            timeout=deadline_s,
            stdin=subprocess.DEVNULL,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def enter(self, *namespaces: str) -> list[str]:
        """What goes before a command of ours that is to run in these of its namespaces."""
        return ["nsenter", "-t", str(self.pid), *namespaces, "--"]

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """A file there."""
        script = f'mkdir -p "$(dirname "{path}")" && cat > "{path}" && chmod {mode:o} "{path}"'
        subprocess.run([*self.enter("-a"), "sh", "-c", script], input=text, text=True, check=True, timeout=COMMAND_S)

    def shows(self, unit: str, *names: str) -> dict[str, str]:
        """Properties of a unit."""
        lines = self.run("systemctl", "show", unit, "-p", ",".join(names)).stdout.splitlines()
        return dict(line.split("=", 1) for line in lines)

    def install(self) -> None:
        """The work tree as it is, as a wheel, and its units, as docs/install.md has it."""
        if not list(self.given.glob("bridged-*.whl")):
            pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(self.given), str(ROOT)]
            subprocess.run(pip, check=True, timeout=300, stdin=subprocess.DEVNULL)
            shutil.copy(ROOT / "constraints.txt", self.given)
            shutil.copytree(ROOT / "systemd", self.given / "systemd")
        script = """
            [ -d /opt/bridged ] || python3 -m venv /opt/bridged
            /opt/bridged/bin/pip install --quiet --no-index --find-links /opt/wheels /opt/given/bridged-*.whl
            install -m 644 /opt/given/systemd/*.service /opt/given/systemd/*.socket /etc/systemd/system/
            systemctl daemon-reload
        """
        self.run("sh", "-euc", script)

    def journal(self, unit: str) -> str:
        """What the unit has logged."""
        return self.run("journalctl", "-u", unit, "-o", "cat", "--no-pager").stdout


@contextmanager
def machine() -> Iterator[Machine]:
    """Boot one; it is gone afterwards. The first ever takes minutes, later ones seconds."""
    base = _base()
    group = Path(str(_cgroups()), f"bridged-test-{os.getpid()}")
    group.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="machine-", dir=HOME) as made:
        folder = Path(made)
        for name in ("layer", "given"):
            (folder / name).mkdir()
        unshare = ["unshare", *["--pid", "--mount", "--uts", "--ipc", "--cgroup", "--net", "--fork", "--kill-child"]]
        join = f'echo $$ > "{group}/cgroup.procs"; exec "$@"'
        booted = subprocess.Popen(
            # It ends with us, whatever ends us.
            parentlink.argv(["/bin/sh", "-c", join, "sh", *unshare, "sh", "-c", _BOOT]),
            env={**os.environ, "BASE": str(base), "LAYER": str(folder / "layer"), "GIVEN": str(folder / "given")},
            stdin=subprocess.DEVNULL,
        )
        try:
            made_machine = Machine(_child(booted), folder / "given")
            _await_boot(made_machine, booted)
            made_machine.install()
            yield made_machine
        finally:
            booted.kill()
            booted.wait(30)
            _remove(group)


def _cgroups() -> Path | None:
    for path in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")):
        if (path / "cgroup.procs").exists() and (path / "cgroup.controllers").exists():
            return path
    return None


def _remove(group: Path) -> None:
    deadline = time.monotonic() + 30
    kill = group / "cgroup.kill"
    if kill.exists():
        kill.write_text("1")
    while time.monotonic() < deadline:
        try:
            for path in sorted(group.rglob("*"), reverse=True):
                if path.is_dir():
                    path.rmdir()
            group.rmdir()
        except OSError:
            time.sleep(0.05)
        else:
            return


def _child(parent: subprocess.Popen[bytes]) -> int:
    """The process that is number 1 in there."""
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and parent.poll() is None:
        if found := children.read_text().split():
            return int(found[0])
        time.sleep(0.02)
    raise AssertionError(f"the machine did not start: {parent.poll()}")


def _await_boot(there: Machine, booted: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    state = ""
    while time.monotonic() < deadline and booted.poll() is None:
        state = there.run("systemctl", "is-system-running", check=False).stdout.strip()
        # Some of what a whole machine has is not there; it starts without.
        if state in ("running", "degraded"):
            return
        time.sleep(0.1)
    raise AssertionError(f"the machine did not boot: {state or booted.poll()}")


def _base() -> Path:
    """The Debian, with an environment in /opt/bridged that has everything bridged needs, but not bridged."""
    HOME.mkdir(parents=True, exist_ok=True)
    needs = _needs()
    mark = hashlib.sha256("\n".join([PACKAGES, *needs, (ROOT / "constraints.txt").read_text()]).encode()).hexdigest()[
        :12
    ]
    base = HOME / f"{SUITE}-{mark}"
    if base.exists():
        return base
    plain = HOME / f"{SUITE}-plain"
    if not plain.exists():
        new = HOME / f"{SUITE}-new"
        shutil.rmtree(new, ignore_errors=True)
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(new)]
        subprocess.run(command, check=True, timeout=900, stdout=subprocess.DEVNULL)
        new.rename(plain)
    new = HOME / f"{base.name}-new"
    shutil.rmtree(new, ignore_errors=True)
    subprocess.run(["cp", "-a", str(plain), str(new)], check=True, timeout=300)
    wheels = new / "opt/wheels"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    constrain = ["-c", str(ROOT / "constraints.txt")]
    # This one has no wheel of its own anywhere; one made here serves every Python.
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(wheels), *constrain, "nkeys"], check=True, timeout=300)
    fit = ["--python-version", PYTHON, "--only-binary=:all:", *(f"--platform={one}" for one in PLATFORMS)]
    found = ["--find-links", str(wheels)]
    subprocess.run([*pip, "download", "-d", str(wheels), *found, *fit, *constrain, *needs], check=True, timeout=600)
    _chroot(new, "python3", "-m", "venv", "/opt/bridged")
    offline = ["--no-index", "--find-links", "/opt/wheels", "--disable-pip-version-check"]
    _chroot(new, "/opt/bridged/bin/pip", "install", "--quiet", *offline, *needs)
    new.rename(base)
    return base


def _needs() -> list[str]:
    needs: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return needs


def _chroot(root: Path, *command: str) -> None:
    bare = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
    subprocess.run(["chroot", str(root), *command], check=True, timeout=600, env=bare, stdin=subprocess.DEVNULL)
