"""What a rule waits for and reads beside its file, chains of folders, and actions: what is accepted, and each fault."""

import json
import os
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from layerwatch import ignore
from layerwatch.config import Action, Folder, Rule, Settings, load
from layerwatch.errors import Problem, UserError

ID = "11111111-2222-3333-4444-555555555555"
SECRET = "wh-S3CR3T-do-not-tell"
FOLDER = '[[folders]]\nname = "a"\npath = "/srv/drop/a"\n'
RULE = FOLDER + f'[[folders.rules]]\nname = "r"\nmatch = "{{shot}}_b.png"\nmodel_id = "{ID}"\n'
FLOW = RULE.replace("model_id", 'kind = "workflow"\nworkflow_id')
WITH = 'with = { depth = "{shot}_d.png", mask = "{shot}_m.png" }\n'
ACTION = FOLDER + "[folders.on_uploaded]\n"

Write = Callable[[str], str]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("LAYER", "XDG_", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def config(text: str) -> str:
        path = tmp_path / "config.toml"
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return str(path)

    return config


def faults(path: str, *, require_token: bool = False) -> tuple[Problem, ...]:
    with pytest.raises(UserError) as caught:
        load(path, require_token=require_token)
    assert caught.value.exit_code == 2
    assert SECRET not in "".join(traceback.format_exception(caught.value, chain=True))
    return caught.value.problems


def the_rule(path: str) -> Rule:
    (rule,) = load(path, require_token=False).folders[0].rules
    return rule


def the_action(settings: Settings) -> Action:
    action = settings.folders[0].on_uploaded
    assert action is not None
    return action


# --- rules ------------------------------------------------------------------------------------------------------------


def test_a_plain_rule_waits_for_ever_and_reads_nothing_else(write: Write) -> None:
    rule = the_rule(write(RULE))
    assert (rule.nested, rule.optional, rule.wait) == (False, (), None)
    assert (rule.prompt_from, rule.parameters_from, rule.again_on_sidecar) == (None, None, False)
    assert (rule.chain, rule.chain_depth, rule.time_limit, rule.max_result_size) == (False, 3, 3600.0, 4 * 1024**3)
    assert rule.roles == ()


def test_everything_that_can_be_set_in_a_rule(write: Write) -> None:
    text = (
        'nested = true\noptional = ["mask", "prompt", "parameters"]\nwait = "10m"\nprompt_from = ".TXT"\n'
        'parameters_from = ".json"\nagain_on_sidecar = true\n'
        'time_limit = "5m"\nmax_result_size = "1GB"\n'
    )
    rule = the_rule(write(RULE + WITH + text + 'parameters.prompt = "oil painting"'))
    assert (rule.nested, rule.optional, rule.wait) == (True, ("mask", "prompt", "parameters"), 600.0)
    assert (rule.prompt_from, rule.parameters_from) == (".TXT", ".json")
    assert (rule.again_on_sidecar, rule.time_limit, rule.max_result_size) == (True, 300.0, 10**9)
    assert rule.roles == ("depth", "mask", "prompt", "parameters")


def test_the_environment_knows_rules_too(write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rule = {"name": "r", "match": "*", "model_id": ID, "prompt_from": ".txt", "wait": "1m", "chain_depth": "2"}
    (tmp_path / "secret").write_text(SECRET)
    action = {"url": "https://x/", "secret_file": "secret", "timeout": "5"}
    folder = {"name": "x", "path": "y", "rules": [rule], "on_uploaded": action}
    monkeypatch.setenv("LAYERWATCH_FOLDERS", json.dumps([folder]))
    settings = load(write(FOLDER), require_token=False)
    (read,) = settings.folders[0].rules
    assert (read.wait, read.chain_depth, read.roles) == (60.0, 2, ("prompt",))
    assert the_action(settings).secret_file == str(tmp_path / "secret")
    (tmp_path / "secret").unlink()
    (problem, *_) = [each for each in faults(write(FOLDER), require_token=True) if "secret" in each.where]
    assert problem.where == "LAYERWATCH_FOLDERS: [0].on_uploaded.secret_file"


def test_waiting_for_nothing_optional_needs_no_limit_and_may_have_one(write: Write) -> None:
    assert the_rule(write(RULE + WITH + "optional = []")).wait is None
    assert the_rule(write(RULE + WITH + 'wait = "0s"')).wait == 0.0


@pytest.mark.parametrize(
    "parameters",
    [
        "",
        'parameters.prompt = "oil painting of {prompt}"',
        'parameters = { prompt = "fixed", caption = ["{prompt}"] }',
        'parameters.prompt = "instead"\noptional = ["prompt"]\nwait = "1s"',
    ],
)
def test_a_prompt_from_a_file_counts_where_it_is_clear(parameters: str, write: Write) -> None:
    assert the_rule(write(RULE + f'prompt_from = ".txt"\n{parameters}')).roles == ("prompt",)


def test_a_companion_may_be_called_prompt_when_no_sidecar_is(write: Write) -> None:
    rule = the_rule(write(RULE + 'with = { prompt = "{shot}_p.png" }\nparameters.x = "{prompt.file_id}"'))
    assert rule.roles == ("prompt",)


def test_what_is_optional_keeps_its_placeholder(write: Write) -> None:
    text = WITH + 'optional = ["depth"]\nwait = 5\nparameters.guidance = ["{depth.file_id}"]'
    assert the_rule(write(RULE + text)).optional == ("depth",)


def test_two_rules_may_match_the_same_files(write: Write) -> None:
    second = RULE.removeprefix(FOLDER).replace('"r"', '"s"')
    assert len(load(write(RULE + second), require_token=False).folders[0].rules) == 2


def test_a_workflow_that_knows_its_input(write: Write) -> None:
    rule = the_rule(write(FLOW + 'nested = false\nparameters.images = [{ id = "{file_id}" }]'))
    assert rule.target_id == ID


def test_the_sidecars_of_a_folder(write: Write) -> None:
    second = RULE.removeprefix(FOLDER).replace('"r"', '"s"') + 'prompt_from = ".md"'
    text = RULE + 'prompt_from = ".TXT"\nparameters_from = ".json"\n' + second
    (folder,) = load(write(text), require_token=False).folders
    assert folder.sidecars == {".txt", ".json", ".md"}
    assert load(write(RULE), require_token=False).folders[0].sidecars == frozenset()


AT = "folders[0].rules[0]"
BAD_RULES = [
    # of the kind
    (FLOW + 'nested = true\nparameters.i = "{file_id}"', f"{AT}.nested", "does not go with kind workflow", "take it"),
    (FLOW, f"{AT}.parameters", "which input the file goes to", 'image = "{file_id}"'),
    (FLOW + 'parameters = { p = "{stem}", q = 3 }', f"{AT}.parameters", "which input", 'image = "{file_id}"'),
    (FLOW + WITH + 'parameters.p = "{depth.file_id}"', f"{AT}.parameters", "which input", 'image = "{file_id}"'),
    (FLOW + 'parameters.p = "{"', f"{AT}.parameters.p", "a single { stands alone", "{{ and }}"),
    (FLOW + "parameters = 3", f"{AT}.parameters", "must be a table", "[heading]"),
    (RULE + 'nested = "yes"', f"{AT}.nested", "must be true or false", "without quotes"),
    # waiting
    (RULE + WITH + 'optional = ["depth"]', f"{AT}.wait", "how long to wait for what is optional", 'wait = "10m"'),
    (RULE + WITH + 'optional = ["depht"]\nwait = 1', f"{AT}.optional[0]", "no such role", "known here: depth, mask"),
    (RULE + WITH + 'optional = ["mask", "prompt"]\nwait = 1', f"{AT}.optional[1]", "no such role", "depth, mask"),
    (RULE + 'optional = ["input"]\nwait = 1', f"{AT}.optional[0]", "no such role", "[folders.rules.with]"),
    (RULE + 'optional = "depth"\nwait = 1', f"{AT}.optional", "must be a list", "square brackets"),
    (RULE + "optional = [3]\nwait = 1", f"{AT}.optional[0]", "must be text", "quotes"),
    (RULE + WITH + 'wait = "soon"', f"{AT}.wait", "not a duration", "1h30m"),
    (RULE + WITH + "wait = -1", f"{AT}.wait", "must not be negative", "0s"),
    (RULE + 'time_limit = "0s"', f"{AT}.time_limit", "more than nothing", "1h"),
    (RULE + "time_limit = -5", f"{AT}.time_limit", "more than nothing", "1h"),
    (RULE + "max_result_size = 0", f"{AT}.max_result_size", "more than nothing", "64MiB"),
    # sidecars
    (RULE + 'prompt_from = "txt"', f"{AT}.prompt_from", "not a file's ending", '".txt"'),
    (RULE + 'prompt_from = "."', f"{AT}.prompt_from", "not a file's ending", '".txt"'),
    (RULE + 'prompt_from = ""', f"{AT}.prompt_from", "not a file's ending", '".txt"'),
    (RULE + 'prompt_from = "./txt"', f"{AT}.prompt_from", "not a file's ending", '".txt"'),
    (RULE + 'prompt_from = ".t\\u0000"', f"{AT}.prompt_from", "not a file's ending", '".txt"'),
    (RULE + "prompt_from = true", f"{AT}.prompt_from", "must be text", "quotes"),
    (RULE + 'prompt_from = ".txt"\nparameters_from = ".TXT"', f"{AT}.parameters_from", "prompt_from, too", '".json"'),
    (RULE + "again_on_sidecar = true", f"{AT}.again_on_sidecar", "nothing is read beside", "prompt_from"),
    (
        RULE + 'prompt_from = ".txt"\nwith = { prompt = "*" }',
        f"{AT}.with.prompt",
        "taken: prompt_from",
        "such as depth",
    ),
    (
        RULE + 'parameters_from = ".json"\nwith = { parameters = "*" }',
        f"{AT}.with.parameters",
        "is taken: parameters_from",
        "such as depth",
    ),
    (
        RULE.replace("{shot}", "{prompt}") + 'prompt_from = ".txt"',
        f"{AT}.match",
        "{prompt} is defined already",
        "another name",
    ),
    (RULE + 'parameters.x = "{prompt}"', f"{AT}.parameters.x", "nothing defines {prompt}", "{file_id}"),
    (
        RULE + 'prompt_from = ".txt"\nwith = { d = "{prompt}.png" }',
        f"{AT}.with.d",
        "nothing defines {prompt}",
        "{stem}",
    ),
    (
        RULE + 'prompt_from = ".txt"\nparameters.prompt = "oil"',
        f"{AT}.parameters.prompt",
        "which one counts",
        "{prompt}",
    ),
    (
        RULE + 'prompt_from = ".txt"\nparameters_from = ".json"\noptional = ["parameters"]\nwait = 1\n'
        'parameters = { prompt = "oil", seed = 3 }',
        f"{AT}.parameters.prompt",
        "which one counts",
        'optional = ["prompt"]',
    ),
    # chains
    (RULE + "chain = true", f"{AT}.chain", "no folder takes these results", "outputs"),
    (RULE + 'outputs = "g"\nchain = true', f"{AT}.chain", "no folder takes these results", "add [[folders]]"),
    (RULE + 'outputs = "/g"\nchain = true', f"{AT}.outputs", "stay inside", "generated"),
    (RULE + "chain_depth = 0", f"{AT}.chain_depth", "must be 1 or more", "chain = false"),
    (RULE + "chain = 1", f"{AT}.chain", "must be true or false", "without quotes"),
]


@pytest.mark.parametrize(("text", "key", "reason", "fix"), BAD_RULES, ids=[f"{k}-{r}" for _, k, r, _ in BAD_RULES])
def test_a_fault_in_a_rule(text: str, key: str, reason: str, fix: str, write: Write) -> None:
    path = write(text)
    (problem,) = faults(path)
    assert problem.where.split(" (line ")[0] == f"{path}: {key}"
    assert reason in problem.reason
    assert fix in problem.fix


@pytest.mark.parametrize("suffix", [".png", ".JPG", ".jpeg", ".webp", ".mp4", ".mp3", ".wav", ".mask.png"])
def test_what_is_uploaded_is_no_sidecar(suffix: str, write: Write) -> None:
    (problem,) = faults(write(RULE + f'prompt_from = "{suffix}"'))
    assert "are uploaded" in problem.reason


def test_an_ending_has_one_dot(write: Write) -> None:
    (problem,) = faults(write(RULE + 'prompt_from = ".prompt.txt"'))
    assert "second dot" in problem.reason


@pytest.mark.parametrize("pattern", [pattern for pattern in ignore.LITTER if pattern.startswith("*")])
def test_what_is_never_looked_at_is_no_sidecar(pattern: str, write: Write) -> None:
    ending = pattern.removeprefix("*")
    suffix = ending if ending.startswith(".") else f".x{ending}"
    for spelled in (suffix, suffix.upper(), f".txt{ending}"):
        (problem,) = faults(write(RULE + f'parameters_from = "{spelled}"'))
        assert "never looked at" in problem.reason


def test_the_faults_of_a_rule_are_told_at_once(write: Write) -> None:
    text = (
        'again_on_sidecar = true\noptional = ["no"]\nchain = true\ntime_limit = 0\nnested = true\nchain_depth = 0\n'
        'with = { prompt = "{no}" }\nmax_result_size = "x"'
    )
    path = write(FLOW + text)
    assert {problem.where.removeprefix(f"{path}: {AT}.").split(" (line ")[0] for problem in faults(path)} == {
        "again_on_sidecar",
        "optional[0]",
        "wait",
        "chain",
        "time_limit",
        "nested",
        "chain_depth",
        "with.prompt",
        "max_result_size",
        "parameters",
    }


# --- chains -----------------------------------------------------------------------------------------------------------


def chained(path: str, rule: str = 'outputs = "gen"\nchain = true', folder: str = "") -> str:
    head = '[ledger]\npath = "/var/lib/l.db"\n' + FOLDER.replace("/srv/drop/a", "drop") + folder + "\n"
    return head + RULE.removeprefix(FOLDER) + rule + f'\n[[folders]]\nname = "b"\npath = "{path}"\n'


@pytest.mark.parametrize("path", ["drop/gen", "drop/gen/", "drop/gen/deep/er", "drop/x/../gen"])
@pytest.mark.parametrize("outputs", ["gen", "./gen/"])
def test_results_may_be_another_folders_files_when_it_is_said(path: str, outputs: str, write: Write) -> None:
    first, second = load(write(chained(path, f'outputs = "{outputs}"\nchain = true')), require_token=False).folders
    assert first.rules[0].chain
    assert second.root.startswith(os.path.join(first.root, "gen"))


def test_a_chain_may_be_written_back_to_front_and_have_many_links(write: Write, tmp_path: Path) -> None:
    rule = RULE.removeprefix(FOLDER) + 'outputs = "gen"\nchain = true\n'
    blocks = [f'[[folders]]\nname = "{name}"\npath = "{path}"\n' for name, path in (("c", "x/gen/gen"), ("b", "x/gen"))]
    text = blocks[0] + blocks[1] + rule + '[[folders]]\nname = "a"\npath = "x"\n' + rule
    assert [each.root for each in load(write(text), require_token=False).folders] == [
        str(tmp_path / "x/gen/gen"),
        str(tmp_path / "x/gen"),
        str(tmp_path / "x"),
    ]


def test_a_chain_is_seen_through_links(write: Write, tmp_path: Path) -> None:
    (tmp_path / "drop").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "drop/gen").symlink_to(tmp_path / "elsewhere")
    assert len(load(write(chained("elsewhere/sub")), require_token=False).folders) == 2


@pytest.mark.parametrize(
    ("path", "rule", "says_chain"),
    [
        ("drop/gen", 'outputs = "gen"', True),
        ("drop/gen/sub", 'outputs = "gen"\nchain = false', True),
        ("drop/other", 'outputs = "gen"', False),
        ("drop/generated", 'outputs = "gen"', False),
        ("drop/gen", 'outputs = "gen/sub"', False),
        ("drop", 'outputs = "gen"', False),
        (".", 'outputs = "gen"', False),
        ("drop/gen", "", False),
    ],
)
def test_folders_that_overlap_all_the_same(path: str, rule: str, says_chain: bool, write: Write) -> None:
    (problem,) = faults(write(chained(path, rule)))
    assert "folders[1].path" in problem.where
    assert "folders 'a'" in problem.reason
    assert problem.reason.endswith("overlap")
    assert ("write chain = true in rule 'r'" in problem.fix) == says_chain
    assert "give each its own directory" in problem.fix


@pytest.mark.parametrize("path", ["drop", ".", "drop/other", "drop/gen2", "drop/g"])
def test_chain_excuses_no_other_overlap(path: str, write: Write) -> None:
    overlap, chain = faults(write(chained(path)))
    assert "overlap" in overlap.reason
    assert "no folder takes these results" in chain.reason


def test_only_one_of_the_rules_that_feed_a_folder_needs_to_say_it(write: Write) -> None:
    second = RULE.removeprefix(FOLDER).replace('"r"', '"s"') + 'outputs = "gen"\n'
    settings = load(write(chained("drop/gen", 'outputs = "gen"\nchain = true\n' + second)), require_token=False)
    assert [rule.chain for rule in settings.folders[0].rules] == [True, False]


@pytest.mark.parametrize("move_to", ["gen", "gen/sub", "gen/sub/done"])
def test_what_is_done_with_does_not_go_into_a_chain(move_to: str, write: Write) -> None:
    (problem,) = faults(write(chained("drop/gen/sub", folder=f'after_upload = "move"\nmove_to = "{move_to}"')))
    assert "move_to" in problem.reason
    assert problem.fix == "change move_to"
    apart = 'after_upload = "move"\nmove_to = "done"'
    assert load(write(chained("drop/gen", folder=apart)), require_token=False).folders[0].move_to == "done"


def test_no_chain_is_judged_while_a_folder_has_no_place(write: Write) -> None:
    (problem,) = faults(write(chained("")))
    assert "not a usable path" in problem.reason


# --- actions ----------------------------------------------------------------------------------------------------------


def test_a_command(write: Write) -> None:
    action = the_action(load(write(ACTION + 'command = ["notify", "--quiet", ""]'), require_token=False))
    assert (action.command, action.url, action.timeout) == (("notify", "--quiet", ""), None, 60.0)
    assert action.secret() is None


@pytest.mark.parametrize(
    ("program", "found"), [("notify", "notify"), ("./bin/n", "{}/bin/n"), ("~/n", "{}/home/n"), ("/bin/n", "/bin/n")]
)
def test_where_a_program_is(program: str, found: str, write: Write, tmp_path: Path) -> None:
    action = the_action(load(write(ACTION + f'command = ["{program}", "./x"]'), require_token=False))
    assert action.command == (found.format(tmp_path), "./x")


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.org/a/?key=1",
        "http://127.0.0.1:8000",
        "http://localhost/x",
        "https://[2001:db8::1]:8443/",
    ],
)
def test_a_webhook(url: str, write: Write) -> None:
    action = the_action(load(write(ACTION + f'url = "{url}"\ntimeout = "5s"'), require_token=False))
    assert (action.command, action.url, action.timeout) == (None, url, 5.0)


def test_on_complete_goes_with_rules(write: Write) -> None:
    text = RULE + '[folders.on_complete]\ncommand = ["true"]'
    (folder,) = load(write(text), require_token=False).folders
    assert (folder.on_uploaded, folder.on_complete) == (None, Action(command=("true",)))


BAD_ACTIONS = [
    (ACTION, "", "says nothing to do", "command = ["),
    (ACTION + 'command = ["x"]\nurl = "https://x"', "", "both command and url", "one of them"),
    (
        ACTION + 'command = "notify --quiet"',
        ".command",
        "must be a list: no shell is involved",
        '["program", "argument"]',
    ),
    (ACTION + "command = []", ".command", "names no program", "notify"),
    (ACTION + 'command = [""]', ".command", "names no program", "notify"),
    (ACTION + 'command = ["", "x"]', ".command", "names no program", "notify"),
    (ACTION + 'command = ["x", "\\u0000"]', ".command", "NUL", "take it out"),
    (ACTION + 'command = ["x", 3]', ".command[1]", "must be text", "quotes"),
    (ACTION + "command = 3", ".command", "must be a list", "square brackets"),
    (ACTION + 'url = "hooks.example.org"', ".url", "not an http(s) URL", "https://"),
    (ACTION + 'url = "ftp://x/"', ".url", "not an http(s) URL", "https://"),
    (ACTION + 'url = "https://x y/"', ".url", "not an http(s) URL", "https://"),
    (ACTION + 'url = "http://hooks.example.org/"', ".url", "travel in the clear", "https://"),
    (ACTION + 'url = "http://127.0.0.1.example.org/"', ".url", "travel in the clear", "https://"),
    (ACTION + f'url = "https://user:{SECRET}@x/"', ".url", "no user", "hooks.example.org"),
    (ACTION + f'url = "https://x/#{SECRET}"', ".url", "no fragment", "hooks.example.org"),
    (ACTION + 'command = ["x"]\nsecret_file = "s"', ".secret_file", "no url to sign for", "add url"),
    (ACTION + 'url = "https://x/"\nsecret_file = ""', ".secret_file", "not a usable path", "absolute"),
    (ACTION + 'url = "https://x/"\ntimeout = 0', ".timeout", "more than nothing", "60s"),
    (ACTION + 'url = "https://x/"\ntimeout = "x"', ".timeout", "not a duration", "2s"),
    (ACTION + f'url = "https://x/"\nsecret = "{SECRET}"', ".secret", "unknown key", "secret_file"),
    (FOLDER + "on_uploaded = 3", "", "must be a table", "[heading]"),
]


@pytest.mark.parametrize(("text", "key", "reason", "fix"), BAD_ACTIONS, ids=[f"{k}-{r}" for _, k, r, _ in BAD_ACTIONS])
def test_a_fault_in_an_action(text: str, key: str, reason: str, fix: str, write: Write) -> None:
    path = write(text)
    (problem,) = faults(path)
    assert problem.where.split(" (line ")[0] == f"{path}: folders[0].on_uploaded{key}"
    assert reason in problem.reason
    assert fix in problem.fix


@pytest.mark.parametrize("rules", ["", "rules = []\n"])
def test_nothing_is_complete_without_a_rule(rules: str, write: Write) -> None:
    path = write(FOLDER + rules + '[folders.on_complete]\ncommand = ["x"]')
    (problem,) = faults(path)
    assert problem.where.startswith(f"{path}: folders[0].on_complete")
    assert "no rule" in problem.reason
    assert "[[folders.rules]]" in problem.fix


# --- what webhooks are signed with ------------------------------------------------------------------------------------

SIGNED = ACTION + 'url = "https://x/"\nsecret_file = "secret"\n'


def test_the_secret_is_read_when_the_configuration_is(write: Write, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f" {SECRET} with spaces\n")
    (tmp_path / "secret").chmod(0o600)
    settings = load(write(SIGNED), require_token=False)
    (tmp_path / "secret").unlink()
    action = the_action(settings)
    secret = action.secret()
    assert secret is not None
    assert secret.get_secret_value() == f"{SECRET} with spaces"
    assert action.secret_file == str(tmp_path / "secret")
    assert settings.warnings == ()
    for shown in (str(settings), repr(settings), repr(action), str(vars(action)), settings.model_dump_json()):
        assert SECRET not in shown


def test_a_secret_that_others_can_read_is_a_warning(write: Write, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET)
    file.chmod(0o644)
    path = write(SIGNED)
    (warning,) = load(path, require_token=False).warnings
    where = f"{path}: folders[0].on_uploaded.secret_file (line 6)"
    assert warning == f"{where}: other users can read {file}; chmod 600 {file}"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file"),
        (b"", "the secret is empty"),
        (b" \n", "the secret is empty"),
        (f"{SECRET}\n{SECRET}".encode(), "not one line of text"),
        (f"{SECRET}\0".encode(), "not one line of text"),
        (SECRET.encode() + b"\xff", "not one line of text"),
    ],
)
def test_secrets_that_will_not_do(content: bytes | None, reason: str, write: Write, tmp_path: Path) -> None:
    """Told to those who need them: `status` may be run by somebody who cannot read them."""
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    path = write(f'[api]\nworkspace_id = "{ID}"\ntoken = "t"\n' + SIGNED)
    (problem,) = faults(path, require_token=True)
    assert problem.where == f"{path}: folders[0].on_uploaded.secret_file (line 9)"
    assert reason in problem.reason
    assert problem.fix
    with pytest.raises(UserError) as caught:
        the_action(load(path, require_token=False)).secret()
    assert caught.value.problems == (problem,)


def test_every_action_has_its_own_secret(write: Write, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).write_text(name)
    signed = 'url = "https://x/"\nsecret_file = '
    second = RULE.replace('"a"', '"b"').replace("drop/a", "drop/b")
    text = (
        ACTION + signed + f'"one"\n{second}[folders.on_uploaded]\n{signed}"two"\n[folders.on_complete]\n{signed}"three"'
    )
    first, last = load(write(text), require_token=False).folders
    assert list(map(secret_of, (first.on_uploaded, last.on_uploaded, last.on_complete))) == ["one", "two", "three"]


def secret_of(action: Action | None) -> str | None:
    secret = action.secret() if action else None
    return secret.get_secret_value() if secret else None


def test_folders_and_rules_can_be_made_without_a_file() -> None:
    rule = Rule.model_validate({"name": "r", "match": "*", "model_id": ID, "with": {"m": "x"}, "prompt_from": ".Txt"})
    folder = Folder(name="a", path="/a", rules=(rule,))
    assert folder.sidecars == {".txt"}
    assert rule.roles == ("m", "prompt")
