"""`layerwatch push` as hooks call it: real processes, many at once, with and without a daemon."""

import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from layerwatch.ledger import Ledger
from layerwatch.samples import sample
from tests.starts import Process
from tests.system.conftest import Site, until

HEAVY = ("click", "httpx", "pydantic", "rich", "sqlite_utils", "watchdog", "layerwatch.ledger", "layerwatch.config")
TOO_MUCH = ("typing", "re", "enum", "dataclasses", "tomllib", "json", "logging")
MODEL = "3c2f1d00-0000-4000-8000-000000000001"


def rendered(site: Site, name: str | bytes, seed: int = 1) -> str:
    """A file outside of every folder."""
    place = site.home / "rendered"
    path = os.path.join(os.fsencode(place), os.fsencode(name))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as stream:
        stream.write(sample("png", seed, 10 * 1024))
    return os.fsdecode(path)


def pushed(site: Site) -> int:
    return int(site.ask("SELECT count(*) AS n FROM pushed")[0]["n"]) if site.ledger.exists() else 0


def watching(site: Site) -> Process:
    daemon = site.start()
    until(lambda: "watching" in site.said(), "the watch")
    return daemon


# --- by itself --------------------------------------------------------------------------------------------------------


def installed(site: Site, **more: str) -> dict[str, str]:
    """As an installed package runs: its modules are compiled."""
    environment = site.environment(PYTHONPYCACHEPREFIX=str(site.home / "compiled"), **more)
    return {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}


def script(site: Site, *files: str, after: str = "") -> list[str]:
    """What the console script does."""
    arguments = ["layerwatch", "push", "-c", str(site.config), *files]
    code = f"import sys\nfrom layerwatch.__main__ import main\nsys.argv = {arguments!r}\nmain()\n{after}"
    return [sys.executable, "-c", code]


def test_a_plain_push_imports_next_to_nothing(site: Site) -> None:
    Ledger(str(site.ledger)).close()
    names = HEAVY + TOO_MUCH
    command = script(
        site, rendered(site, "a.png"), after=f"print(*[name for name in {names!r} if name in sys.modules])"
    )
    done = subprocess.run(command, capture_output=True, text=True, env=site.environment(), check=True)
    assert done.stdout.split() == []
    assert pushed(site) == 1


def test_a_push_takes_at_most_three_times_as_long_as_a_bare_interpreter(site: Site) -> None:
    Ledger(str(site.ledger)).close()
    commands = {"bare": [sys.executable, "-c", "pass"], "push": script(site, rendered(site, "a.png"))}
    environment, took = installed(site), {name: list[float]() for name in commands}
    for _ in range(16):
        for name, command in commands.items():
            begun = time.perf_counter()
            subprocess.run(command, stderr=subprocess.DEVNULL, env=environment, check=True)
            took[name].append(time.perf_counter() - begun)
    medians = {name: statistics.median(times[1:]) for name, times in took.items()}  # the first one compiles
    print(f"push {medians['push'] * 1000:.1f} ms, python -c pass {medians['bare'] * 1000:.1f} ms")
    assert medians["push"] <= 3 * medians["bare"]
    assert pushed(site) == 16


@pytest.mark.long
def test_fifty_processes_push_a_thousand_files_at_once(site: Site) -> None:
    daemon = watching(site)
    files = [rendered(site, f"{number}.png", number) for number in range(1000)]

    def push_twenty(number: int) -> int:
        twenty = files[number * 20 : number * 20 + 20]
        return sum(site.call("push", *twenty[at : at + 5]).returncode for at in range(0, 20, 5))

    with ThreadPoolExecutor(50) as fifty:
        assert sum(fifty.map(push_twenty, range(50))) == 0
    assert pushed(site) == 1000
    assert {row["path"] for row in site.ask("SELECT path FROM pushed")} == set(files)
    until(lambda: site.statuses() == {"uploaded": 1000}, "all of them", 100)
    assert site.end(daemon) == 0
    assert len(site.sandbox.objects) == 1000


def test_many_that_push_before_there_is_a_ledger_all_record(site: Site) -> None:
    files = [rendered(site, f"{number}.png", number) for number in range(12)]
    with ThreadPoolExecutor(6) as several:
        results = list(several.map(lambda file: site.call("push", file), files))
    assert [result.stderr for result in results if result.returncode] == []
    assert pushed(site) == 12


def test_a_file_that_is_not_there_is_told_and_nothing_is_recorded(site: Site) -> None:
    done = site.call("push", rendered(site, "a.png"), str(site.home / "missing.png"), str(site.home))
    assert done.returncode == 2
    assert "missing.png: no such file" in done.stderr
    assert "a directory" in done.stderr
    assert "nothing was recorded" in done.stderr
    assert pushed(site) == 0


# --- with a daemon ----------------------------------------------------------------------------------------------------


def test_it_is_picked_up_at_once_whatever_folder_it_lies_in(site: Site) -> None:
    daemon = watching(site)
    assert site.call("push", rendered(site, "a.png")).returncode == 0
    begun = time.monotonic()
    until(lambda: site.rows() != [], "the file to be picked up")
    took_s = time.monotonic() - begun
    assert took_s < 2
    until(lambda: site.statuses() == {"uploaded": 1}, "the upload")
    (row,) = site.ask("SELECT folder, path, outside FROM files")
    assert row == {"folder": "pushed", "path": os.path.realpath(site.home / "rendered" / "a.png"), "outside": 0}
    assert site.end(daemon) == 0
    again = site.start()  # and the next run is none the worse for it
    until(lambda: site.said().count("drop: watching") == 2, "the watch")
    assert site.call("status").returncode == 0
    audit = site.call("audit")
    assert audit.returncode == 0
    assert "pushed, and in no folder" in audit.stdout
    assert site.call("show", rendered(site, "a.png")).returncode == 0
    assert site.end(again) == 0


def test_what_its_folder_has_seen_already_and_what_is_pushed_twice_is_one_file(site: Site) -> None:
    daemon = watching(site)
    dropped = site.drop / "a.png"
    dropped.write_bytes(sample("png", 1, 10 * 1024))
    until(lambda: site.statuses() == {"uploaded": 1}, "the upload")
    for _ in range(2):
        assert site.call("push", str(dropped), str(dropped)).returncode == 0
    until(lambda: site.ask("SELECT id FROM pushed WHERE taken_at IS NULL") == [], "all of it to be taken")
    assert pushed(site) == 4
    assert [row["status"] for row in site.rows()] == ["uploaded"]
    assert {row["file"] for row in site.ask("SELECT file FROM pushed")} == {1}
    assert site.end(daemon) == 0
    assert len(site.sandbox.objects) == 1


def test_what_its_folder_would_not_take_is_taken_when_it_is_pushed(site: Site) -> None:
    site.configure(folder='settle = "300ms"\ninclude = ["*.jpg"]')
    daemon = watching(site)
    (site.drop / "a.png").write_bytes(sample("png", 1, 10 * 1024))
    assert site.call("push", str(site.drop / "a.png")).returncode == 0
    until(lambda: site.statuses() == {"uploaded": 1}, "the upload")
    assert site.ask("SELECT folder FROM files") == [{"folder": "drop"}]
    assert site.end(daemon) == 0


def test_one_that_is_not_whole_waits_until_it_is(site: Site) -> None:
    daemon = watching(site)
    path, whole = Path(rendered(site, "a.png")), sample("png", 1, 10 * 1024)
    path.write_bytes(whole[:5000])
    assert site.call("push", str(path)).returncode == 0
    until(lambda: "waits" in site.said(), "word of it")
    assert site.rows() == []
    path.write_bytes(whole)
    until(lambda: site.statuses() == {"uploaded": 1}, "the upload")
    assert site.end(daemon) == 0


def test_what_is_pushed_while_nobody_runs_is_done_at_the_next_start(site: Site) -> None:
    name = b"not \xff utf-8.png"
    path = rendered(site, name)
    for _ in range(2):  # the first makes the ledger, the second takes the short way
        assert site.call("push", path).returncode == 0
    done = site.once()
    assert done.returncode == 0, done.stderr
    assert [os.fsencode(row["path"]) for row in site.rows()] == [os.fsencode(os.path.realpath(path))]
    assert site.statuses() == {"uploaded": 1}


def test_folder_picks_whose_rules_apply(site: Site) -> None:
    rule = f'[[folders.rules]]\nname = "r"\nmatch = "*_beauty.png"\nmodel_id = "{MODEL}"\noutputs = "generated"\n'
    rule += '[folders.rules.parameters]\nprompt = "oil"\n'
    site.configure(folder='settle = "300ms"\nafter_upload = "move"', more=rule)
    first = site.call("push", rendered(site, "a_beauty.png"))  # makes the ledger
    assert first.returncode == 0, first.stderr
    path = rendered(site, "shots/b_beauty.png", 2)
    done = site.call("push", "--folder", "drop", path)
    assert done.returncode == 0, done.stderr
    ended = site.once()
    assert ended.returncode == 0, ended.stderr
    (made,) = site.ask("SELECT folder, status FROM generations")
    assert made == {"folder": "drop", "status": "complete"}, ended.stderr
    results = list((site.drop / "generated").rglob("*b_beauty*.png"))
    assert results, sorted(site.drop.rglob("*"))
    assert Path(path).exists(), "after_upload is for what lies in the folder"
    refused = site.call("push", "--folder", "dorp", path)
    assert refused.returncode == 2
    assert "name one of: drop" in refused.stderr


# --- with --wait ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("running", [True, False])
def test_wait_prints_the_file_ids_whoever_does_the_work(site: Site, *, running: bool) -> None:
    daemon = watching(site) if running else None
    paths = [rendered(site, f"{number}.png", number) for number in range(3)]
    done = site.call("push", "--wait", "--timeout", "60s", *paths)
    assert done.returncode == 0, done.stderr
    told = dict(line.split("\t") for line in done.stdout.splitlines())
    assert told == {row["path"]: row["file_id"] for row in site.rows()}
    assert len(told) == 3
    as_json = site.call("push", "--wait", "--json", paths[0])
    assert json.loads(as_json.stdout)["file_id"] == told[os.path.realpath(paths[0])]
    if daemon:
        assert site.end(daemon) == 0


@pytest.mark.parametrize("running", [True, False])
def test_wait_exits_by_the_outcome(site: Site, *, running: bool) -> None:
    daemon = watching(site) if running else None
    good, bad = rendered(site, "a.png"), Path(rendered(site, "b.png"))
    bad.write_text("text")
    done = site.call("push", "--wait", "--json", good, str(bad))
    assert done.returncode == 1
    told = {Path(each["path"]).name: each for each in map(json.loads, done.stdout.splitlines())}
    assert told["a.png"]["status"] == "uploaded"
    assert told["b.png"]["status"] == "skipped"
    assert told["b.png"]["error_code"] == "unsupported_type"
    assert "b.png: skipped (unsupported_type)" in done.stderr
    if daemon:
        assert site.end(daemon) == 0


def test_without_a_daemon_wait_uploads_nothing_else_and_fires_nothing(site: Site) -> None:
    rule = f'[[folders.rules]]\nname = "r"\nmatch = "*.png"\nmodel_id = "{MODEL}"\n'
    site.configure(folder='settle = "300ms"', more=rule)
    (site.drop / "other.png").write_bytes(sample("png", 7, 10 * 1024))
    assert site.call("push", rendered(site, "later.png", 8)).returncode == 0
    done = site.call("push", "--wait", "--folder", "drop", rendered(site, "a.png"))
    assert done.returncode == 0, done.stderr
    assert site.statuses() == {"uploaded": 1}
    assert site.ask("SELECT * FROM generations") == []
    assert site.once().returncode == 0
    assert site.statuses() == {"uploaded": 3}
    assert len(site.ask("SELECT * FROM generations")) == 2


def test_wait_gives_up_in_time_and_keeps_what_it_recorded(site: Site) -> None:
    path, whole = Path(rendered(site, "a.png")), sample("png", 1, 10 * 1024)
    path.write_bytes(whole[:5000])
    done = site.call("push", "--wait", "--timeout", "1s", str(path))
    assert done.returncode == 1
    assert "1 of 1 not uploaded: the time is over; recorded" in done.stderr
    path.write_bytes(whole)
    assert site.once().returncode == 0
    assert site.statuses() == {"uploaded": 1}
