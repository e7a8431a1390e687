"""Loading: what a good configuration becomes, and the exact place and text of everything that is wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bridge.core.config import NatsSettings
from bridge.edge.config.loader import ConfigErrors, load
from tests.support.configuration import ENVIRON, SECRET, SOURCE, loaded, refused, write


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    """Without a word of configuration the embedded server is used, and a warning says that nothing is read."""
    config = loaded(tmp_path, "")
    assert config.nats == NatsSettings()
    assert config.nats.embedded
    assert config.nats.urls == ()
    assert config.daemon.state_dir == "/home/nobody/.local/state/bridged"
    assert config.sources == ()
    assert "no [[source]]" in str(config.warnings[0])


def test_a_source_becomes_its_adapters_settings(tmp_path: Path) -> None:
    """Every type of key arrives as the declared type, and the adapter can be made of it."""
    config = loaded(
        tmp_path,
        SOURCE
        + """
page_size = 10
every_s = 2
auth = "api-key"
companies = ["a", "b"]
variables = { deep = { list = [1, 2.5, true] } }
headers = { x-key = { env = "ACME_TOKEN" } }
omit = []
[[source.accounts]]
id = "1"
key = { env = "ACME_TOKEN" }
[[source.accounts]]
id = "2"
""",
    )
    (source,) = config.sources
    assert source.name == "one"
    assert source.omit == []
    values = {field.name: getattr(source, field.name) for field in dataclasses.fields(source)}
    assert values["token"].reveal() == SECRET
    assert values["token"].origin == "env ACME_TOKEN"
    assert (values["page_size"], values["every_s"], values["auth"]) == (10, 2.0, "api-key")
    assert values["companies"] == ["a", "b"]
    assert values["variables"] == {"deep": {"list": [1, 2.5, True]}}
    assert values["headers"]["x-key"].reveal() == SECRET
    assert [account.id for account in values["accounts"]] == ["1", "2"]
    assert len(config.secrets) == 3
    assert config.adapter(source).settings is source
    assert config.warnings == ()


def test_omit_left_out_leaves_it_to_the_adapter(tmp_path: Path) -> None:
    """Absent and empty are different: only the absent `omit` means the adapter's default."""
    assert loaded(tmp_path, SOURCE).sources[0].omit is None


def test_drop_ins_replace_keys_and_add_sources(tmp_path: Path) -> None:
    """Files of the drop-in folder are read by name; their keys win, their sources are added; other files are not."""
    config = loaded(
        tmp_path,
        '[nats]\nurl = "tls://a"\nuser = "u"\npassword = { env = "ACME_TOKEN" }\n' + SOURCE,
        drop_ins={"20-b": SOURCE.replace('"one"', '"two"'), "10-a": '[nats]\nurl = "tls://b"\n', ".#x": "broken ="},
    )
    assert config.nats.urls == ("tls://b",)
    assert config.nats.user == "u"
    assert [source.name for source in config.sources] == ["one", "two"]
    assert [file.name for file in config.files] == ["bridged.toml", "10-a.toml", "20-b.toml"]


def test_a_drop_in_replaces_a_secret_reference_as_a_whole(tmp_path: Path) -> None:
    """A reference of another form takes the place of the first; the two are not mixed into one."""
    (tmp_path / "password").write_text(f"{SECRET}\n")
    (tmp_path / "password").chmod(0o600)
    config = loaded(
        tmp_path,
        '[nats]\nurl = "tls://a"\nuser = "u"\npassword = { env = "NOT_SET" }\n',
        drop_ins={"late": '[nats]\npassword = { file = "password" }\n'},
    )
    assert config.nats.password is not None
    assert config.nats.password.reveal() == SECRET


def test_paths_are_absolute_and_relative_to_the_file(tmp_path: Path) -> None:
    """Relative paths start at the configuration's folder, `~/` at the home folder."""
    (tmp_path / "bridge.creds").write_text("")
    config = loaded(
        tmp_path, '[nats]\nurl = "tls://a:4222"\ncreds = "./bridge.creds"\n[daemon]\nstate_dir = "~/state"\n'
    )
    assert config.nats.creds == str(tmp_path / "bridge.creds")
    assert config.daemon.state_dir == "/home/nobody/state"


def test_systemd_names_the_state_directory(tmp_path: Path) -> None:
    """$STATE_DIRECTORY is used where no state_dir is given; of several the first."""
    assert loaded(tmp_path, "", {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}).daemon.state_dir == "/var/lib/a"


def test_an_unencrypted_address_elsewhere_is_refused(tmp_path: Path) -> None:
    """http:// and ws:// are fine on loopback; to another machine the run would refuse them, so it is an error."""
    for here in ("http://127.0.0.1:8080/x", "http://localhost/x", "http://vendor.localhost", "HTTP://[::1]:80/x"):
        assert loaded(tmp_path, SOURCE.replace("https://acme.example", here)).warnings == ()
    for there in ("http://", "HTTP://", "ws://"):
        with pytest.raises(ConfigErrors) as raised:
            loaded(tmp_path, SOURCE.replace("https://", there))
        (problem,) = raised.value.problems
        assert (problem.line, problem.key) == (4, 'source["one"].http_url')
        assert f"use {there.lower().replace('://', 's://')}" in problem.message
        assert "only on this machine" in problem.message


X_ASSIST = """
[[source]]
name = "travel"
adapter = "x_assist"
graphql_url = "https://x.example/graphql"
client_id = "me"
client_secret = { env = "ACME_TOKEN" }
"""
X_LIVE = """
transport = "graphql-ws"
ws_url = "WSURL"
[[source.subscription]]
name = "events"
document = "subscription { event { id } }"
entity = "alert"
id = "id"
fields = { id = "id" }
"""


def refusals(tmp_path: Path, text: str) -> list[tuple[str, str]]:
    with pytest.raises(ConfigErrors) as raised:
        loaded(tmp_path, text)
    return [(problem.key, problem.message) for problem in raised.value.problems]


def test_an_unencrypted_socket_elsewhere_is_refused_where_it_would_be_opened(tmp_path: Path) -> None:
    """With a subscription ws:// to another machine is wrong; without one nobody goes there: a warning."""
    keys = X_ASSIST + 'token_url = "https://x.example/token"\n'
    assert loaded(tmp_path, keys + X_LIVE.replace("WSURL", "ws://127.0.0.1:9/x")).warnings == ()
    ((key, message),) = refusals(tmp_path, keys + X_LIVE.replace("WSURL", "ws://x.example/x"))
    assert key == 'source["travel"].ws_url'
    assert "use wss://" in message
    (warning,) = loaded(tmp_path, keys + 'ws_url = "ws://x.example/x"\n').warnings
    assert warning.key == 'source["travel"].ws_url'
    assert "a live session would be refused" in warning.message


def test_an_unencrypted_issuer_elsewhere_is_refused_where_it_would_be_asked(tmp_path: Path) -> None:
    """The login begins there, unless `token_url` says where tokens are issued."""
    issuer = 'issuer = "http://login.example"\n'
    ((key, message),) = refusals(tmp_path, X_ASSIST + issuer)
    assert key == 'source["travel"].issuer'
    assert "use https://" in message
    assert loaded(tmp_path, X_ASSIST + 'issuer = "http://127.0.0.1:9"\n').warnings == ()
    assert loaded(tmp_path, X_ASSIST + issuer + 'token_url = "https://login.example/token"\n').warnings == ()


# Each: what is written, and for every complaint the words it must hold after exactly this place.
WRONG: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "syntax": ("[nats]\nurl = \n", [("bridged.toml:2:", "not valid TOML: Invalid value")]),
    "cut off": ('[nats]\nurl = """\nx', [("bridged.toml:3:", "not valid TOML")]),
    "key twice": ("[nats]\nreplicas = 1\nreplicas = 2\n", [("bridged.toml:3:", "not valid TOML")]),
    "unknown table": (
        "[nat]\n[deamon]\n",
        [("bridged.toml:1: nat:", "did you mean nats?"), ("bridged.toml:2: deamon:", "did you mean daemon?")],
    ),
    "unknown key": (
        "[nats]\n\nreplica = 1\n",
        [("bridged.toml:3: nats.replica:", "unknown key; did you mean replicas?")],
    ),
    "unknown key unlike any": (
        "[daemon]\nzzz = 1\n",
        [("bridged.toml:2: daemon.zzz:", "unknown key; known keys: state_dir, log_level, log_format")],
    ),
    "unknown key of a source, wrong spelling": (
        SOURCE + "page-Size = 1\n",
        [('bridged.toml:6: source["one"].page-Size:', "did you mean page_size?")],
    ),
    "unknown key of a table inside": (
        SOURCE + "\n[[source.accounts]]\nid = '1'\nkee = 1\n",
        [('bridged.toml:9: source["one"].accounts[0].kee:', "did you mean key?")],
    ),
    "wrong type": (
        SOURCE + 'page_size = "50"\nraw = 1\nevery_s = "x"\nname2 = 1\n',
        [
            ('bridged.toml:6: source["one"].page_size:', "expected a whole number, got text"),
            ('bridged.toml:7: source["one"].raw:', "expected true or false, got a whole number"),
            ('bridged.toml:8: source["one"].every_s:', "expected a number, got text"),
            ('bridged.toml:9: source["one"].name2:', "did you mean name?"),
        ],
    ),
    "wrong item": (
        SOURCE + 'companies = [\n  "a",\n  2,\n]\n',
        [('bridged.toml:8: source["one"].companies[1]:', "expected a list of text; this item is a whole number")],
    ),
    "not a list": (SOURCE + 'omit = "x"\n', [('bridged.toml:6: source["one"].omit:', "a list of text, got text")]),
    "a point": (SOURCE + "page_size = 1.5\n", [('bridged.toml:6: source["one"].page_size:', "a whole number")]),
    "not finite": (SOURCE + "every_s = nan\n", [('bridged.toml:6: source["one"].every_s:', "finite")]),
    "too small": (
        SOURCE + "page_size = 0\nevery_s = -1\nmax_body_mb = 0\nrequest_timeout_s = 0\n",
        [
            ('bridged.toml:6: source["one"].page_size:', "at least 1"),
            ('bridged.toml:7: source["one"].every_s:', "at least 0"),
            ('bridged.toml:8: source["one"].max_body_mb:', "at least 1"),
            ('bridged.toml:9: source["one"].request_timeout_s:', "at least 0.1"),
        ],
    ),
    "not one of": (
        SOURCE + 'auth = "JTW"\n[daemon]\nlog_level = "loud"\n',
        [
            ('bridged.toml:6: source["one"].auth:', 'one of "jwt", "api-key"; did you mean "jwt"?'),
            ("bridged.toml:8: daemon.log_level:", 'one of "debug", "info", "warning", "error"'),
        ],
    ),
    "required keys": (
        '\n[[source]]\nadapter = "acme"\n',
        [
            ("bridged.toml:2: source[0]:", "the key name is missing: text"),
            ("bridged.toml:2: source[0]:", "the key http_url is missing: text, where it is"),
            ("bridged.toml:2: source[0]:", "the key token is missing: a secret reference, what opens it"),
        ],
    ),
    "no adapter": (
        "[[source]]\nraw = 1\n",
        [
            ("bridged.toml:1: source[0]:", "the key name is missing"),
            ("bridged.toml:1: source[0]:", "the key adapter is missing"),
            ("bridged.toml:2: source[0].raw:", "expected true or false"),
        ],
    ),
    "unknown adapter": (
        SOURCE.replace('"acme"', '"acmee"'),
        [('bridged.toml:3: source["one"].adapter:', 'there is no such adapter; did you mean "acme"?')],
    ),
    "name twice": (
        SOURCE + "\n" + SOURCE,
        [('bridged.toml:8: source["one"].name:', "taken by the source at")],
    ),
    "empty name": (SOURCE.replace('"one"', '" "'), [('bridged.toml:2: source[" "].name:', "got an empty text")]),
    "source as a table": ("[source]\nname = 'x'\n", [("bridged.toml:1: source:", "[[source]]")]),
    "source of something else": ("source = [1]\n", [("bridged.toml:1: source[0]:", "expected a table")]),
    "not a table": ("nats = 1\n", [("bridged.toml:1: nats:", "expected a table, got a whole number")]),
    "bad address": (
        SOURCE.replace("https://acme.example", "acme.example"),
        [('bridged.toml:4: source["one"].http_url:', "expected an address")],
    ),
    "bad nats addresses": (
        '[nats]\nurl = [\n"tls://a",\n"http://b",\n"nats://c:99999",\n]\n',
        [
            ("bridged.toml:4: nats.url[1]:", 'expected "embedded" or an address such as nats://host:4222'),
            ("bridged.toml:5: nats.url[2]:", 'expected "embedded" or an address such as nats://host:4222'),
        ],
    ),
    "no nats address": ("[nats]\nurl = []\n", [("bridged.toml:2: nats.url:", "at least one address")]),
    "missing file": (
        '[nats]\nurl = "tls://a"\ncreds = "no.creds"\n[nats.tls]\nca = ""\n',
        [("bridged.toml:3: nats.creds:", "there is no file"), ("bridged.toml:5: nats.tls.ca:", "empty text")],
    ),
    "two ways to log in": (
        '[nats]\nurl = "tls://a"\nnkey = { env = "ACME_TOKEN" }\ntoken = { env = "ACME_TOKEN" }\n',
        [("bridged.toml:4: nats.token:", "nkey is set already")],
    ),
    "user without password": (
        '[nats]\nurl = "tls://a"\nuser = "u"\n',
        [("bridged.toml:3: nats.user:", "the key password is missing")],
    ),
    "password without user": (
        '[nats]\nurl = "tls://a"\npassword = { env = "ACME_TOKEN" }\n',
        [("bridged.toml:3: nats.password:", "the key user is missing")],
    ),
    "certificate without key": (
        '[nats]\nurl = "tls://a"\n[nats.tls]\ncert = "bridged.toml"\n',
        [("bridged.toml:3: nats.tls:", "cert and key belong together")],
    ),
    "domain and prefix": (
        '[nats]\nurl = "tls://a"\ndomain = "hub"\napi_prefix = "JS.hub.API"\n',
        [("bridged.toml:4: nats.api_prefix:", "domain is set already")],
    ),
    "embedded with a login": (
        '[nats]\nreplicas = 3\ntoken = { env = "ACME_TOKEN" }\n',
        [
            ("bridged.toml:2: nats.replicas:", "expected 1"),
            ("bridged.toml:3: nats.token:", "has no meaning for the embedded server"),
        ],
    ),
    "names NATS cannot have": (
        '[nats]\nstream = "a.b"\nstate_bucket = ""\ninbox_prefix = "x.>"\n',
        [
            ("bridged.toml:2: nats.stream:", "letters, digits"),
            ("bridged.toml:3: nats.state_bucket:", "letters, digits"),
            ("bridged.toml:4: nats.inbox_prefix:", "without wildcards"),
        ],
    ),
    "settings that do not fit together": (
        SOURCE + 'trouble = "settings"\n',
        [('bridged.toml:1: source["one"]:', "the token [secret] does not go with the page size")],
    ),
    "settings the adapter refuses": (
        SOURCE + 'trouble = "adapter"\n',
        [('bridged.toml:1: source["one"]:', "cannot work with [secret]")],
    ),
    "settings that meet a bug": (
        SOURCE + 'trouble = "bug"\n',
        [('bridged.toml:1: source["one"]:', "RuntimeError: [secret]")],
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_every_error_names_file_line_key_and_what_was_expected(kind: str, tmp_path: Path) -> None:
    """Each kind of error is found where it stands, and nothing else is found."""
    text, expected = WRONG[kind]
    complaints = refused(tmp_path, text)
    assert len(complaints) == len(expected), complaints
    for (place, words), complaint in zip(expected, complaints, strict=True):
        assert complaint.startswith(place + " "), complaint
        assert words in complaint


def test_all_errors_of_all_files_come_at_once_and_in_order(tmp_path: Path) -> None:
    """One reading reports everything: both files, both tables, each with its own line."""
    complaints = refused(
        tmp_path,
        SOURCE + 'raw = "x"\n[nats]\nreplicas = "x"\n',
        drop_ins={"late": f"{SOURCE}companies = 1\n[nats]\ndomain = 1\n"},
    )
    assert [complaint.split(": expected")[0] for complaint in complaints] == [
        'bridged.toml:6: source["one"].raw',
        "bridged.toml:8: nats.replicas",
        'bridged.d/late.toml:2: source["one"].name: the name is taken by the source at bridged.toml:2',
        'bridged.d/late.toml:6: source["one"].companies',
        "bridged.d/late.toml:8: nats.domain",
    ]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """No file: its name and the reason, without a line."""
    with pytest.raises(ConfigErrors) as caught:
        load(tmp_path / "no.toml", ENVIRON)
    assert str(caught.value) == f"{tmp_path}/no.toml: cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("data", "line", "words"),
    [(b"# ok\n# \xff\n", 2, "not UTF-8"), (b"a = " + b"[" * 9999, 1, "not valid TOML"), (b"#" * (5 << 20), 0, "4 MiB")],
)
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, data: bytes, line: int, words: str) -> None:
    """Bytes that are not UTF-8, absurd nesting and absurd size are errors, not crashes."""
    path = write(tmp_path, "")
    path.write_bytes(data)
    with pytest.raises(ConfigErrors) as caught:
        load(path, ENVIRON)
    (problem,) = caught.value.problems
    assert problem.line == line
    assert words in problem.message


def test_an_adapter_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    """A broken adapter file is an error of the source that asks for it, with the file and the reason."""
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "hollow.py").write_text("")
    text = SOURCE.replace('"acme"', '"broken"') + SOURCE.replace('"acme"', '"hollow"').replace("one", "two")
    first, second = refused(tmp_path, text, {"BRIDGED_ADAPTERS": str(tmp_path)})
    assert first.startswith('bridged.toml:3: source["one"].adapter: broken.py cannot be loaded: ModuleNotFoundError')
    assert second.startswith('bridged.toml:8: source["two"].adapter: hollow.py has no class named Adapter')


def test_the_example_can_be_used() -> None:
    """The shipped example loads as it is, once its secrets are set, and its comments name real keys."""
    example = Path(__file__).parents[3] / "config" / "bridged.example.toml"
    environ = ENVIRON | {"PCVISIT_INTEGRATOR_TOKEN": SECRET, "PCVISIT_USER_TOKEN": SECRET + "2"}
    config = load(example, environ)
    assert [source.name for source in config.sources] == ["acme"]
    assert config.warnings == ()
