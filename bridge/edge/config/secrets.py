"""Resolves secret references: `{ env = "…" }`, `{ file = "…" }`, `{ credential = "…" }`.

A secret written into the file itself is refused, and no text made here ever holds a secret's value.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bridge.core.secret import Masker, Secret
from bridge.edge.config.document import absolute

FORMS = ("env", "file", "credential")
LARGEST = 64 << 10
"""Bytes of a secret file: a longer one is the wrong file."""

WRITE_INSTEAD = (
    'write { env = "NAME" } for an environment variable, { file = "/path" } for a file that holds nothing else, '
    'or { credential = "name" } for a systemd credential'
)

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}\Z")
_CREDENTIAL = re.compile(r"[A-Za-z0-9_:@-][A-Za-z0-9_.:@-]{0,254}\Z")


class BadReference(Exception):
    """The reference does not lead to a secret. The text says what was expected."""


class NotHere(BadReference):
    """The reference is well made, but leads nowhere in this environment."""


class SecretReader:
    """Reads secrets. `environ` is the environment, `folder` what relative file names are relative to."""

    def __init__(self, environ: Mapping[str, str], folder: Path) -> None:
        self._environ = environ
        self._folder = folder

    def read(self, reference: Any) -> tuple[Secret, list[str]]:
        """The secret, and warnings about it. Raises BadReference."""
        if not isinstance(reference, dict):
            raise BadReference(f"a secret is never written into the file; {WRITE_INSTEAD}")
        # Neither its keys nor its values are repeated in the text: somebody may have put the secret there.
        if len(reference) != 1 or next(iter(reference)) not in FORMS:
            raise BadReference(f"expected exactly one of {', '.join(FORMS)}; {WRITE_INSTEAD}")
        form, name = next(iter(reference.items()))
        if not isinstance(name, str) or not name:
            raise BadReference(f"expected {{ {form} = text }}; {WRITE_INSTEAD}")
        value, origin, warnings = getattr(self, f"_{form}")(name)
        if not value:
            raise BadReference(f"{origin} is empty")
        if len(value) < Masker.SHORTEST:
            warnings.append(
                f"{origin} has fewer than {Masker.SHORTEST} characters: it is too short to be masked in logs"
            )
        if value != value.strip():
            warnings.append(f"{origin} begins or ends with white space: is that meant?")
        return Secret(value, origin), warnings

    def origin(self, reference: dict[str, str]) -> str:
        """What the secret of a well-made reference is called, whether or not it is there."""
        form, name = next(iter(reference.items()))
        return f"{form} {absolute(name, self._folder, self._environ) if form == 'file' else name}"

    def _env(self, name: str) -> tuple[str, str, list[str]]:
        if not _VARIABLE.match(name):
            raise BadReference(f"what stands after env is not the name of an environment variable; {WRITE_INSTEAD}")
        if name not in self._environ:
            raise NotHere(f"the environment variable {name} is not set")
        return self._environ[name], f"env {name}", []

    def _file(self, name: str) -> tuple[str, str, list[str]]:
        path = absolute(name, self._folder, self._environ)
        value, mode = _read(path, f"the file {path}")
        readable = bool(mode & stat.S_IROTH)
        warnings = [f"the file {path} can be read by every user: chmod o-r it"] if readable else []
        return value, f"file {path}", warnings

    def _credential(self, name: str) -> tuple[str, str, list[str]]:
        if not _CREDENTIAL.match(name):
            raise BadReference(f"what stands after credential is not the name of a credential; {WRITE_INSTEAD}")
        folder = self._environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise NotHere(
                f"the credential {name} needs $CREDENTIALS_DIRECTORY, which systemd sets for a unit with "
                f"LoadCredential={name}:/path; it is not set"
            )
        value, _ = _read(Path(folder) / name, f"the credential {name} in {folder}")
        return value, f"credential {name}", []


def _read(path: Path, what: str) -> tuple[str, int]:
    """Text and mode of a small regular file. A pipe is refused, since reading it could wait for ever."""
    try:
        # O_NONBLOCK: opening a pipe nobody writes to would wait before we could see that it is one.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as stream:
            mode = os.fstat(stream.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise BadReference(f"{what} is not a regular file")
            data = stream.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise NotHere(f"{what} cannot be read: {reason}") from None
    if len(data) > LARGEST:
        raise BadReference(f"{what} is larger than {LARGEST >> 10} KiB")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise BadReference(f"{what} is not UTF-8 text") from None
    # Editors and `echo` end a file with a newline that is no part of the secret.
    return text.removesuffix("\n").removesuffix("\r"), mode
