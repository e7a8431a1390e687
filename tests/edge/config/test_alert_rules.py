"""`[[alert]]`: every mistake with its file, line and key, before anything runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.edge.config.loader import load
from tests.support.configuration import ENVIRON, SOURCE, loaded, refused, write

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr"
CHANNELS = {"OPS": "json://127.0.0.1:9/hunter2", "HOOK_KEY": KEY, "OTHER": "json://127.0.0.1:9/other"}
GOOD = '''
[[alert]]
name = "sessions"
subjects = ["events.pcvisit.>", "agyletime.*.shift.created.*"]
where = """after.state == "finished"
  && after.duration_ms > 60000"""
title = "{after.name | a session}: {after.state}"
body = "{time}"
severity = "warning"
notify = [{ env = "OPS" }]
group_by = ["source", "after.client.id"]
throttle = "10m"
quiet = { begin = "22:00", end = "6:30", zone = "Europe/Berlin", days = ["mon", "fri"] }

[[alert.webhook]]
name = "desk"
url = "http://127.0.0.1:9/alerts"
secret = { env = "HOOK_KEY" }
'''


def test_an_alert_is_read(tmp_path: Path) -> None:
    """All its keys arrive, and nothing is complained about; a drop-in may hold another."""
    health = '[[alert]]\nname = "health"\npreset = "health"\nnotify = [{ env = "OPS" }]\n'
    config = loaded(tmp_path, SOURCE + GOOD, CHANNELS, {"health": health})
    first, second = config.alerts
    assert (first.name, first.throttle, first.group_by) == ("sessions", "10m", ["source", "after.client.id"])
    assert first.quiet is not None
    assert first.quiet.days == ["mon", "fri"]
    assert first.webhook[0].name == "desk"
    assert (second.name, second.preset) == ("health", "health")
    assert config.warnings == ()
    assert "hunter2" not in repr(config)


@pytest.mark.parametrize(
    ("old", "new", "line", "text"),
    [
        ('name = "sessions"', 'name = "a.b"', 8, "name: expected letters, digits, - and _, at most 60"),
        ('"events.pcvisit.>"', '"events.>.x"', 9, "subjects[0]: > stands for all that follows, so it comes last"),
        ('"events.pcvisit.>"', '"live.>"', 9, "subjects[0]: alerts are about stored events"),
        ('"agyletime.*.shift.created.*"', '"agyletime.acme"', 9, "subjects[1]: no event matches"),
        ('"agyletime.*.shift.created.*"', '"events.a.b.c.d.e.f"', 9, "subjects[1]: no event matches"),
        ('["events.pcvisit.>", "agyletime.*.shift.created.*"]', "[]", 9, "subjects: nothing is selected"),
        ("after.duration_ms > 60000", "afer.duration_ms > 60000", 10,
         "where: line 2, column 6: an event has no afer; did you mean after?"),
        ("> 60000", ">", 10, "where: line 2, column 25: the expression ends before it is complete"),
        ('"{time}"', '"at {time"', 13, "body: line 1, column 4: this { is never closed"),
        ("{after.state}", "{state}", 12, "title: line 1, column 27: an event has no field state"),
        ('"{after.name | a session}: {after.state}"', '" "', 12, "title: expected a text, got an empty one"),
        ('severity = "warning"', 'severity = "warn"', 14, 'severity: expected one of "info"'),
        ('"after.client.id"', '"client.id"', 16, "group_by[1]: an event has no field client"),
        ('throttle = "10m"', 'throttle = "10 min"', 17, "throttle: not a span of time"),
        ('throttle = "10m"', 'throttle = "0s"', 17, "throttle: expected something from 1s to 7d"),
        ('throttle = "10m"', 'digest = "8d"', 17, "digest: expected something from 1s to 7d"),
        ('throttle = "10m"', 'throttle = "10m"\ndigest = "1h"', 18, "digest: throttle is set already"),
        ('"22:00"', '"25:00"', 18, "quiet.begin: expected a time such as 22:00"),
        ('"6:30"', '"22:00"', 18, "quiet.end: begin and end are the same"),
        ('"Europe/Berlin"', '"Europe/Bonn"', 18, "quiet.zone: no such time zone"),
        ('"mon", "fri"', '"mo"', 18, "quiet.days[0]: expected a list of one of"),
        ('[{ env = "OPS" }]', '[{ env = "OPS" }, { env = "OPS" }]', 15, "notify[1]: is there already, as notify[0]"),
        ('[{ env = "OPS" }]', '[{ env = "NOWHERE" }]', 15, "notify[0]:"),
        ('[{ env = "OPS" }]', '[{ env = "HOOK_KEY" }]', 15, "notify[0]: the text of env HOOK_KEY is no Apprise URL"),
        ('name = "desk"', 'name = "the desk"', 21, "webhook[0].name: expected letters, digits, - and _"),
        ("http://127.0.0.1:9", "http://example.org", 22, "webhook[0].url: http:// would show"),
        ("http://127.0.0.1:9", "ftp://127.0.0.1", 22, "webhook[0].url: not a URL of the form https://"),
        ("http://127.0.0.1:9", "https://me:hunter2@example.org", 22, "webhook[0].url: a user name or password"),
        ('{ env = "HOOK_KEY" }', '{ env = "OPS" }', 23, "webhook[0].secret: the key of env OPS is none of Standard"),
        ('secret = { env = "HOOK_KEY" }', "", 20, "webhook[0]: the key secret is missing"),
    ],
)  # fmt: skip
def test_each_mistake_has_its_line(tmp_path: Path, old: str, new: str, line: int, text: str) -> None:
    """The line in the file, the key by the alert's name, and what to do; and no secret."""
    assert old in GOOD
    found = refused(tmp_path, SOURCE + GOOD.replace(old, new), CHANNELS)
    names = ('alert["sessions"]', 'alert["a.b"]')
    assert any(
        one.startswith(tuple(f"bridged.toml:{line}: {name}" for name in names)) and text in one for one in found
    ), found
    assert len(found) == 1
    assert "hunter2" not in f"{found}"
    assert KEY not in f"{found}"


def test_two_of_one_name(tmp_path: Path) -> None:
    """The second one is the mistake: of alerts, and of the webhooks of one."""
    hook = GOOD[GOOD.index("[[alert.webhook]]") :]
    found = refused(tmp_path, SOURCE + GOOD + GOOD + hook, CHANNELS)
    assert [one.partition(": ")[2] for one in found] == [
        'alert["sessions"].name: the name is taken by the alert at ' + "bridged.toml:8",
        'alert["sessions"].webhook[1].name: the name is taken by webhook[0]',
    ]


def test_the_preset_says_itself_what_it_tells(tmp_path: Path) -> None:
    """Quiet hours and channels are all that goes with it."""
    text = GOOD.replace('name = "sessions"', 'name = "sessions"\npreset = "health"')
    found = refused(tmp_path, SOURCE + text, CHANNELS)
    keys = ("subjects", "where", "title", "body", "severity", "group_by", "throttle")
    assert [one.partition(": ")[2] for one in found] == [
        f'alert["sessions"].{key}: goes not with preset = "health", which says that itself' for key in keys
    ]


def test_what_works_and_is_probably_not_meant(tmp_path: Path) -> None:
    """An alert that nobody hears, and groups of nothing."""
    text = '[[alert]]\nname = "mute"\ngroup_by = ["source"]\n'
    config = loaded(tmp_path, SOURCE + text)
    assert [str(one).replace(f"{tmp_path}/", "") for one in config.warnings] == [
        'bridged.toml:6: alert["mute"]: nobody is told: set notify or [[alert.webhook]]; it is only '
        "events.bridge.mute.alert.>",
        'bridged.toml:8: alert["mute"].group_by: has no effect without throttle or digest',
    ]


def test_a_source_leaves_the_name_to_the_alerts(tmp_path: Path) -> None:
    """Where there are any."""
    source = SOURCE.replace('"one"', '"alerts"')
    loaded(tmp_path, source)
    (found,) = refused(tmp_path, source + '[[alert]]\nname = "mute"\n')
    assert found.startswith('bridged.toml:2: source["alerts"].name: is the bridge\'s own name')


def test_one_pair_of_brackets(tmp_path: Path) -> None:
    """Is not enough."""
    (found,) = refused(tmp_path, SOURCE + '[alert]\nname = "mute"\n')
    assert "expected [[alert]], with two pairs of brackets" in found


def test_commands_that_have_nothing_to_do_with_alerts_load_nothing_of_them(tmp_path: Path) -> None:
    """Neither libraries nor secrets; and without alerts nobody loads them."""
    path = write(tmp_path, SOURCE + GOOD)
    program = (
        "import sys, json\nfrom pathlib import Path\nfrom bridge.edge.config.loader import load\n"
        "load(Path(sys.argv[1]), json.loads(sys.argv[2]), vendor_secrets=False)\n"
        "print([name for name in ('apprise', 'bridge.edge.condition', 'cryptography') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), json.dumps(ENVIRON)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
    assert load(path, ENVIRON, vendor_secrets=False).alerts[0].name == "sessions"


def test_a_filter_for_a_source_that_is_not_there(tmp_path: Path) -> None:
    """It is a warning, with the nearest name: another instance may have that source."""
    subjects = '["events.acme.oen.>", "acme.far.>", "*.one.thing.>", "acme.>", ">", "bridge.ops.>"]'
    text = f'[[alert]]\nname = "x"\nsubjects = {subjects}\nnotify = [{{ env = "OPS" }}]\n'
    assert [f"{one.key}: {one.message}" for one in loaded(tmp_path, SOURCE + text, CHANNELS).warnings] == [
        'alert["x"].subjects[0]: no source here is called oen; did you mean one?',
        'alert["x"].subjects[1]: no source here is called far',
    ]
