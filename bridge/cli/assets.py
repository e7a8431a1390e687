"""The files of the status page, as they lie in the package."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import bridge
from bridge.engine.status_http import Asset

INDEX = "index.html"
KINDS: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
"""What is served, by its ending; nothing else is."""


def assets() -> Mapping[str, Asset]:
    """By path: the page at `/`, everything else below `/assets/`."""
    found: dict[str, Asset] = {}
    for file in sorted((Path(bridge.__file__).parent / "page").iterdir()):
        if (kind := KINDS.get(file.suffix)) is None or not file.is_file():
            continue
        body = file.read_bytes()
        asset = Asset(kind, body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
        found["/" if file.name == INDEX else f"/assets/{file.name}"] = asset
    return found
