"""The configuration: what it accepts, and that every fault is told with place, reason and fix, and no secret."""

import json
import os
import stat
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from layerwatch import locate
from layerwatch.config import AfterUpload, Kind, Settings, Watch, load
from layerwatch.errors import Problem, UserError

ID = "11111111-2222-3333-4444-555555555555"
SECRET = "lyr-S3CR3T-do-not-tell"
FOLDER = '[[folders]]\nname = "a"\npath = "/srv/drop/a"\n'
RULE = FOLDER + f'[[folders.rules]]\nname = "r"\nmatch = "{{shot}}_b.png"\nmodel_id = "{ID}"\n'

Write = Callable[[str], str]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("LAYER", "XDG_", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def config(text: str) -> str:
        path = tmp_path / "config.toml"
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return str(path)

    return config


def faults(path: str | None, *, require_token: bool = False) -> tuple[Problem, ...]:
    with pytest.raises(UserError) as caught:
        load(path, require_token=require_token)
    assert caught.value.exit_code == 2
    assert SECRET not in "".join(traceback.format_exception(caught.value, chain=True))
    return caught.value.problems


# --- what is accepted -------------------------------------------------------------------------------------------------

EVERYTHING = f"""
[api]
base_url = "http://127.0.0.1:8080/api/"
workspace_id = "{ID.upper().replace("1", "A")}"
token_file = "token"
[ledger]
path = "~/ledger.db"
[upload]
workers = 8
chunk_size = "256KiB"
max_file_size = 1000
max_attempts = 1
max_bandwidth = "20MB/s"
[budget]
per_generation = 50
daily = 500.5
burst = 20
[http]
listen = "[::1]:9753"
[[folders]]
name = "concepts"
path = "drop/concepts"
recursive = false
include = ["*.png", "*.jpg"]
exclude = ["*_wip*"]
settle = "500ms"
incomplete_after = "1h30m"
watch = "polling"
rescan = 1
existing = false
after_upload = "move"
receipt = true
[[folders.rules]]
name = "restyle"
match = "{{shot}}_beauty.png"
kind = "inference"
model_id = "{ID}"
outputs = "results/generated/"
[folders.rules.with]
depth = "{{shot}}_depth_{{folder}}.png"
[folders.rules.parameters]
prompt = "{{stem}} {{name}} {{folder}} {{shot}} {{{{x}}}}"
guidance_files = [{{ file_id = "{{file_id}}" }}, {{ file_id = "{{depth.file_id}}", weight = 0.5, on = true }}]
[folders.rules.budget]
daily = 10
[[folders.rules]]
name = "flow"
match = "*.mp4"
kind = "workflow"
workflow_id = "{ID}"
parameters = {{ clip = "{{file_id}}" }}
"""


def test_everything_that_can_be_set(write: Write, tmp_path: Path) -> None:
    path = write(EVERYTHING)
    settings = load(path, require_token=False)
    assert settings.path == path
    assert settings.api.base_url == "http://127.0.0.1:8080/api"
    assert settings.api.workspace_id == settings.workspace() == ID.replace("1", "a")
    assert settings.api.token_file == str(tmp_path / "token")
    assert settings.ledger.path == str(tmp_path / "home/ledger.db")
    assert settings.upload.model_dump() == {
        "workers": 8,
        "chunk_size": 262_144,
        "max_file_size": 1000,
        "max_attempts": 1,
        "max_bandwidth": 20_000_000,
    }
    assert settings.budget.model_dump() == {"per_generation": 50.0, "daily": 500.5, "burst": 20}
    assert settings.http.address == ("::1", 9753)
    (folder,) = settings.folders
    assert (folder.path, folder.recursive, folder.existing, folder.receipt) == (
        str(tmp_path / "drop/concepts"),
        False,
        False,
        True,
    )
    assert (folder.include, folder.exclude) == (("*.png", "*.jpg"), ("*_wip*",))
    assert (folder.settle, folder.incomplete_after, folder.rescan) == (0.5, 5400.0, 1.0)
    assert (folder.watch, folder.after_upload) == (Watch.POLLING, AfterUpload.MOVE)


def test_rules_as_they_are_read(write: Write) -> None:
    restyle, flow = load(write(EVERYTHING), require_token=False).folders[0].rules
    assert (restyle.kind, restyle.target_id, restyle.outputs) == (Kind.INFERENCE, ID, "results/generated")
    assert restyle.with_ == {"depth": "{shot}_depth_{folder}.png"}
    assert restyle.parameters["guidance_files"][1] == {"file_id": "{depth.file_id}", "weight": 0.5, "on": True}
    assert restyle.budget.daily == 10.0
    assert (flow.kind, flow.target_id, flow.parameters) == (Kind.WORKFLOW, ID, {"clip": "{file_id}"})


def test_one_folder_is_enough(write: Write, tmp_path: Path) -> None:
    settings = load(write(FOLDER), require_token=False)
    assert settings.ledger.path == str(tmp_path / "home/.local/state/layerwatch/ledger.db")
    assert settings.upload.chunk_size == 8 * 1024**2
    assert settings.api.base_url == "https://api.app.layer.ai/api"
    assert settings.warnings == ()
    assert list(tmp_path.iterdir()) == [tmp_path / "cwd", tmp_path / "config.toml"] or not (tmp_path / "home").exists()


def test_root_is_the_real_directory(write: Write, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (folder,) = load(write('[[folders]]\nname = "a"\npath = "./link"'), require_token=False).folders
    assert (folder.path, folder.root) == (str(tmp_path / "link"), str(tmp_path / "real"))


def test_settings_do_not_change(write: Write) -> None:
    settings = load(write(FOLDER), require_token=False)
    with pytest.raises(ValueError, match="frozen"):
        settings.upload.workers = 5
    with pytest.raises(ValueError, match="frozen"):
        settings.folders = ()


def test_a_byte_order_mark_does_no_harm(write: Write) -> None:
    assert load(write("\ufeff" + FOLDER), require_token=False).folders[0].name == "a"


# --- the environment --------------------------------------------------------------------------------------------------


def test_the_environment_wins(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAYERWATCH_UPLOAD__WORKERS", "9")
    monkeypatch.setenv("LAYERWATCH_UPLOAD__CHUNK_SIZE", "1MiB")
    monkeypatch.setenv("LAYERWATCH_BUDGET", '{"burst": 3}')
    monkeypatch.setenv("LAYERWATCH_BUDGET__DAILY", "12.5")
    monkeypatch.setenv("LAYERWATCH_HTTP__LISTEN", "")
    settings = load(write("[upload]\nworkers = 2\nmax_attempts = 3\n" + FOLDER), require_token=False)
    upload = settings.upload
    assert (upload.workers, upload.chunk_size, upload.max_attempts) == (9, 1024**2, 3)
    assert (settings.budget.burst, settings.budget.daily, settings.http.listen) == (3, 12.5, None)


def test_folders_can_come_from_the_environment(write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LAYERWATCH_FOLDERS", json.dumps([{"name": "x", "path": "y", "recursive": False}]))
    (folder,) = load(write(FOLDER), require_token=False).folders
    assert (folder.name, folder.path, folder.recursive) == ("x", str(tmp_path / "y"), False)


def test_layers_own_variable_names_the_workspace_last(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAYER_WORKSPACE_ID", ID.replace("1", "b"))
    assert load(write(FOLDER), require_token=False).workspace() == ID.replace("1", "b")
    assert load(write(f'[api]\nworkspace_id = "{ID}"\n{FOLDER}'), require_token=False).workspace() == ID
    monkeypatch.setenv("LAYERWATCH_API__WORKSPACE_ID", ID.replace("1", "c"))
    assert load(write(FOLDER), require_token=False).workspace() == ID.replace("1", "c")


@pytest.mark.parametrize(
    ("variable", "value", "where", "reason", "fix"),
    [
        ("LAYERWATCH_UPLOAD__WORKERS", "many", "LAYERWATCH_UPLOAD__WORKERS", "whole number", "such as 4"),
        ("LAYERWATCH_UPLOAD__WORKRES", "4", "LAYERWATCH_UPLOAD__WORKRES", "unknown key", "'workers'"),
        ("LAYERWATCH_UPLAOD__WORKERS", "4", "LAYERWATCH_UPLAOD__WORKERS", "no such setting", "LAYERWATCH_UPLOAD__"),
        ("LAYERWATCH_QQQQQQ__WORKERS", "4", "LAYERWATCH_QQQQQQ__WORKERS", "no such setting", "LAYERWATCH_SECTION__"),
        ("LAYERWATCH_API__TOKEN__X", "4", "LAYERWATCH_API__TOKEN__X", "no such setting", "LAYERWATCH_API__KEY"),
        ("LAYERWATCH_FOLDERS__0__NAME", "x", "LAYERWATCH_FOLDERS__0__NAME", "is a list", "LAYERWATCH_FOLDERS"),
        ("LAYERWATCH_FOLDERS", "[{]", "LAYERWATCH_FOLDERS", "is not JSON at character 3", '"path"'),
        ("LAYERWATCH_UPLOAD", "workers=4", "LAYERWATCH_UPLOAD", "is not JSON", "LAYERWATCH_UPLOAD__KEY"),
        ("LAYERWATCH_UPLOAD", '{"workers": 0}', "LAYERWATCH_UPLOAD: workers", "from 1 to 64", "for example 4"),
        ("LAYERWATCH_UPLOAD", "4", "LAYERWATCH_UPLOAD", "must be a table", "[heading]"),
        ("LAYERWATCH_FOLDERS", '[{"name": 3, "path": "/x"}]', "LAYERWATCH_FOLDERS: [0].name", "be text", "quotes"),
        ("LAYER_WORKSPACE_ID", "mine", "LAYER_WORKSPACE_ID", "not a UUID", "copy it from Layer"),
        (
            "LAYERWATCH_LEDGER__PATH",
            "/srv/drop/a/l.db",
            "LAYERWATCH_LEDGER__PATH",
            "inside the drop folder 'a'",
            "else",
        ),
    ],
)
def test_faults_in_the_environment_name_the_variable(
    variable: str, value: str, where: str, reason: str, fix: str, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    (problem,) = faults(write(FOLDER))
    assert problem.where == where
    assert reason in problem.reason
    assert fix in problem.fix


def test_a_variable_that_only_looks_like_ours_is_a_warning(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAYERWATCH_PORT", "tcp://10.0.0.1")
    monkeypatch.setenv("LAYERWATCH_CONFIG", write(FOLDER))
    assert load(require_token=False).warnings == ("LAYERWATCH_PORT: not a setting of layerwatch; ignored",)


# --- faults in the file -----------------------------------------------------------------------------------------------

BAD = [
    # unknown keys
    (FOLDER + 'setle = "2s"', "folders[0].setle", "unknown key", "did you mean 'settle'?"),
    ("[uplod]\n" + FOLDER, "uplod", "unknown key", "did you mean 'upload'?"),
    ('[upload]\nsettle = "2s"\n' + FOLDER, "upload.settle", "unknown key here", "'settle' belongs under [[folders]]"),
    ("workers = 4\n" + FOLDER, "workers", "unknown key here", "'workers' belongs under [upload]"),
    ('[api]\nzzz = "x"\n' + FOLDER, "api.zzz", "unknown key", "known here: base_url, workspace_id"),
    ('_env_file = "x"\n' + FOLDER, "_env_file", "unknown key", "take it away"),
    (RULE + "paramters = {}", "folders[0].rules[0].paramters", "unknown key", "'parameters'"),
    (RULE + "budget = {dayly = 1}", "folders[0].rules[0].budget.dayly", "unknown key", "'daily'"),
    (RULE + "with_ = {}", "folders[0].rules[0].with_", "unknown key", "'with'"),
    # wrong types
    ("[upload]\nworkers = true\n" + FOLDER, "upload.workers", "neither a whole number nor auto", "such as 4"),
    ("[upload]\nworkers = 4.5\n" + FOLDER, "upload.workers", "neither a whole number nor auto", "such as 4"),
    ('[upload]\nworkers = "all"\n' + FOLDER, "upload.workers", "neither a whole number nor auto", '"auto"'),
    ("upload = 3\n" + FOLDER, "upload", "must be a table", "[heading]"),
    ('[folders]\nname = "a"\npath = "/srv"', "folders", "must be a list", "square brackets"),
    (FOLDER + 'recursive = "yes"', "folders[0].recursive", "must be true or false", "without quotes"),
    (FOLDER + 'include = "*.png"', "folders[0].include", "must be a list", '["..."]'),
    (FOLDER + "include = [3]", "folders[0].include[0]", "must be text", "quotes"),
    (FOLDER + "rules = [3]", "folders[0].rules[0]", "must be a table", "[heading]"),
    (FOLDER + 'watch = "inotify"', "folders[0].watch", "not one of the choices", "'auto', 'native' or 'polling'"),
    (FOLDER + 'after_upload = "burn"', "folders[0].after_upload", "not one of the choices", "'delete'"),
    (RULE + "with = 3", "folders[0].rules[0].with", "must be a table", "[heading]"),
    (RULE + "with = { depth = 3 }", "folders[0].rules[0].with.depth", "must be text", "quotes"),
    ("[api]\ntoken = 5\n" + FOLDER, "api.token", "must be text", "quotes"),
    # ranges
    ('[upload]\nchunk_size = "300KiB"\n' + FOLDER, "upload.chunk_size", "multiple of 256 KiB", "8MiB"),
    ("[upload]\nchunk_size = 0\n" + FOLDER, "upload.chunk_size", "multiple of 256 KiB", "8MiB"),
    ("[upload]\nworkers = 0\n" + FOLDER, "upload.workers", "from 1 to 64", "4"),
    ("[upload]\nworkers = 65\n" + FOLDER, "upload.workers", "from 1 to 64", "4"),
    ("[upload]\nmax_attempts = 0\n" + FOLDER, "upload.max_attempts", "1 or more", "8"),
    ("[upload]\nmax_file_size = 0\n" + FOLDER, "upload.max_file_size", "more than nothing", "64MiB"),
    ('[upload]\nmax_file_size = "big"\n' + FOLDER, "upload.max_file_size", "not a size", "8MiB"),
    ('[upload]\nmax_bandwidth = "0MB/s"\n' + FOLDER, "upload.max_bandwidth", "more than nothing", "64MiB"),
    ('[upload]\nmax_bandwidth = "20Mb/s"\n' + FOLDER, "upload.max_bandwidth", "may mean bits", "MB"),
    (FOLDER + 'settle = "soon"', "folders[0].settle", "not a duration", "500ms"),
    (FOLDER + "settle = -1", "folders[0].settle", "must not be negative", "0s"),
    (FOLDER + 'rescan = "500ms"', "folders[0].rescan", "less than a second", "1s"),
    (FOLDER + "incomplete_after = -1", "folders[0].incomplete_after", "must not be negative", "0s"),
    ("[budget]\ndaily = nan\n" + FOLDER, "budget.daily", "not a number of Creative Units", "leave the key out"),
    (f"[budget]\ndaily = {10**400}\n" + FOLDER, "budget.daily", "not a number of Creative Units", "write a number"),
    ("[budget]\ndaily = -1\n" + FOLDER, "budget.daily", "must not be negative", "0 or more"),
    ("[budget]\nburst = 1.5\n" + FOLDER, "budget.burst", "not a whole number", "4"),
    (RULE + "budget = { burst = -1 }", "folders[0].rules[0].budget.burst", "must not be negative", "0 or more"),
    # addresses, ids, names, paths
    ('[api]\nbase_url = "ftp://x"\n' + FOLDER, "api.base_url", "not an http(s) URL", "https://"),
    ('[api]\nbase_url = "https://"\n' + FOLDER, "api.base_url", "not an http(s) URL", "https://"),
    ('[api]\nbase_url = "https://x:99999"\n' + FOLDER, "api.base_url", "not an http(s) URL", "https://"),
    ('[api]\nbase_url = "https://x y"\n' + FOLDER, "api.base_url", "not an http(s) URL", "https://"),
    ('[api]\nbase_url = "http://layer.ai/api"\n' + FOLDER, "api.base_url", "travel in the clear", "https://"),
    ('[api]\nbase_url = "http://127.0.0.1.evil.org"\n' + FOLDER, "api.base_url", "travel in the clear", "https://"),
    (f'[api]\nbase_url = "https://{SECRET}@x"\n' + FOLDER, "api.base_url", "no user", "https://"),
    (f'[api]\nworkspace_id = "{SECRET}"\n' + FOLDER, "api.workspace_id", "not a UUID", "copy it from Layer"),
    ('[api]\ntoken_file = ""\n' + FOLDER, "api.token_file", "not a usable path", "absolute"),
    ('[ledger]\npath = "~nobody-here/l.db"\n' + FOLDER, "ledger.path", "not a usable path", "absolute"),
    ('[http]\nlisten = "9753"\n' + FOLDER, "http.listen", "not host:port", "127.0.0.1:9753"),
    ('[http]\nlisten = "::1:9753"\n' + FOLDER, "http.listen", "not host:port", "[::1]:9753"),
    ('[http]\nlisten = "localhost:70000"\n' + FOLDER, "http.listen", "not host:port", "127.0.0.1:9753"),
    ('[http]\nlisten = "0.0.0.0:9753"\n' + FOLDER, "http.listen", "there is no token", "token_file"),
    ('[http]\nlisten = "[::]:9753"\n' + FOLDER, "http.listen", "there is no token", "token_file"),
    ('[http]\nlisten = "studio:9753"\n' + FOLDER, "http.listen", "there is no token", "listen on 127.0.0.1"),
    ('[http]\nhosts = ["http://a"]\n' + FOLDER, "http.hosts[0]", "not the name of a machine", "without http://"),
    ('[http]\noldest_waiting = "0s"\n' + FOLDER, "http.oldest_waiting", "must be more than nothing", ""),
    ('[[folders]]\nname = "a b"\npath = "/srv"', "folders[0].name", "is not a name", "letters, digits"),
    ('[[folders]]\nname = ""\npath = "/srv"', "folders[0].name", "is not a name", "letters, digits"),
    ('[[folders]]\nname = "a"\npath = ""', "folders[0].path", "not a usable path", "absolute"),
    ('[[folders]]\nname = "a"\npath = "a\\u0000b"', "folders[0].path", "not a usable path", "absolute"),
    ('[[folders]]\nname = "a"', "folders[0].path", "is missing", "add path = ..."),
    ('[[folders]]\npath = "/srv"', "folders[0].name", "is missing", "add name = ..."),
    ("", "folders", "no folder to watch", "add [[folders]]"),
    ("folders = []", "folders", "no folder to watch", "add [[folders]]"),
    (FOLDER + "include = []", "folders[0].include", "take no file at all", '["*"]'),
    (FOLDER + 'include = [""]', "folders[0].include[0]", "matches no file", "*.png"),
    (FOLDER + 'include = ["*.{png,jpg}"]', "folders[0].include[0]", "braces", '["*.png", "*.jpg"]'),
    # several values together
    (FOLDER + '[[folders]]\nname = "a"\npath = "/srv/b"', "folders[1].name", "another 'a'", "its own name"),
    (FOLDER + '[[folders]]\nname = "b"\npath = "/srv/drop"', "folders[1].path", "'a' (/srv/drop/a) and 'b'", "own dir"),
    (FOLDER + '[[folders]]\nname = "b"\npath = "/srv/drop/a/b"', "folders[1].path", "'b' (/srv/drop/a/b)", "own dir"),
    (FOLDER + '[[folders]]\nname = "b"\npath = "/srv/x/../drop/a"', "folders[1].path", "overlap", "own dir"),
    ('[ledger]\npath = "/srv/drop/a/x/l.db"\n' + FOLDER, "ledger.path", "inside the drop folder 'a'", "elsewhere"),
    ('[[folders]]\nname = "a"\npath = "~"', "ledger.path", "inside the drop folder 'a'", "elsewhere"),
    # rules
    (
        RULE + f'[[folders.rules]]\nname = "r"\nmatch = "*"\nmodel_id = "{ID}"',
        "folders[0].rules[1].name",
        "another 'r'",
        "own name",
    ),
    (RULE + f'workflow_id = "{ID}"', "folders[0].rules[0].workflow_id", "go with kind inference", '"workflow"'),
    (RULE + 'kind = "magic"', "folders[0].rules[0].kind", "not one of the choices", "'inference' or 'workflow'"),
    (RULE.replace(ID, "my-model"), "folders[0].rules[0].model_id", "not a UUID", "copy it"),
    (RULE.replace(f'model_id = "{ID}"', ""), "folders[0].rules[0].model_id", "is missing", "add model_id"),
    (RULE.replace("{shot}", "{a}{b}"), "folders[0].rules[0].match", "where {a} ends", "{shot}_beauty.png"),
    (RULE.replace("{shot}_b.png", ""), "folders[0].rules[0].match", "matches no file", "{shot}_beauty.png"),
    (RULE.replace("{shot}", "{name}"), "folders[0].rules[0].match", "{name} is defined already", "another name"),
    (RULE + 'outputs = "/tmp"', "folders[0].rules[0].outputs", "stay inside", "generated"),
    (RULE + 'outputs = "a/../../b"', "folders[0].rules[0].outputs", "stay inside", "generated"),
    (RULE + 'outputs = ""', "folders[0].rules[0].outputs", "stay inside", "generated"),
    (RULE + 'outputs = "a/.."', "folders[0].rules[0].outputs", "taken as new files", "generated"),
    (RULE + 'outputs = "{shot}"', "folders[0].rules[0].outputs", "not filled in here", "name as it is"),
    (RULE + 'with = { input = "*" }', "folders[0].rules[0].with.input", "is taken", "such as depth"),
    (RULE + 'with = { "a b" = "*" }', 'folders[0].rules[0].with."a b"', "not a name for a role", "such as depth"),
    (RULE + 'with = { d = "{shto}.png" }', "folders[0].rules[0].with.d", "nothing defines {shto}", "{shot}"),
    (RULE + 'with = { d = "{file_id}" }', "folders[0].rules[0].with.d", "nothing defines {file_id}", "{stem}"),
    (RULE + 'with = { d = "" }', "folders[0].rules[0].with.d", "matches no file", "{shot}_depth.png"),
    (RULE + 'with = { d = "[z-a]" }', "folders[0].rules[0].with.d", "range z-a is empty", "{shot}_depth.png"),
    (
        RULE + 'parameters.p = "{sht}"',
        "folders[0].rules[0].parameters.p",
        "nothing defines {sht}",
        "{file_id}, {folder}",
    ),
    (
        RULE + 'parameters.p = [[{ q = "{d.file_id}" }]]',
        "folders[0].rules[0].parameters.p[0][0].q",
        "nothing defines {d.file_id}",
        "{shot}, {stem}",
    ),
    (RULE + 'parameters.p = "{ x"', "folders[0].rules[0].parameters.p", "a single { stands alone", "{{ and }}"),
    (RULE + "parameters.p = 2026-01-01", "folders[0].rules[0].parameters.p", "a date cannot be sent", "quotes"),
    (RULE + "parameters.p = [inf]", "folders[0].rules[0].parameters.p[0]", "JSON has no such number", "finite"),
]


@pytest.mark.parametrize(("text", "key", "reason", "fix"), BAD, ids=[f"{key}-{reason}" for _, key, reason, _ in BAD])
def test_a_fault_is_told_with_place_reason_and_fix(text: str, key: str, reason: str, fix: str, write: Write) -> None:
    path = write(text)
    (problem,) = faults(path)
    assert problem.where.split(" (line ")[0] == f"{path}: {key}"
    assert reason in problem.reason
    assert fix in problem.fix


def test_every_fault_is_told_at_once(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAYERWATCH_UPLOAD__MAX_ATTEMPTS", "0")
    monkeypatch.setenv("LAYERWATCH_UPLAOD__WORKERS", "0")
    texts = [
        '[upload]\nworkers = "x"\nchunksize = 3',
        '[ledger]\npath = "/srv/drop/a/l.db"',
        RULE.replace("/srv", "/srv/../srv") + 'parameters = { p = "{no}" }\nunheard_of = 1',
        '[[folders]]\nname = "a"\npath = "/srv/drop"\nsettle = "x"',
    ]
    path = write("\n".join(texts))
    keys = {problem.where.removeprefix(f"{path}: ").split(" (line ")[0] for problem in faults(path, require_token=True)}
    assert keys == {
        "LAYERWATCH_UPLAOD__WORKERS",
        "LAYERWATCH_UPLOAD__MAX_ATTEMPTS",
        "upload.workers",
        "upload.chunksize",
        "ledger.path",
        "folders[0].rules[0].parameters.p",
        "folders[0].rules[0].unheard_of",
        "folders[1].name",
        "folders[1].path",
        "folders[1].settle",
        "LAYER_TOKEN",
        "api.workspace_id",
    }


def test_the_line_is_named(write: Write) -> None:
    text = f"""# first
{FOLDER}
[[folders]]
name = "b"
path = "/b"
settel = 1  # 9
[[folders.rules]]
name = "q"
match = "*"
model_id = "{ID}"
[folders.rules.parameters]
prompt = '''
[api]
settel = 1'''
list = [{{ x = "{{no}}" }}]  # 18
[[folders.rules]]  # 19
name = "r"
model_id = "{ID}"
[folders.rules.with]
input = "x"  # 23
"""
    path = write(text)
    assert {problem.where.removeprefix(f"{path}: ") for problem in faults(path)} == {
        "folders[1].settel (line 9)",
        "folders[1].rules[0].parameters.list[0].x (line 18)",
        "folders[1].rules[1].match (line 19)",
        "folders[1].rules[1].with.input (line 23)",
    }


def test_overlap_is_seen_through_links(write: Write, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    two = '[[folders]]\nname = "a"\npath = "real"\n[[folders]]\nname = "b"\npath = "link/sub"'
    (problem,) = faults(write(two))
    assert f"'a' ({tmp_path}/real)" in problem.reason


def test_neighbours_with_a_common_beginning_do_not_overlap(write: Write) -> None:
    two = '[[folders]]\nname = "b"\npath = "/srv/drop/a2"'
    assert len(load(write(FOLDER + two), require_token=False).folders) == 2


@pytest.mark.parametrize(
    ("raw", "reason", "fix"),
    [
        (b"[upload]\nworkers = \n", "(at line 2, column 11)", "put text in quotes"),
        (b"[api\n", "is not valid TOML", "put text in quotes"),
        (b"[api]\ntoken = lyr-S3CR3T-do-not-tell\n", "(at line 2, column 9)", "put text in quotes"),
        (b"a = " + b"9" * 5000, "is not valid TOML", "put text in quotes"),
        (b'name = "\xff"', "is not UTF-8 (byte 9)", "save it as UTF-8"),
    ],
)
def test_what_is_not_toml(raw: bytes, reason: str, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAYERWATCH_UPLAOD__WORKERS", "0")
    path = tmp_path / "config.toml"
    path.write_bytes(raw)
    problem, variable = faults(str(path))
    assert problem.where == str(path)
    assert reason in problem.reason
    assert fix in problem.fix
    assert variable.where == "LAYERWATCH_UPLAOD__WORKERS"


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (problem,) = faults(str(tmp_path))
    assert problem == Problem(
        str(tmp_path),
        "cannot be read: is a directory",
        "check its path and its permissions for the user layerwatch runs as",
    )


# --- the token --------------------------------------------------------------------------------------------------------


def token(path: str) -> str:
    """The token that counts; and nowhere else may it be seen."""
    settings = load(path, require_token=False)
    secret = settings.token().get_secret_value()
    for shown in (
        str(settings),
        repr(settings),
        repr(settings.api),
        repr(settings.token()),
        settings.model_dump_json(),
    ):
        assert secret not in shown
    return secret


def test_where_the_token_comes_from(write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From the last source to the first, each takes the place of the one before."""
    head = f'[api]\nworkspace_id = "{ID}"\ntoken = "from-config"\n'
    assert token(write(head + FOLDER)) == "from-config"

    (tmp_path / "layer_token").write_text("from-credential\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert token(write(head + FOLDER)) == "from-credential"

    (tmp_path / "token").write_text("  from-file\n\n")
    assert token(write(head + 'token_file = "token"\n' + FOLDER)) == "from-file"

    monkeypatch.setenv("LAYERWATCH_API__TOKEN", "from-variable")
    assert token(write(head + 'token_file = "token"\n' + FOLDER)) == "from-variable"

    monkeypatch.setenv("LAYER_TOKEN", " from-layer\n")
    assert token(write(head + 'token_file = "missing"\n' + FOLDER)) == "from-layer"
    assert load(write(head + FOLDER), require_token=True).api.token is not None


def test_no_token_matters_only_to_those_who_need_one(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAYER_TOKEN", "")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/nowhere")
    path = write(FOLDER)
    settings = load(path, require_token=False)
    for ask in (settings.token, settings.workspace):
        with pytest.raises(UserError):
            ask()
    missing, workspace = faults(path, require_token=True)
    assert (missing.where, missing.reason) == ("LAYER_TOKEN", "there is no API token")
    assert "token_file" in missing.fix
    assert workspace.where == f"{path}: api.workspace_id"
    assert "LAYER_WORKSPACE_ID" in workspace.fix


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file"),
        ("", "the token is empty"),
        ("\n \n", "the token is empty"),
        (f"{SECRET}\nmore", "more than one line"),
        (f"Bearer {SECRET}", "cannot be sent"),
        (f"{SECRET}é", "cannot be sent"),
        (f"{SECRET}\0x", "cannot be sent"),
    ],
)
def test_token_files_that_will_not_do(content: str | None, reason: str, write: Write, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "token").write_text(content, encoding="utf-8")
    path = write(f'[api]\nworkspace_id = "{ID}"\ntoken_file = "token"\n{FOLDER}')
    (problem,) = faults(path, require_token=True)
    assert problem.where == f"{path}: api.token_file (line 3)"
    assert reason in problem.reason
    assert problem.fix
    with pytest.raises(UserError) as caught:
        load(path, require_token=False).token()
    assert caught.value.problems == (problem,)


@pytest.mark.parametrize("variable", ["LAYER_TOKEN", "LAYERWATCH_API__TOKEN"])
def test_a_token_that_cannot_be_sent_names_its_variable(
    variable: str, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, f"{SECRET} {SECRET}")
    (problem,) = faults(write(f'[api]\nworkspace_id = "{ID}"\n{FOLDER}'), require_token=True)
    assert (problem.where, "Bearer" in problem.fix) == (variable, True)


def test_a_token_file_that_others_can_read_is_a_warning(write: Write, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(SECRET)
    path = write('[api]\ntoken_file = "token"\n' + FOLDER)
    file.chmod(0o600)
    assert load(path, require_token=False).warnings == ()
    file.chmod(0o640)
    (warning,) = load(path, require_token=False).warnings
    assert warning == f"{path}: api.token_file (line 2): other users can read {file}; chmod 600 {file}"
    assert token(path) == SECRET


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_token_in_a_config_that_others_can_read_is_refused(
    mode: int, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where another one counts: this one is known to others."""
    monkeypatch.setenv("LAYER_TOKEN", "other")
    path = write(f'[api]\ntoken = "{SECRET}"\n{FOLDER}')
    Path(path).chmod(mode)
    (problem,) = faults(path)
    assert problem.where == f"{path}: api.token"
    assert problem.fix == f"chmod 600 {path}"


@pytest.mark.parametrize("key", ["tokn", "token_file", "base_url", "workspace_id"])
def test_a_token_under_the_wrong_key_is_not_repeated(key: str, write: Write) -> None:
    faults(write(f'[api]\n{key} = "{SECRET}"\n[upload]\nworkers = "{SECRET}"\n{FOLDER}settle = "{SECRET}"'))


# --- finding it -------------------------------------------------------------------------------------------------------


def test_the_first_that_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = tmp_path / "home/.config/layerwatch/config.toml"
    user.parent.mkdir(parents=True)
    user.touch()
    assert locate.find_config() == str(user)
    (tmp_path / "xdg/layerwatch").mkdir(parents=True)
    (tmp_path / "xdg/layerwatch/config.toml").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert locate.find_config() == str(tmp_path / "xdg/layerwatch/config.toml")
    Path("config.toml").touch()
    assert locate.find_config() == "config.toml"
    monkeypatch.setenv("LAYERWATCH_CONFIG", str(user))
    assert locate.find_config() == str(user)
    assert locate.find_config("config.toml") == "config.toml"


def test_none_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative/does/not/count")
    (problem,) = faults(None)
    assert f"config.toml, {tmp_path}/home/.config/layerwatch/config.toml, /etc/layerwatch/config.toml" in problem.reason
    assert "layerwatch init" in problem.fix


@pytest.mark.parametrize("name", ["missing.toml", ""])
def test_a_file_that_is_named_must_be_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("config.toml").touch()
    (problem,) = faults(name)
    assert "--config names it" in problem.reason
    monkeypatch.setenv("LAYERWATCH_CONFIG", "missing.toml")
    (problem,) = faults(None)
    assert (problem.where, "LAYERWATCH_CONFIG" in problem.reason) == ("missing.toml", True)


def test_the_ledgers_default_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert locate.default_ledger_path() == str(tmp_path / "home/.local/state/layerwatch/ledger.db")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert locate.default_ledger_path() == "/state/layerwatch/ledger.db"
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/layerwatch:/var/lib/other")
    assert locate.default_ledger_path() == "/var/lib/layerwatch/ledger.db"
    monkeypatch.setenv("STATE_DIRECTORY", "relative")
    with pytest.raises(UserError, match="no home directory"):
        locate.default_ledger_path()


def test_who_has_no_home_directory_needs_none_for_a_ledger_on_a_server(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "relative")
    with pytest.raises(UserError, match="no home directory"):
        load(write(FOLDER), require_token=False)
    settings = load(write(f'[ledger]\nurl = "postgresql://u@h/d"\n{FOLDER}'), require_token=False)
    assert settings.ledger.place == "postgresql://u@h/d"
    monkeypatch.setenv("LAYERWATCH_LEDGER__URL", "postgresql://u@h/e")
    assert load(write(FOLDER), require_token=False).ledger.place == "postgresql://u@h/e"


@pytest.mark.parametrize("in_file", ["", '[ledger]\npath = "x/l.db"\n', '[ledger]\npath = "~/l.db"\n'])
@pytest.mark.parametrize("variable", [None, "v.db", "/v.db"])
def test_the_light_way_to_the_ledger_agrees(
    in_file: str, variable: str | None, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tomllib

    if variable:
        monkeypatch.setenv("LAYERWATCH_LEDGER__PATH", variable)
    path = write(in_file + FOLDER)
    settings: Settings = load(path, require_token=False)
    assert locate.ledger_path(tomllib.loads(in_file + FOLDER), path) == settings.ledger.path


def test_nothing_is_made(write: Write, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    path = write('[[folders]]\nname = "a"\npath = "drop"')
    assert load(path, require_token=False).folders[0].root == str(tmp_path / "drop")
    assert sorted(tmp_path.rglob("*")) == sorted([*before, Path(path)])
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600


# --- the status page's token ------------------------------------------------------------------------------------------


def test_a_page_for_other_machines_needs_a_token_and_has_one_from_its_file(write: Write, tmp_path: Path) -> None:
    (tmp_path / "page").write_text("open sesame\n")
    (tmp_path / "page").chmod(0o600)
    path = write('[http]\nlisten = "0.0.0.0:9753"\ntoken_file = "page"\nhosts = ["Render-3.studio.lan"]\n' + FOLDER)
    http = load(path, require_token=False).http
    token = http.token()
    assert token
    assert (token.get_secret_value(), http.hosts, http.oldest_waiting) == (
        "open sesame",
        ("render-3.studio.lan",),
        3600,
    )
    assert "sesame" not in repr(http)


def test_a_token_of_the_page_that_could_be_guessed_is_refused(write: Write, tmp_path: Path) -> None:
    (tmp_path / "page").write_text("status\n")
    path = write('[http]\nlisten = "0.0.0.0:9753"\ntoken_file = "page"\n' + FOLDER)
    with pytest.raises(UserError, match="could be guessed"):
        load(path, require_token=False).http.token()


def test_a_token_file_of_the_page_that_cannot_be_read_is_told(write: Write) -> None:
    path = write('[http]\nlisten = "0.0.0.0:9753"\ntoken_file = "/nowhere/page"\n' + FOLDER)
    assert any(problem.where.startswith(f"{path}: http.token_file") for problem in faults(path, require_token=True))
    with pytest.raises(UserError, match="cannot be read"):
        load(path, require_token=False).http.token()
