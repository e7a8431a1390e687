"""A container engine, if this machine has one: Docker, or Podman in whichever way it works here.

The image that the Dockerfile begins with comes from its registry. Where that cannot be reached, the same Debian with
the same minor version of Python takes its place (`debootstrap`, as root), and all instructions are carried out on it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
IMAGE = "localhost/bridged-rehearsal"
BUILD_S = 1200
STAND_IN = Path("/var/tmp/bridged-images")
"""As large as a system, and made once for a machine."""
PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")


class NoEngine(Exception):
    """No container can be run here. The text says why."""


@dataclass(frozen=True)
class Engine:
    """`command`: the engine with its own options; `build`, `run`: those of these commands that this machine needs."""

    command: Sequence[str]
    build: Sequence[str] = ()
    run: Sequence[str] = ()

    def do(self, *arguments: str, timeout_s: float = 120, check: bool = True) -> str:
        """What the engine writes to stdout; unless `check`ed, what it writes at all."""
        done = subprocess.run(
            [*self.command, *arguments], capture_output=True, text=True, timeout=timeout_s, check=False, cwd=ROOT
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(arguments)}: {done.stdout[-2000:]}{done.stderr[-4000:]}")
        return done.stdout if check else done.stdout + done.stderr

    def image(self) -> str:
        """The image, built anew from the Dockerfile as it is now."""
        base = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)[-1]
        self._have(base)
        self.do("build", *self.build, "--network", "host", "--tag", IMAGE, ".", timeout_s=BUILD_S)
        return IMAGE

    def inspect(self, image: str) -> dict[str, object]:
        """The image's configuration."""
        found: dict[str, object] = json.loads(self.do("image", "inspect", image))[0]["Config"]
        return found

    def _have(self, base: str) -> None:
        held = self.do("image", "inspect", base, check=False).lstrip().startswith("[{")
        if not held and "rror" in self.do("pull", base, timeout_s=300, check=False):
            _stand_in(self, base)


def find() -> Engine:
    """An engine that has just run a container. Raises NoEngine."""
    if shutil.which("docker") and _works(["docker", "info"]):
        return Engine(["docker"])
    if not shutil.which("podman"):
        raise NoEngine("neither a Docker daemon nor podman is here")
    probe = "localhost/bridged-probe"
    for command in (["podman"], ["podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs"]):
        for limits in ((), LIMITS):
            engine = Engine(command, ("--isolation", "chroot") if limits else (), limits)
            if _works([*command, "image", "exists", probe]) or _probe(engine, probe):
                run = [*command, "run", "--rm", "--network", "host", *limits, probe, "/bin/busybox", "true"]
                if _works(run):
                    return engine
    raise NoEngine("podman is here, and cannot run a container (nested in one, or without rights)")


def _probe(engine: Engine, name: str) -> bool:
    """The smallest image there is: one program."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise NoEngine("busybox is missing, which is run to find out how podman works here")
    made = subprocess.run(
        ["tar", "-c", "-C", "/", "--transform", "s,.*,bin/busybox,", busybox.lstrip("/")],
        capture_output=True, check=True, timeout=30,
    )  # fmt: skip
    sent = subprocess.run(
        [*engine.command, "import", "-", name], input=made.stdout, capture_output=True, timeout=60, check=False
    )
    return sent.returncode == 0


def _stand_in(engine: Engine, base: str) -> None:
    """A system of the same release and Python, with the authorities that this machine trusts."""
    release = base.rpartition("-")[2]
    folder = STAND_IN / release
    if not (folder / "usr/bin/python").exists():
        if not shutil.which("debootstrap"):
            raise NoEngine(f"{base} cannot be had, and debootstrap is missing, which would make what takes its place")
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        arguments = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", release, str(folder)]
        subprocess.run(arguments, check=True, capture_output=True, timeout=BUILD_S)
        for name in ("etc/ssl/certs/ca-certificates.crt", "etc/pip.conf"):
            if (Path("/") / name).exists():
                shutil.copy(Path("/") / name, folder / name)
        (folder / "usr/bin/python").symlink_to("python3")
    packed = ["tar", "-C", str(folder), "-c", "."]
    with subprocess.Popen(packed, stdout=subprocess.PIPE) as tar:
        subprocess.run(
            [*engine.command, "import", "-", base], stdin=tar.stdout, check=True, capture_output=True, timeout=BUILD_S
        )


def _works(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
