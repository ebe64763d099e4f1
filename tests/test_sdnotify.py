"""What systemd gets to hear, on a real datagram socket."""

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from layerwatch import redact
from layerwatch.sdnotify import STATUS_MOST, Notifier

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
Listen = Callable[[str], socket.socket]


@pytest.fixture(autouse=True)
def _not_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def listen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listen]:
    """A socket as systemd has it, under this name, and NOTIFY_SOCKET set to it."""
    opened = []

    def at(name: str) -> socket.socket:
        systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        systemd.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        systemd.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        opened.append(systemd)
        return systemd

    yield at
    for systemd in opened:
        systemd.close()


@pytest.fixture(params=["path", "abstract", "not UTF-8"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path, listen: Listen) -> socket.socket:
    names = {
        "path": f"{tmp_path}/notify",
        "abstract": f"@layerwatch-test-{secrets.token_hex(8)}",
        "not UTF-8": os.fsdecode(os.fsencode(tmp_path) + b"/\xff"),
    }
    return listen(names[request.param])


def heard(systemd: socket.socket) -> str:
    return systemd.recv(65536).decode()


def silent(systemd: socket.socket) -> bool:
    systemd.setblocking(False)
    try:
        systemd.recv(65536)
    except BlockingIOError:
        return True
    return False


# --- the conversation -------------------------------------------------------------------------------------------------


def test_a_service_from_its_start_to_its_end(systemd: socket.socket) -> None:
    notifier = Notifier.from_environment(pytest.fail)
    notifier.waiting("waiting for the ledger", 60.0)
    notifier.ready("watching 3 folders")
    notifier.alive()
    notifier.status("2 uploading")
    notifier.reloading(123_456_789)
    notifier.ready("watching 4 folders")
    notifier.stopping()
    assert [heard(systemd) for _ in range(7)] == [
        "EXTEND_TIMEOUT_USEC=60000000\nSTATUS=waiting for the ledger",
        "READY=1\nSTATUS=watching 3 folders",
        "WATCHDOG=1",
        "STATUS=2 uploading",
        "RELOADING=1\nMONOTONIC_USEC=123456789",
        "READY=1\nSTATUS=watching 4 folders",
        "STOPPING=1\nSTATUS=stopping",
    ]
    assert silent(systemd)


def test_it_is_the_main_process_that_speaks(systemd: socket.socket) -> None:
    """NotifyAccess=main: systemd asks the kernel who sent it."""
    systemd.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    Notifier.from_environment().alive()
    _, ancillary, _, _ = systemd.recvmsg(64, socket.CMSG_SPACE(12))
    ((_, kind, credentials),) = ancillary
    assert kind == socket.SCM_CREDENTIALS
    assert int.from_bytes(credentials[:4], sys.byteorder) == os.getpid()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines", "two\\nlines"),
        ("x\nREADY=1\r\nMAINPID=1", "x\\nREADY=1\\r\\nMAINPID=1"),
        ("\x1b[31mred\0", "\\x1b[31mred\\x00"),
        ("right \u202eto left", "right \\u202eto left"),
        ("not UTF-8 \udcff", "not UTF-8 \\udcff"),
        ("größer, 日本", "größer, 日本"),
        ("Authorization: Bearer abc", "Authorization: Bearer [redacted]"),
        ("https://storage.example/a?upload_id=secret", "https://storage.example/a?[redacted]"),
        ("a" * STATUS_MOST, "a" * STATUS_MOST),
        ("a" * (STATUS_MOST + 1), "a" * (STATUS_MOST - 1) + "…"),
    ],
)
def test_a_status_is_one_line_without_secrets(text: str, shown: str, tmp_path: Path, listen: Listen) -> None:
    systemd = listen(f"{tmp_path}/notify")
    Notifier.from_environment(pytest.fail).status(text)
    assert heard(systemd) == f"STATUS={shown}"


def test_a_token_is_not_shown(tmp_path: Path, listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "_tokens", {"pat_verysecret"})
    systemd = listen(f"{tmp_path}/notify")
    Notifier.from_environment().ready("with pat_verysecret")
    assert heard(systemd) == "READY=1\nSTATUS=with [redacted]"


# --- nobody there -----------------------------------------------------------------------------------------------------


def say_all(notifier: Notifier) -> None:
    notifier.ready("a")
    notifier.status("b")
    notifier.reloading(1)
    notifier.alive()
    notifier.stopping()


@pytest.mark.parametrize("name", [None, ""])
def test_without_a_socket_it_is_silent(name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    if name is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", name)
    notifier = Notifier.from_environment(pytest.fail)
    say_all(notifier)
    assert notifier.watchdog_s is None


@pytest.mark.parametrize("name", ["vsock:2:1234", "relative/path", "\n"])
def test_a_socket_of_another_kind_is_told_and_left_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    notifier = Notifier.from_environment(told.append)
    say_all(notifier)
    assert len(told) == 1
    assert "\n" not in told[0]
    assert notifier.watchdog_s is None


@pytest.mark.parametrize("name", ["missing", "is-a-file", "x" * 200])
def test_a_socket_that_nobody_has_is_told_once(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    (tmp_path / "is-a-file").touch()
    monkeypatch.setenv("NOTIFY_SOCKET", f"{tmp_path}/{name}")
    notifier = Notifier.from_environment(told.append)
    say_all(notifier)
    say_all(notifier)
    assert len(told) == 1
    assert told[0].startswith("systemd cannot be told")


def test_it_speaks_again_once_somebody_listens_again(tmp_path: Path, listen: Listen) -> None:
    told: list[str] = []
    name = f"{tmp_path}/notify"
    first = listen(name)
    notifier = Notifier.from_environment(told.append)
    first.close()
    notifier.alive()
    os.unlink(name)
    systemd = listen(name)
    notifier.alive()
    assert heard(systemd) == "WATCHDOG=1"
    assert len(told) == 1


def test_a_systemd_that_hangs_does_not_hold_it_up(tmp_path: Path, listen: Listen) -> None:
    systemd = listen(f"{tmp_path}/notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filling:
        filling.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                filling.sendto(b"x", f"{tmp_path}/notify")
    told: list[str] = []
    Notifier.from_environment(told.append).alive()
    assert len(told) == 1
    assert heard(systemd) == "x"


def test_no_descriptor_is_left_open(tmp_path: Path, listen: Listen) -> None:
    systemd = listen(f"{tmp_path}/notify")
    notifier = Notifier.from_environment()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        notifier.alive()
        heard(systemd)
    assert len(os.listdir("/proc/self/fd")) == before


# --- the watchdog -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval", "half_s"),
    [("60000000", 30.0), ("1", 5e-7), ("0", None), ("", None), ("-5", None), ("1.5", None), ("soon", None),
     ("٣", None), ("9" * 5000, None)],
)  # fmt: skip
def test_it_is_fed_twice_in_its_interval(
    interval: str, half_s: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", f"{tmp_path}/notify")
    monkeypatch.setenv("WATCHDOG_USEC", interval)
    assert Notifier.from_environment().watchdog_s == half_s
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert Notifier.from_environment().watchdog_s == half_s


def test_without_a_watchdog_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", f"{tmp_path}/notify")
    assert Notifier.from_environment().watchdog_s is None


def test_a_watchdog_that_waits_for_another_process_is_not_ours(tmp_path: Path) -> None:
    code = "from layerwatch.sdnotify import Notifier; print(Notifier.from_environment().watchdog_s)"
    environment = {"NOTIFY_SOCKET": f"{tmp_path}/notify", "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}
    said = subprocess.run([sys.executable, "-c", code], env=os.environ | environment, capture_output=True, check=True)
    assert said.stdout == b"None\n"
