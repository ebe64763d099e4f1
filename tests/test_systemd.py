"""The units: systemd takes every line of them, they are locked up, and they say what the program says."""

import os
import re
import shlex
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
from click import Context

from layerwatch import locate
from layerwatch.cli import cli
from layerwatch.config.credentials import CREDENTIAL
from layerwatch.daemon.run import STOP_BUDGET_S
from layerwatch.errors import AnotherInstance, CredentialsRefused, EnvironmentProblem, UserError

TOP = Path(__file__).parent.parent
UNITS = TOP / "systemd"
SERVICE, TEMPLATE, USER = (
    UNITS / name for name in ("layerwatch.service", "layerwatch@.service", "user/layerwatch.service")
)
DROP_IN = UNITS / "layerwatch.service.d" / "folders.conf.example"
MACHINE_UNITS = Path("/usr/lib/systemd/system")
SCORE_MOST = 1.2

Unit = dict[str, list[str]]


def parsed(path: Path) -> Unit:
    """What is set, by key; a key may be set more than once."""
    unit: Unit = defaultdict(list)
    for line in path.read_text().splitlines():
        if line and not line.startswith(("#", "[")):
            key, value = line.split("=", 1)
            unit[key].append(value)
    return unit


def expanded(text: str, *, home: str = "/root", config: str = "/etc", instance: str = "film") -> str:
    """The specifiers that our units use."""
    return text.replace("%h", home).replace("%E", config).replace("%i", instance)


def analyze(*arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code, and all that it says: about an unknown key it complains, and exits with 0."""
    said = subprocess.run(
        ["systemd-analyze", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"} | environment,
    )
    return said.returncode, said.stdout


@pytest.fixture(scope="module", autouse=True)
def _systemd() -> None:
    if not shutil.which("systemd-analyze"):
        pytest.fail("systemd-analyze is missing: it is in Debian's package `systemd` (apt-get install systemd)")


def program(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine on which layerwatch is installed as the README says, as far as systemd looks at it."""
    shutil.copytree(MACHINE_UNITS, tmp_path / "usr/lib/systemd/system", symlinks=True)
    program(tmp_path / "usr/local/bin/layerwatch")
    program(tmp_path / "bin/kill")
    etc = tmp_path / "etc/systemd/system"
    etc.mkdir(parents=True)
    for unit in (SERVICE, TEMPLATE):
        shutil.copy(unit, etc)
    return tmp_path


def verify(machine: Path, unit: str) -> tuple[int, str]:
    return analyze("verify", f"--root={machine}", "--man=no", unit)


# --- systemd's view ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["layerwatch.service", "layerwatch@film.service"])
def test_systemd_has_nothing_to_say_about_a_unit(unit: str, machine: Path) -> None:
    assert verify(machine, unit) == (0, "")


def test_systemd_has_nothing_to_say_about_the_users_unit(tmp_path: Path) -> None:
    unit = tmp_path / ".config/systemd/user/layerwatch.service"
    unit.parent.mkdir(parents=True)
    shutil.copy(USER, unit)
    program(tmp_path / ".local/bin/layerwatch")
    home = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    assert analyze("verify", "--user", "--man=no", str(unit), **home) == (0, "")
    (tmp_path / ".local/bin/layerwatch").unlink()
    assert "not executable" in analyze("verify", "--user", "--man=no", str(unit), **home)[1]


@pytest.mark.parametrize("unit", ["layerwatch.service", "layerwatch@film.service"])
@pytest.mark.parametrize("everything", [False, True])
def test_systemd_has_nothing_to_say_about_the_drop_in(unit: str, everything: bool, machine: Path) -> None:
    text = DROP_IN.read_text()
    directory = machine / "etc/systemd/system" / f"{unit}.d"
    directory.mkdir()
    (directory / "folders.conf").write_text(re.sub(r"^#(?=\w+=)", "", text, flags=re.MULTILINE) if everything else text)
    assert verify(machine, unit) == (0, "")


@pytest.mark.parametrize(
    ("line", "instead", "said"),
    [
        ("WatchdogSec=180s", "WatchdogSecs=180s", "Unknown key"),
        ("ProtectSystem=strict", "ProtectSystem=very", "Failed to parse"),
        ("SystemCallFilter=@system-service", "SystemCallFilter=@system-services", "Unknown system call group"),
        ("/usr/local/bin/layerwatch", "/usr/bin/layerwatch", "not executable"),
    ],
)
def test_this_would_be_noticed(line: str, instead: str, said: str, machine: Path) -> None:
    unit = machine / "etc/systemd/system/layerwatch.service"
    assert line in unit.read_text()
    unit.write_text(unit.read_text().replace(line, instead))
    assert said in verify(machine, "layerwatch.service")[1]


@pytest.mark.parametrize("unit", [SERVICE, TEMPLATE], ids=lambda path: str(path.name))
def test_it_is_locked_up(unit: Path) -> None:
    code, said = analyze("security", "--offline=true", "--no-pager", f"--threshold={SCORE_MOST * 10:.0f}", str(unit))
    (score,) = re.findall(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert float(score) <= SCORE_MOST, said
    assert code == 0


# --- what the program says --------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _a_user_without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/alice")


@pytest.mark.parametrize("unit", [SERVICE, TEMPLATE, USER], ids=lambda path: str(path.relative_to(UNITS)))
def test_the_command_line_is_one_that_there_is(unit: Path) -> None:
    assert parsed(unit)["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    (line,) = parsed(unit)["ExecStart"]
    _, name, *arguments = shlex.split(expanded(line))
    command = cli.get_command(Context(cli), name)
    assert command
    assert command.make_context(name, arguments).params["config"]


def test_the_commands_find_the_same_configuration() -> None:
    (line,), (user,) = parsed(SERVICE)["ExecStart"], parsed(USER)["ExecStart"]
    assert expanded(line).split()[-1] in locate._places()
    assert expanded(user, config="/home/alice/.config").split()[-1] in locate._places()


def test_the_service_keeps_its_ledger_where_the_example_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands do not run under systemd: they find it because the configuration names it."""
    (state,) = parsed(SERVICE)["StateDirectory"]
    monkeypatch.setenv("STATE_DIRECTORY", f"/var/lib/{state}")
    example = (TOP / "config.example.toml").read_text()
    assert f'#path = "{locate.default_ledger_path()}"\n' in example
    assert f"# {locate.default_ledger_path()}." in SERVICE.read_text()


def test_the_users_ledger_is_where_that_users_commands_look() -> None:
    assert "StateDirectory" not in parsed(USER)
    assert f"~{locate.default_ledger_path().removeprefix('/home/alice')}." in USER.read_text()


def test_no_service_owns_the_directory_of_another() -> None:
    """systemd gives everything below a state directory to the user of its service."""
    (service,), (template,) = parsed(SERVICE)["StateDirectory"], parsed(TEMPLATE)["StateDirectory"]
    assert "/" not in service + template
    assert f"/var/lib/{expanded(template)}/ledger.db" in TEMPLATE.read_text()


@pytest.mark.parametrize("unit", [SERVICE, TEMPLATE], ids=lambda path: str(path.name))
def test_the_token_comes_under_the_name_that_is_looked_for(unit: Path) -> None:
    (credential,) = parsed(unit)["LoadCredential"]
    name, path = expanded(credential).split(":")
    assert name == CREDENTIAL
    assert path.startswith(f"/etc/{parsed(unit)['ConfigurationDirectory'][0]}/")


@pytest.mark.parametrize("unit", [SERVICE, TEMPLATE, USER], ids=lambda path: str(path.relative_to(UNITS)))
def test_what_only_a_person_can_put_right_is_not_tried_again(unit: Path) -> None:
    (statuses,) = parsed(unit)["RestartPreventExitStatus"]
    never = {int(status) for status in statuses.split()}
    assert never == {UserError.exit_code, CredentialsRefused.exit_code}
    assert not never & {EnvironmentProblem.exit_code, AnotherInstance.exit_code, 0}


@pytest.mark.parametrize("unit", [SERVICE, TEMPLATE, USER], ids=lambda path: str(path.relative_to(UNITS)))
def test_it_is_given_the_time_that_it_needs_to_stop(unit: Path) -> None:
    (stop,) = parsed(unit)["TimeoutStopSec"]
    assert int(stop.removesuffix("s")) > 2 * STOP_BUDGET_S


# --- for people -------------------------------------------------------------------------------------------------------


def test_the_template_is_the_service_but_for_its_places() -> None:
    service, template = parsed(SERVICE), parsed(TEMPLATE)
    differing = {key for key in service.keys() | template.keys() if service[key] != template[key]}
    assert differing == {"Description", "ExecStart", "LoadCredential", "StateDirectory"}


def test_what_the_users_unit_has_is_as_in_the_service() -> None:
    service, user = parsed(SERVICE), parsed(USER)
    differing = {key for key in user if service[key] != user[key]}
    assert differing == {"ExecStart", "WantedBy"}


def test_every_line_of_hardening_says_what_it_may_break() -> None:
    text = SERVICE.read_text()
    hardening = text[text.index("# Hardening.") : text.index("[Install]")]
    comment, was_comment, told = "", False, 0
    for line in filter(None, hardening.splitlines()):
        is_comment = line.startswith("#")
        comment = (comment + line if was_comment else line) if is_comment else comment
        was_comment = is_comment
        if not is_comment:
            assert re.search(r"(May break|Breaks):|may break:", comment), line
            told += 1
    assert told > 25


def test_the_drop_in_is_where_it_says() -> None:
    assert f"/etc/systemd/system/{DROP_IN.parent.name}/{DROP_IN.name.removesuffix('.example')}" in DROP_IN.read_text()
    assert f"{DROP_IN.parent.name}/{DROP_IN.name}" in SERVICE.read_text()
