"""The page as the daemon itself serves it: nothing of it is played."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.page.conftest import FAILED, PATIENCE_MS
from tests.support.nats_server import free_port
from tests.support.program import Child
from tests.support.waiting import wait_until_blocking

TOKEN = "token-of-the-hook-0001"
LOGIN = "token-of-the-page-0001"

CONFIGURATION = """
[nats]
url = "embedded"
[daemon]
instance = "gate-7"
state_dir = {state}
log_format = "json"
[status]
listen = "127.0.0.1:{page}"
token = {{ env = "PAGE_TOKEN" }}
[ingress]
listen = "127.0.0.1:{hooks}"
[[source]]
name = "shop"
adapter = "webhook"
verify = "bearer"
secrets = [{{ env = "HOOK_TOKEN" }}]
[[source.event]]
entity = "payment"
"""


def test_the_daemon_shows_what_happens_in_it(browser: Browser, tmp_path: Path) -> None:
    """Log in; a webhook is delivered and seen at once, without its data; the daemon ends, and the page says so."""
    page_port, hook_port = free_port(), free_port()
    path = tmp_path / "bridged.toml"
    state = json.dumps(str(tmp_path / "state"))
    path.write_text(CONFIGURATION.format(state=state, page=page_port, hooks=hook_port), "utf-8")
    daemon = Child(tmp_path, "daemon", ["run", "--config", str(path)], {"HOOK_TOKEN": TOKEN, "PAGE_TOKEN": LOGIN})
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    lines: list[str] = []
    page.on("console", lambda line: lines.append(line.text))
    page.on("pageerror", lambda error: lines.append(str(error)))
    try:
        daemon.start()
        wait_until_blocking(lambda: daemon.said("source.live") or not daemon.running, what="the source to be live")
        wait_until_blocking(lambda: daemon.said("status.listening") or not daemon.running, what="the page to be served")
        assert daemon.running, daemon.tail()
        page.goto(f"http://127.0.0.1:{page_port}/")
        page.get_by_role("textbox", name="Token").fill(LOGIN)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("All is well")
        expect(page).to_have_title("All is well · gate-7")
        expect(page.get_by_role("article", name="shop").locator(".badge")).to_have_text("Live")

        body = json.dumps({"type": "payment", "payer": "Erika Mustermann"}).encode()
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{hook_port}/hooks/shop", body, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status < 300
        events = page.get_by_role("region", name="Last events")
        expect(events).to_contain_text("payment occurred")
        expect(page.get_by_role("article", name="shop").locator(".rate strong")).not_to_have_text("0")
        assert "Mustermann" not in page.content()
        assert [line for line in lines if not line.startswith(FAILED)] == []

        daemon.kill()
        expect(page.get_by_role("heading", level=1)).to_have_text("No longer live")
        # The cookie ends with the daemon that gave it: the next one asks again.
        daemon.start()
        expect(page.get_by_role("textbox", name="Token")).to_be_focused()
        expect(page).to_have_title("Token needed · bridged")
        expect(page.locator("#report")).to_be_hidden()
        assert [line for line in lines if not line.startswith(FAILED)] == []
    finally:
        context.close()
        daemon.close()
