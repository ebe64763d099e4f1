"""SIGHUP: a new configuration is taken without a single upload being interrupted, or the old one is kept, and it is
said why."""

import os
import pty
import signal
import sys
from pathlib import Path

import pytest

from layerwatch.samples import sample
from layerwatch.sandbox import Faults
from layerwatch.sandbox.catalogue import MODELS
from tests.starts import Process
from tests.system.conftest import Site, until
from tests.system.test_watchdog import Manager, environment

MIB = 1024 * 1024
BIG = 60 * 1_000_000
FIRST = f"""
[[folders.rules]]
name = "restyle"
match = "*.png"
model_id = "{MODELS[0]["model_id"]}"
[folders.rules.parameters]
prompt = "first"
"""


def reload(site: Site, daemon: Process, event: str) -> str:
    """Ask for it, and wait for the answer; returns its text."""
    before = sum(each["event"] == event for each in site.events())
    daemon.send_signal(signal.SIGHUP)
    until(lambda: sum(each["event"] == event for each in site.events()) > before, event)
    return str([each for each in site.events() if each["event"] == event][-1]["message"])


def drop_big(site: Site, count: int) -> None:
    """So many files of 60 MB, and wait until all of them are going up."""
    for seed in range(count):
        (site.drop / f"big{seed}.mp4").write_bytes(sample("mp4", seed, BIG))
    until(lambda: site.sandbox.counters["start"] == count, "the uploads to begin")


def begun(site: Site) -> int:
    return int(site.sandbox.counters["start"])


def bytes_of(site: Site, names: str) -> int:
    return sum(path.stat().st_size for path in site.drop.rglob(names))


def test_a_new_folder_a_changed_rule_and_a_broken_file_interrupt_none_of_four_uploads(site: Site) -> None:
    other = site.home / "other"
    other.mkdir()
    site.configure(folder='settle = "50ms"', more=FIRST)
    site.sandbox.faults = Faults(bandwidth=5 * MIB)
    daemon = site.start()
    drop_big(site, 4)

    site.configure(folder='settle = "50ms"', more=FIRST + f'\n[[folders]]\nname = "other"\npath = "{other}"\n')
    assert "folder other is new" in reload(site, daemon, "configuration_taken")
    changed = FIRST.replace("first", "second") + f'\n[[folders]]\nname = "other"\npath = "{other}"\n'
    site.configure(folder='settle = "50ms"', more=changed)
    assert "folder drop is changed" in reload(site, daemon, "configuration_taken")
    whole = site.config.read_text()
    site.config.write_text(whole.replace("settle =", "setle ="))
    assert "did you mean 'settle'?" in reload(site, daemon, "configuration_kept")
    site.config.write_text("[api\n")
    assert "is not valid TOML" in reload(site, daemon, "configuration_kept")
    assert site.statuses() == {"uploading": 4}, "all of them are still going up"

    (other / "o.wav").write_bytes(sample("wav", 9, 5000))
    (site.drop / "late.png").write_bytes(sample("png", 9, 5000))
    until(lambda: site.statuses() == {"uploaded": 6}, "everything")
    until(lambda: [fired.body["prompt"] for fired in site.sandbox.generations] == ["second"], "the changed rule")
    assert site.end(daemon) == 0
    # One session each, no question where it stands, and not a byte twice: nobody was interrupted.
    assert begun(site) == 6
    assert site.sandbox.counters["query"] == 0
    assert site.sandbox.counters["bytes_received"] == bytes_of(site, "*.mp4") + 5000 + (other / "o.wav").stat().st_size
    assert len(site.sandbox.objects) == 6
    assert site.sandbox.violations == []
    assert site.ask("SELECT count(*) AS n FROM history WHERE event IN ('postponed', 'recovered')") == [{"n": 0}]


def test_other_workers_and_another_token_let_those_under_way_finish(site: Site) -> None:
    before, token = site.home / "before", site.home / "token"
    for path in (before, token):
        path.write_text("sandbox-token\n")
        path.chmod(0o600)
    site.configure(folder='settle = "50ms"', upload="workers = 2")
    site.config.write_text(site.config.read_text().replace("[ledger]", f'token_file = "{before}"\n[ledger]'))
    site.sandbox.faults = Faults(bandwidth=8 * MIB)
    daemon = site.start(LAYER_TOKEN="")
    drop_big(site, 2)
    site.configure(folder='settle = "50ms"', upload='workers = 3\nchunk_size = "1MiB"\nmax_bandwidth = "200MB/s"')
    site.config.write_text(site.config.read_text().replace("[ledger]", f'token_file = "{token}"\n[ledger]'))
    assert "[api] is changed, [upload] is changed" in reload(site, daemon, "configuration_taken")
    for seed in range(20, 23):
        (site.drop / f"more{seed}.mp4").write_bytes(sample("mp4", seed, 3 * MIB))
    until(lambda: site.sandbox.counters["start"] == 5, "three new uploaders beside those who finish")
    until(lambda: site.statuses() == {"uploaded": 5}, "everything")
    assert site.sandbox.counters["query"] == 0
    assert site.sandbox.counters["bytes_received"] == bytes_of(site, "*.mp4")
    assert site.end(daemon) == 0


def test_a_folder_that_is_taken_away_is_left_alone_but_for_what_is_going_up(site: Site) -> None:
    other = site.home / "other"
    other.mkdir()
    plain = site.config.read_text()
    site.config.write_text(plain + f'[[folders]]\nname = "other"\npath = "{other}"\nafter_upload = "delete"\n')
    site.sandbox.faults = Faults(bandwidth=5 * MIB)
    daemon = site.start()
    (other / "big.mp4").write_bytes(sample("mp4", 1, 20 * MIB))
    until(lambda: begun(site) == 1, "the upload")
    site.config.write_text(plain)
    assert "folder other is gone" in reload(site, daemon, "configuration_taken")
    (other / "late.png").write_bytes(sample("png", 1, 5000))
    (site.drop / "here.png").write_bytes(sample("png", 2, 5000))
    until(lambda: site.statuses() == {"uploaded": 2}, "what was going up, and what came to the other folder")
    assert {Path(row["path"]).name for row in site.rows()} == {"big.mp4", "here.png"}
    assert sorted(path.name for path in other.iterdir()) == ["big.mp4", "late.png"], "nothing is deleted any more"
    folders = site.ask("SELECT name FROM folders")
    assert [row["name"] for row in folders] == ["drop"]
    assert site.sandbox.counters["query"] == 0
    assert site.end(daemon) == 0


def test_a_folder_that_gets_another_name_is_watched_under_that_one(site: Site) -> None:
    daemon = site.start()
    until(lambda: "watching" in site.said(), "the start")
    site.config.write_text(site.config.read_text().replace('name = "drop"', 'name = "new"'))
    said = reload(site, daemon, "configuration_taken")
    assert "folder drop is gone" in said
    assert "folder new is new" in said
    until(lambda: site.ask("SELECT name, state FROM folders") == [{"name": "new", "state": "watching"}], "the watch")
    until(lambda: not site.ask("SELECT 1 FROM folders WHERE scanned_at IS NULL"), "the first scan")
    (site.drop / "a.png").write_bytes(sample("png", 1, 5000))
    until(lambda: site.statuses() == {"uploaded": 1}, "a file that is heard of")
    assert site.rows("folder") == [{"folder": "new"}]
    assert site.end(daemon) == 0


def test_what_cannot_change_under_way_and_credentials_that_are_refused_keep_the_old_one(site: Site) -> None:
    token = site.home / "token"
    token.write_text("sandbox-token\n")
    token.chmod(0o600)
    site.config.write_text(site.config.read_text().replace("[ledger]", f'token_file = "{token}"\n[ledger]'))
    daemon = site.start(LAYER_TOKEN="")
    until(lambda: "watching" in site.said(), "the start")
    whole = site.config.read_text()
    site.config.write_text(whole.replace("ledger.db", "other.db"))
    assert "ledger.path: cannot change while layerwatch runs" in reload(site, daemon, "configuration_kept")
    site.config.write_text(whole.replace(site.sandbox.workspace_id, "00000000-0000-0000-0000-000000000001"))
    assert "api.workspace_id: cannot change while layerwatch runs" in reload(site, daemon, "configuration_kept")
    site.config.write_text(whole)
    token.write_text("not-the-token\n")
    said = reload(site, daemon, "configuration_kept")
    assert "LAYER_TOKEN or token_file" in said
    (site.drop / "a.png").write_bytes(sample("png", 1, 5000))
    until(lambda: site.statuses() == {"uploaded": 1}, "the old token goes on working")
    assert "not-the-token" not in site.said()
    token.write_text("sandbox-token\n")
    assert "nothing is different" in reload(site, daemon, "configuration_taken")
    assert site.end(daemon) == 0


def test_the_service_manager_is_told(site: Site, tmp_path: Path) -> None:
    manager = Manager(tmp_path / "notify")
    daemon = site.start(**environment(manager))
    until(lambda: manager.count("READY=1") == 1, "READY")
    reload(site, daemon, "configuration_taken")
    until(lambda: manager.count("READY=1") == 2, "READY again")
    assert manager.count("RELOADING=1") == 1
    assert sum(line.startswith("MONOTONIC_USEC=") for line in manager.heard) == 1
    site.config.write_text("")
    reload(site, daemon, "configuration_kept")
    until(lambda: manager.count("READY=1") == 3, "READY after one that was not taken")
    assert any("was not taken" in line for line in manager.heard)
    assert site.end(daemon) == 0
    manager.close()


def test_a_signal_before_it_is_ready_does_not_end_it(site: Site) -> None:
    site.sandbox.faults = Faults(latency_s=1.5)
    daemon = site.start()
    until(lambda: caught(daemon.pid, signal.SIGHUP), "the handler")
    daemon.send_signal(signal.SIGHUP)
    until(lambda: any(each["event"] == "configuration_taken" for each in site.events()), "its turn")
    site.sandbox.faults = Faults()
    assert site.end(daemon) == 0


def caught(pid: int, number: signal.Signals) -> bool:
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt:")]
    return bool(int(line.split()[1], 16) >> (number - 1) & 1)


@pytest.mark.parametrize("nohup", [False, True])
def test_a_terminal_that_is_closed_ends_it_unless_it_was_started_to_outlive_it(site: Site, nohup: bool) -> None:
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover
        signal.signal(signal.SIGHUP, signal.SIG_IGN if nohup else signal.SIG_DFL)  # whatever the tests were run by
        log = os.open(site.log, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        os.dup2(log, 2)
        command = [sys.executable, "-m", "layerwatch", "run", "-c", str(site.config)]
        os.execve(sys.executable, command, site.environment())
    until(lambda: "watching" in site.said(), "the start")
    os.close(terminal)
    if nohup:
        (site.drop / "a.png").write_bytes(sample("png", 1, 5000))
        until(lambda: site.statuses() == {"uploaded": 1}, "it to go on")
        os.kill(pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
