"""Commands are run with the facts and none of our secrets, are heard to the end, and never outstay their time."""

import hashlib
import hmac
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layerwatch import __version__, redact
from layerwatch.actions import GRACE_S, TAIL, Performed, environment, run, signed


@pytest.fixture(autouse=True)
def _no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "_tokens", set())


def never() -> bool:
    return False


def perform(
    *argv: str, cwd: Path | str = "/", timeout_s: float = 30.0, stopping: Callable[[], bool] = never, **facts: str
) -> Performed:
    return run(argv, facts, cwd=str(cwd), timeout_s=timeout_s, stopping=stopping)


def shell(script: str, timeout_s: float = 30.0) -> Performed:
    return perform("/bin/sh", "-c", script, timeout_s=timeout_s)


def python(script: str, timeout_s: float = 30.0) -> Performed:
    return perform(sys.executable, "-c", script, timeout_s=timeout_s)


def alive(pid: int) -> bool:
    """Whether it runs; not what waits to be reaped by whoever adopted it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def pid_in(file: Path) -> int:
    until = time.monotonic() + 10
    while not file.exists() or not file.read_text().endswith("\n"):
        assert time.monotonic() < until
        time.sleep(0.01)
    return int(file.read_text())


def is_over(pid: int) -> bool:
    until = time.monotonic() + 5
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.01)
    return not alive(pid)


# --- its end ----------------------------------------------------------------------------------------------------------


def test_a_command_that_succeeds() -> None:
    assert shell("echo done; echo and said so >&2") == Performed("done\nand said so")
    assert perform("true") == Performed("no output")


def test_a_command_that_fails_may_succeed_later() -> None:
    assert shell("echo no such share; exit 3") == Performed(
        "/bin/sh: exit status 3\nno such share", "action_failed", may_pass=True
    )
    assert perform("false") == Performed("false: exit status 1", "action_failed", may_pass=True)
    assert shell("kill -9 $$") == Performed("/bin/sh: ended by signal 9", "action_failed", may_pass=True)


def test_it_runs_without_a_shell_where_it_is_told_to(tmp_path: Path) -> None:
    assert perform("echo", "$HOME; *", "", "a b").detail == "$HOME; *  a b"
    assert perform("pwd", cwd=tmp_path).detail == str(tmp_path)
    (tmp_path / "hook").write_text("#!/bin/sh\necho hooked $#\n")
    (tmp_path / "hook").chmod(0o755)
    assert perform("./hook", cwd=tmp_path).detail == "hooked 0"


def test_it_reads_nothing_of_ours() -> None:
    assert python("import os; print(os.readlink('/proc/self/fd/0'))").detail == "/dev/null"
    script = "import os; print(sorted(os.listdir('/proc/self/fd'))[:3], len(os.listdir('/proc/self/fd')))"
    with open("/dev/null") as ours:
        os.set_inheritable(ours.fileno(), True)
        assert python(script).detail == "['0', '1', '2'] 4"


def test_it_has_a_session_of_its_own() -> None:
    script = "import os; print(os.getsid(0) == os.getpid() == os.getpgid(0))"
    assert python(script).detail == "True"


def test_a_quick_one_is_not_waited_for_long() -> None:
    start = time.monotonic()
    for _ in range(10):
        perform("true")
    assert time.monotonic() - start < 2


def test_no_process_and_no_descriptor_stays_behind() -> None:
    def mine() -> list[str]:
        return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()

    before, children = len(os.listdir("/proc/self/fd")), mine()
    perform("true")
    perform("sleep", "60", timeout_s=0.1)
    perform("/no/such/program")
    assert len(os.listdir("/proc/self/fd")) == before
    assert mine() == children


# --- what cannot be started -------------------------------------------------------------------------------------------


def script_at(path: Path, content: bytes, mode: int = 0o755) -> str:
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def test_what_cannot_be_started_says_how_to_fix_it(tmp_path: Path) -> None:
    cases = {
        "no-such-program-anywhere": "no such program",
        script_at(tmp_path / "locked", b"#!/bin/sh\n", 0o644): "chmod +x",
        script_at(tmp_path / "foreign", b"#!/no/such/interpreter\n"): "interpreter that its first line names",
        script_at(tmp_path / "plain", b"echo hello\n"): "begins with a line like #!/bin/sh",
        f"{tmp_path}/plain/x": "no such program",
        "/etc": "chmod +x",
    }
    for program, fix in cases.items():
        performed = perform(program, cwd=tmp_path)
        assert performed.detail.startswith(f"{program} was not started: ")
        assert fix in performed.detail
        assert (performed.code, performed.may_pass) == ("action_failed", False)


def test_a_directory_that_is_away_may_come_back(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for cwd in (tmp_path / "away", tmp_path / "file"):
        performed = perform("true", cwd=cwd)
        assert performed.detail.startswith(f"true was not started: its directory {cwd} cannot be entered: no")
        assert (performed.code, performed.may_pass) == ("action_failed", True)


def test_more_than_an_environment_holds() -> None:
    performed = perform("true", prompt="x" * 300_000)
    assert "more than an environment can hold" in performed.detail
    assert (performed.code, performed.may_pass) == ("action_failed", False)


def test_an_argument_that_cannot_be_one() -> None:
    performed = perform("true", "a\0b")
    assert performed == Performed("true was not started: embedded null byte", "action_failed", may_pass=False)


def test_a_machine_that_is_out_of_processes_may_have_some_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", fails)
    performed = perform("true")
    assert performed.detail == "true was not started: resource temporarily unavailable"
    assert (performed.code, performed.may_pass) == ("action_failed", True)


# --- what it says -----------------------------------------------------------------------------------------------------


def test_much_is_heard_and_the_last_is_kept() -> None:
    start = time.monotonic()
    performed = python(
        "import sys\nfor n in range(10_000): sys.stdout.write(f'{n:09d} ' + 'x' * 1013 + '\\n')\nprint('end')"
    )
    assert performed.code is None
    assert performed.detail.endswith("x\nend")
    assert "000009999 " in performed.detail
    assert TAIL - 1100 < len(performed.detail) <= TAIL
    assert time.monotonic() - start < 20


def test_who_never_stops_talking_is_stopped() -> None:
    start = time.monotonic()
    performed = perform("yes", timeout_s=0.5)
    assert (performed.code, performed.may_pass) == ("action_failed", True)
    assert "yes: ended because it took longer than 0.5 s\ny\ny" in performed.detail
    assert len(performed.detail) < TAIL + 100
    assert 0.5 <= time.monotonic() - start < 10


def test_what_it_says_can_be_printed_anywhere() -> None:
    said = shell(r"printf 'red \033[1;31mred\033[0m \033]0;title\007\ta\r 50%%\r100%%\n\377\000\n\n'").detail
    assert said.splitlines() == ["red red \\x1b]0;title\\x07      a", " 50%", "100%", "\N{REPLACEMENT CHARACTER}\\x00"]
    assert all(char.isprintable() or char == "\n" for char in said)


def test_no_secret_is_kept_not_even_half_of_one() -> None:
    redact.register("s3cret-" + "k" * 200)
    assert shell("printf 's3cr\\033[0met-%s\\n' " + "k" * 200).detail == "[redacted]"
    assert shell("echo Authorization: Bearer abc; exit 1").detail.endswith("Authorization: Bearer [redacted]")
    for shift in (0, 50, 100, 150):  # what is kept begins in the middle of one, and shrinks to what is shown
        assert "k" not in python(f"print(('s3cret-' + 'k' * 200 + ' ') * 100 + 'x' * {shift})").detail
    for shift in range(99, 109, 2):  # what is shown begins where what tells it for a secret is
        assert "k" not in python(f"print('Bearer ' + 'k' * 100, 'x' * {TAIL - shift})").detail


# --- time-outs and stops ----------------------------------------------------------------------------------------------


def test_what_takes_too_long_is_ended() -> None:
    start = time.monotonic()
    performed = shell("echo begun; sleep 60", timeout_s=0.3)
    assert performed == Performed(
        "/bin/sh: ended because it took longer than 0.3 s\nbegun", "action_failed", may_pass=True
    )
    assert 0.3 <= time.monotonic() - start < GRACE_S


def test_it_may_tidy_up_first() -> None:
    performed = shell("trap 'echo tidied; exit 0' TERM; echo begun; sleep 60 & wait", timeout_s=0.3)
    assert performed.detail.endswith("\nbegun\ntidied")
    assert performed.code == "action_failed"


def test_who_ignores_term_is_killed() -> None:
    start = time.monotonic()
    performed = shell("trap '' TERM; echo $$; while :; do sleep 0.1; done", timeout_s=0.2)
    assert GRACE_S <= time.monotonic() - start < GRACE_S + 8
    assert is_over(int(performed.detail.splitlines()[-1]))


def test_all_that_it_started_ends_with_it(tmp_path: Path) -> None:
    """The shell ends at once, what it started ignores TERM."""
    stubborn = f"(trap '' TERM; while :; do sleep 0.1; done) & echo $! > {tmp_path}/pid; wait"
    performed = shell(stubborn, timeout_s=0.3)
    assert performed.code == "action_failed"
    assert is_over(pid_in(tmp_path / "pid"))


def test_time_is_counted_though_it_has_closed_its_output() -> None:
    start = time.monotonic()
    performed = shell("exec >&- 2>&-; sleep 60", timeout_s=0.3)
    assert performed == Performed("/bin/sh: ended because it took longer than 0.3 s", "action_failed", may_pass=True)
    assert 0.3 <= time.monotonic() - start < 5


def test_what_goes_on_in_the_background_is_not_waited_for(tmp_path: Path) -> None:
    """It holds the pipe open, and is left alone: the command itself has succeeded."""
    start = time.monotonic()
    performed = shell(f"sleep 60 & echo $! > {tmp_path}/pid; echo started")
    assert performed == Performed("started")
    assert time.monotonic() - start < 10
    pid = pid_in(tmp_path / "pid")
    assert alive(pid)
    os.kill(pid, 9)


def test_a_talkative_background_does_not_hold_us(tmp_path: Path) -> None:
    start = time.monotonic()
    performed = shell(f"yes & echo $! > {tmp_path}/pid; exit 0")
    assert performed.code is None
    assert time.monotonic() - start < 10
    assert is_over(pid_in(tmp_path / "pid")), "nobody listens any more"


def test_a_stop_ends_it_and_it_runs_again_after_the_next_start() -> None:
    start = time.monotonic()

    def soon() -> Iterator[bool]:
        while True:
            yield time.monotonic() - start > 0.3

    asked = soon()
    performed = perform("/bin/sh", "-c", "echo begun; sleep 60", stopping=lambda: next(asked))
    assert performed == Performed("/bin/sh: ended because layerwatch is ending\nbegun", "stopped", may_pass=True)
    assert time.monotonic() - start < 5


def test_a_stop_lets_it_tidy_up_and_no_longer(tmp_path: Path) -> None:
    start = time.monotonic()
    performed = perform(
        "/bin/sh", "-c", f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.1; done",
        stopping=(tmp_path / "pid").exists,
    )  # fmt: skip
    assert performed.code == "stopped"
    assert GRACE_S <= time.monotonic() - start < GRACE_S + 8
    assert is_over(pid_in(tmp_path / "pid"))


def test_what_took_too_long_is_not_taken_for_stopped(tmp_path: Path) -> None:
    script = f"trap 'touch {tmp_path}/stop; exit' TERM; sleep 60 & wait"
    performed = perform("/bin/sh", "-c", script, timeout_s=0.3, stopping=(tmp_path / "stop").exists)
    assert (tmp_path / "stop").exists()
    assert performed.code == "action_failed"


def test_nothing_is_started_while_we_end(tmp_path: Path) -> None:
    performed = perform("touch", f"{tmp_path}/ran", stopping=lambda: True)
    assert performed == Performed("not started: layerwatch is ending", "stopped", may_pass=True)
    assert not (tmp_path / "ran").exists()


# --- what it is told --------------------------------------------------------------------------------------------------


def told(**facts: str) -> dict[bytes, bytes]:
    """What a command really finds in its environment."""
    found = subprocess.run(["env", "-0"], env=environment(facts), capture_output=True, check=True).stdout
    return dict(each.split(b"=", 1) for each in found.split(b"\0") if each)


def test_the_facts_are_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO", "north")
    script = 'echo "$LAYERWATCH_EVENT $LAYERWATCH_FILE_ID $STUDIO"'
    said = perform("/bin/sh", "-c", script, event="uploaded", file_id="f-1").detail
    assert said == "uploaded f-1 north"
    odd = told(path="/drop/caf\udce9\n\u00e4.png", note="a\0b\ud800", empty="")
    assert odd[b"LAYERWATCH_PATH"] == b"/drop/caf\xe9\n\xc3\xa4.png"
    assert odd[b"LAYERWATCH_NOTE"] == b"ab?"
    assert odd[b"LAYERWATCH_EMPTY"] == b""


SECRETS = {
    "LAYER_TOKEN": "t1",
    "layer_token": "t2",
    "LAYERWATCH_API__TOKEN": "t3",
    "layerwatch_api__token": "t4",
    "CREDENTIALS_DIRECTORY": "/run/credentials",
    "NOTIFY_SOCKET": "/run/systemd/notify",
    "WATCHDOG_USEC": "1",
    "WATCHDOG_PID": "1",
    "LAYERWATCH_API": '{"token": "pat-registered"}',
    "MY_COPY": "pat-registered",
}


def test_our_secrets_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    redact.register("pat-registered")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LAYERWATCH_LEDGER__PATH", "/ledger.db")
    monkeypatch.setenv("LAYER_WORKSPACE_ID", "w-1")
    found = told(path="/a.png")
    assert not found.keys() & {name.encode() for name in SECRETS}
    assert found[b"LAYERWATCH_LEDGER__PATH"] == b"/ledger.db"
    assert found[b"LAYER_WORKSPACE_ID"] == b"w-1"
    assert b"PATH" in found
    said = perform("env", path="/a.png").detail
    assert "pat-registered" not in said
    assert "TOKEN" not in said.upper()
    assert os.environ["LAYER_TOKEN"] == "t1"


# --- webhooks ---------------------------------------------------------------------------------------------------------


def test_a_webhook_is_signed_with_its_time() -> None:
    body = '{"event": "uploaded", "path": "ä"}'.encode()
    headers = signed(body, "s3cret ä", delivery="d-1", at=1_700_000_000)
    expected = hmac.new("s3cret ä".encode(), b"1700000000." + body, hashlib.sha256).hexdigest()
    assert headers == {
        "Content-Type": "application/json",
        "User-Agent": f"layerwatch/{__version__}",
        "X-Layerwatch-Delivery": "d-1",
        "X-Layerwatch-Timestamp": "1700000000",
        "X-Layerwatch-Signature": f"sha256={expected}",
    }
    assert signed(body, "s3cret ä", delivery="d-1", at=1_700_000_001) != headers


@pytest.mark.parametrize("secret", [None, ""])
def test_without_a_secret_nothing_is_signed(secret: str | None) -> None:
    assert "X-Layerwatch-Signature" not in signed(b"{}", secret, delivery="d-1", at=5)
