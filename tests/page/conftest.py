"""A real Chromium for the status page: one for all these tests, and a fresh profile for each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.page_server import PageServer, page_server

PATIENCE_MS = 60_000
"""A guard, never a measure."""
FAILED = "Failed to load resource"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARTEFACTS = Path(os.environ.get("BRIDGED_SCREENSHOTS") or Path(__file__).parents[2] / "build" / "screenshots")

expect.set_options(timeout=PATIENCE_MS)


@dataclass
class Visit:
    """A page that is open, and what it did besides being looked at.

    `fails`: requests are meant to fail, each of which the browser writes into its console.
    """

    page: Page
    server: PageServer
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    fails: bool = False

    def open(self) -> Page:
        """Go there, and wait until the report is drawn."""
        self.page.goto(self.server.url)
        expect(self.page.locator("#verdict")).to_be_visible()
        return self.page


Visiting = Callable[..., Visit]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. Without a sandbox of its own: it runs as root in tests, and sees only our pages."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield running
        finally:
            running.close()


@pytest.fixture
def visiting(browser: Browser) -> Iterator[Visiting]:
    """Opens visits of a report. Afterwards: no error was written, and nothing was asked of anybody else."""
    visits: list[Visit] = []
    servers: list[Any] = []

    def begin(
        report: dict[str, Any], *, width: int = 1400, height: int = 900, token: str = "", **profile: Any
    ) -> Visit:
        manager = page_server(report, token)
        server = manager.__enter__()
        servers.append(manager)
        context = browser.new_context(viewport={"width": width, "height": height}, **profile)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        visit = Visit(page, server)
        page.on("pageerror", lambda error: visit.errors.append(str(error)))
        page.on("console", lambda line: visit.errors.append(line.text) if line.type in ("error", "warning") else None)
        page.on("request", lambda request: visit.requests.append(request.url))
        visits.append(visit)
        return visit

    try:
        yield begin
    finally:
        for visit in visits:
            visit.page.context.close()
        for manager in servers:
            manager.__exit__(None, None, None)
    for visit in visits:
        assert [line for line in visit.errors if not (visit.fails and line.startswith(FAILED))] == []
        strangers = [url for url in visit.requests if not url.startswith(visit.server.url)]
        assert strangers == []
