"""Every command on a ledger that is a PostgreSQL database: it answers as on a disk, and no password is ever said."""

import json
import os
import re
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from layerwatch.cli import COMMANDS
from layerwatch.ledger import Ledger, seconds
from tests.starts import Start, to_its_end

from .conftest import WORKSPACE, Place

if TYPE_CHECKING:
    from tests.postgres import Server

SECRET = "tell/tale:Passw%rd#42"
SEEN = """INSERT INTO layerwatch.hosts (instance, name, pid, version, backend, watches, lease_s, seen_at)
VALUES (%s, %s, 4711, %s, 0, %s, 600, clock_timestamp() - make_interval(secs => %s))"""


class There(Place):
    """The same two folders, and the ledger in a database."""

    def __init__(self, home: Path, url: str) -> None:
        self.url = url
        super().__init__(home)
        self.path = url

    def configure(self, concepts: str = "", upload: str = "", budget: str = "") -> None:
        super().configure(concepts, upload, budget)
        text = self.config.read_text().replace('path = "state/ledger.db"', f'url = "{self.url}"', 1)
        self.config.write_text(text)

    def seen(self, name: str, *, silent_s: float = 0.0, version: str = "1.2.3", watches: str = '["concepts"]') -> None:
        with closing(psycopg.connect(self.url, autocommit=True)) as connection:
            connection.execute(SEEN, (os.urandom(8).hex(), name, version, watches, silent_s))


@pytest.fixture
def place(tmp_path: Path, database: str) -> There:
    there = There(tmp_path.resolve(), database)
    with there.open() as ledger:
        there.watched(ledger)
        there.complete(ledger, "a.png")
        there.record(ledger, "b\udcff.png", b"b")
    return there


# --- what they answer -------------------------------------------------------------------------------------------------


def test_status_names_the_hosts_and_asks_no_disk(place: There) -> None:
    told = place.told("status")
    assert (told["daemon"]["running"], told["hosts"], told["free_bytes"]) == (False, [], None)
    assert "not running" in place.said("status")
    place.seen("render-1")
    place.seen("render-2", silent_s=700, watches="[]")
    told = place.told("status")
    assert told["daemon"]["running"]
    assert [(host["name"], host["alive"], host["watches"], host["version"]) for host in told["hosts"]] == [
        ("render-1", True, ["concepts"], "1.2.3"),
        ("render-2", False, [], "1.2.3"),
    ]
    said = place.said("status")
    assert "running on render-1\n" in said
    alive, dead = (line for line in said.splitlines() if "process 4711" in line)
    assert ("alive" in alive, "dead" in dead) == (True, True)
    assert "watches concepts" in said
    assert "watches no folder" in said


def test_status_says_who_was_told_to_wait_and_until_when(place: There) -> None:
    place.seen("render-1")
    place.seen("render-2")
    assert place.told("status")["hold"] is None
    with closing(psycopg.connect(place.url, autocommit=True)) as connection:
        for name, message, left in (("render-1", "slow down", 90), ("render-2", "long ago", -5)):
            held = "UPDATE layerwatch.hosts SET hold_message = %s, hold_until = now() + make_interval(secs => %s)"
            connection.execute(f"{held} WHERE name = %s".encode(), (message, left, name))
    told = place.told("status")
    assert {**told["hold"], "until": ""} == {
        "code": "rate_limited", "message": "slow down", "host": "render-1", "until": ""
    }  # fmt: skip
    assert [(host["hold_message"], host["hold_until"]) for host in told["hosts"]] == [
        ("slow down", told["hold"]["until"]), (None, None)
    ]  # fmt: skip
    assert 0 < seconds(told["hold"]["until"]) - time.time() < 100
    assert re.search(r"everything waits until \S+, in \d.*: render-1 was told: slow down", place.said("status"))


def test_on_a_disk_there_are_no_hosts(tmp_path: Path) -> None:
    place = Place(tmp_path.resolve())
    place.open().close()
    told = place.told("status")
    assert told["hosts"] == []
    assert told["free_bytes"] > 0


def test_plan_works_on_a_copy(place: There) -> None:
    with place.open() as ledger:
        before = [ledger.reports.files(), ledger.stories.some(), ledger.reports.candidates()]
        told = place.told("plan", "--offline")
        assert [ledger.reports.files(), ledger.stories.some(), ledger.reports.candidates()] == before
    assert [upload["path"] for folder in told["folders"] for upload in folder["uploads"]] == [
        os.path.join(place.root, "b\udcff.png")
    ]
    assert told["ledger"] == f"postgresql://{place.url.rpartition('@')[2]}"


def test_plan_needs_no_ledger(tmp_path: Path, database: str) -> None:
    assert There(tmp_path.resolve(), database).told("plan", "--offline")["daemon"] is None
    with closing(psycopg.connect(database)) as connection:
        assert connection.execute("SELECT to_regnamespace('layerwatch')").fetchone() == (None,)


def test_a_push_is_recorded_and_waits_for_a_host_that_is_alive(place: There) -> None:
    file = place.write("c.png")
    assert place.told("push", file)["pushed"][0]["path"] == file
    place.seen("render-1")
    waited = place.call("push", "--wait", "--timeout", "300ms", file)
    assert waited.exit_code == 1
    assert "the time is over" in waited.stderr
    with place.open() as ledger:
        assert len(ledger.outstanding.pushes(file)) == 2


def test_completion_knows_what_is_in_it(place: There) -> None:
    words = {"COMP_WORDS": f"layerwatch show -c {place.config} g", "COMP_CWORD": "4"}
    about = {**words, "_LAYERWATCH_COMPLETE": "zsh_complete", "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    done = subprocess.run([sys.executable, "-m", "layerwatch"], env=about, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1] == "g1"


def test_the_short_way_of_push_leaves_it_to_the_whole_command_line(place: There, monkeypatch: Any) -> None:
    from layerwatch import push

    file = place.write("c.png")
    assert push.main(["-c", str(place.config), file]) is False
    (place.home / "other").mkdir()
    disk = Place(place.home / "other")
    disk.open().close()
    assert push.main(["-c", str(disk.config), file]) is True
    monkeypatch.setenv("LAYERWATCH_LEDGER__URL", place.url)
    assert push.main(["-c", str(disk.config), file]) is False


def test_without_what_speaks_to_it_it_is_said_what_to_install(place: There) -> None:
    code = "import sys; sys.modules['psycopg'] = None; from layerwatch.cli import main; main()"
    for command in ("status", "plan", "check", "run"):
        more = ["--offline"] if command in ("plan", "check") else []
        done = subprocess.run(
            [sys.executable, "-c", code, command, "-c", str(place.config), *more],
            env=os.environ | {"LAYER_TOKEN": "lone-token", "LAYER_WORKSPACE_ID": WORKSPACE},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 2, command
        assert "layerwatch[postgres]" in done.stdout + done.stderr, command
        assert "Traceback" not in done.stderr, command


# --- what they do not say ---------------------------------------------------------------------------------------------


@pytest.fixture
def telling(tmp_path: Path, postgres: "Server", database: str) -> There:
    """With a password that would be known again, in whatever spelling."""
    name = database.rpartition("/")[2]
    with closing(postgres.administer(name)) as connection:
        connection.execute("DROP ROLE IF EXISTS teller")
        connection.execute(sql.SQL("CREATE ROLE teller LOGIN PASSWORD {}").format(sql.Literal(SECRET)))
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO teller").format(sql.Identifier(name)))
    return There(tmp_path.resolve(), f"postgresql://teller:{quote(SECRET, safe='')}@127.0.0.1:{postgres.port}/{name}")


def arguments(place: There) -> dict[str, list[str]]:
    back = str(place.home / f"back-{time.monotonic_ns()}.db")
    more = {"push": [place.write("c.png")], "show": ["1"], "retry": ["--all-failed"], "resolve": ["g1", "--drop"]}
    plan = {"plan": ["--offline"], "check": ["--offline"], "ledger": ["migrate", "--to", back]}
    return {name: {**more, **plan}.get(name, []) for name in COMMANDS if name not in ("init", "demo", "sandbox", "run")}


def said(started: Start, place: There, name: str, words: list[str]) -> str:
    """All that a command says, as a process of its own, by itself and for a script."""
    config = [] if name == "completion" else ["-c", str(place.config)]
    line = [name, "bash"] if name == "completion" else [name, *words[:1], *config, *words[1:]]
    environment = {**os.environ, "LAYER_TOKEN": "token", "LAYERWATCH_API__BASE_URL": "http://127.0.0.1:9/api"}
    environment["PYTHONWARNINGS"] = "error"
    text = ""
    for as_json in ([], ["--json"]) if name not in ("completion", "ledger") else ([],):
        done = to_its_end(started, [*line, *as_json], environment, timeout_s=100)
        text += done.stdout + done.stderr
    return text


def leaks(text: str) -> bool:
    return any(each in text for each in (SECRET, quote(SECRET, safe=""), json.dumps(SECRET)[1:-1], "Passw"))


def test_no_command_says_the_password(telling: There, started: Start) -> None:
    with telling.open() as ledger:
        telling.watched(ledger)
        telling.complete(ledger, "a.png")
    for name, words in arguments(telling).items():
        text = said(started, telling, name, words)
        assert text, name
        assert not leaks(text), name
    assert telling.url.rpartition("@")[2] in said(started, telling, "check", ["--offline"])


@pytest.mark.parametrize("name", ["status", "check", "push", "ledger"])
def test_nor_why_the_server_cannot_be_used(name: str, telling: There, started: Start) -> None:
    good = telling.url
    for url in (
        good.replace("teller:", "teller:x"),
        good.replace(f":{good.rpartition(':')[2].partition('/')[0]}/", ":9/"),
        f"{good}?sslmode={quote(SECRET, safe='')}",
        good.replace("%23", "#"),
        good.replace("teller:", "teller:%zz"),
    ):
        telling.url = url
        telling.configure()
        text = said(started, telling, name, arguments(telling)[name])
        assert text, url
        assert not leaks(text), url


def test_a_url_and_a_path_are_one_too_many(place: There) -> None:
    place.config.write_text(place.config.read_text().replace("[ledger]\n", '[ledger]\npath = "x.db"\n', 1))
    result = place.call("status")
    assert result.exit_code == 2
    assert "ledger.url" in result.stderr
    assert "take one of them away" in result.stderr


def test_the_ledger_says_who_is_there(place: There) -> None:
    with Ledger(place.url, create=False) as ledger:
        assert ledger.hosts() == []
        assert ledger.holder() is None
        place.seen("render-1", silent_s=700)
        assert [host.alive for host in ledger.hosts()] == [False]
        assert ledger.holder() is None
        place.seen("render-1")
        assert ledger.holder() == 4711
