"""A commit that the server has made and nobody was told of: what it claimed or booked is not left lying, and is neither
uploaded nor paid for twice. Over a real wire, that is cut just then."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from layerwatch import points
from layerwatch.errors import LedgerTrouble
from layerwatch.ledger import FolderState, Ledger
from layerwatch.ledger.postgres import tables
from layerwatch.ledger.postgres.connecting import connect
from layerwatch.pacing import Gate
from layerwatch.sandbox import Faults, Sandbox
from tests import test_pipeline, test_runner
from tests.postgres import Server
from tests.system.conftest import until
from tests.system.cuttable import Cuttable

KIB = 1024


@pytest.fixture
def proxy(postgres: Server) -> Iterator[Cuttable]:
    with Cuttable(postgres.port) as proxy:
        yield proxy


@pytest.fixture
def ledger(proxy: Cuttable, postgres: Server, database: str, tmp_path: Path) -> Iterator[Ledger]:
    (tmp_path / "drop").mkdir()
    with Ledger(database.replace(f":{postgres.port}/", f":{proxy.port}/")) as ledger:
        ledger.facts.folder("drop", str(tmp_path / "drop"), FolderState.WATCHING, 0.0, detail="", mount=None)
        yield ledger


@pytest.fixture
def uploading(ledger: Ledger, tmp_path: Path) -> Iterator[test_pipeline.Bench]:
    with Sandbox() as sandbox:
        made = test_pipeline.Bench(tmp_path / "drop", ledger, sandbox, Gate(threading.Lock()))
        yield made
        made.layer.close()
        made.storage.close()


@pytest.fixture
def paying(ledger: Ledger, tmp_path: Path) -> Iterator[test_runner.Bench]:
    with Sandbox(faults=Faults(slow_s=0.01)) as sandbox:
        made = test_runner.Bench(tmp_path / "drop", ledger, sandbox)
        yield made
        made.layer.close()
        made.storage.close()
        made.assets.close()


def asked(database: str, statement: str) -> list[tuple[object, ...]]:
    with closing(psycopg.connect(database, autocommit=True)) as connection:
        connection.execute("SET search_path = layerwatch")
        return connection.execute(statement.encode()).fetchall()


def test_a_file_that_was_claimed_so_is_given_back_and_uploaded(
    uploading: test_pipeline.Bench, proxy: Cuttable, database: str
) -> None:
    uploading.dropped("a.png", 1)
    pipeline = uploading.pipeline()
    proxy.swallow_a_commit()
    with pytest.raises(LedgerTrouble):
        pipeline.step()
    assert asked(database, "SELECT status FROM files") == [("uploading",)], "the server has it"
    assert pipeline.step()
    assert asked(database, "SELECT status, claim FROM files") == [("uploaded", None)]
    assert len(uploading.sandbox.objects) == 1


def test_the_next_file_that_was_taken_with_the_end_of_one_is_given_back(
    uploading: test_pipeline.Bench, proxy: Cuttable, database: str
) -> None:
    for number in range(2):
        uploading.dropped(f"{number}.png", number)
    pipeline = uploading.pipeline()

    def goes_on() -> bool:
        proxy.swallow_a_commit()
        return True

    pipeline.step(goes_on)
    found = asked(database, "SELECT status FROM files ORDER BY id")
    assert found == [("uploaded",), ("uploading",)], "the server has both"
    assert [notice.event for notice in uploading.told] == ["ledger_trouble", "uploaded"], "the ledger was asked"
    assert pipeline.step()
    assert set(asked(database, "SELECT status, claim FROM files")) == {("uploaded", None)}
    assert len(uploading.sandbox.objects) == 2


def test_a_generation_that_was_claimed_so_is_given_back_and_fired(
    paying: test_runner.Bench, proxy: Cuttable, database: str
) -> None:
    paying.fire("a.png")
    runner = paying.runner()
    proxy.swallow_a_commit()
    with pytest.raises(LedgerTrouble):
        runner.step()
    ((held,),) = asked(database, "SELECT claim IS NOT NULL FROM generations")
    assert held
    assert runner.step()
    assert len(paying.sandbox.generations) == 1
    assert paying.row().status == "running"


def test_a_booking_that_was_made_so_is_taken_back_and_made_anew(
    paying: test_runner.Bench, proxy: Cuttable, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paying.fire("a.png")
    arming = [proxy.swallow_a_commit]
    monkeypatch.setattr(points, "passed", lambda name: arming.pop()() if name == "priced" and arming else None)
    paying.steps()
    events = [event for (event,) in asked(database, "SELECT event FROM history WHERE item = 'generation' ORDER BY id")]
    assert events == ["ready", "submitted", "not_started", "submitted", "accepted", "completed"]
    assert len(paying.sandbox.generations) == 1
    assert not any(notice.event == "generation_unknown" for notice in paying.told)


def test_a_ledger_that_was_made_while_one_waited_to_make_it(postgres: Server) -> None:
    url = postgres.url(postgres.create())
    with closing(connect(url)) as other, other.transaction():
        other.execute("SELECT pg_advisory_xact_lock(%s)", (tables._LOCK,))
        failed: list[BaseException] = []
        thread = threading.Thread(target=_make, args=(url, failed))
        thread.start()
        waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database ="
        mine = "(SELECT oid FROM pg_database WHERE datname = current_database())"
        until(lambda: other.execute(f"{waiting} {mine}".encode()).fetchone(), "somebody who waits")
        tables.migrate(other)
    thread.join()
    assert failed == []


def _make(url: str, failed: list[BaseException]) -> None:
    try:
        Ledger(url).close()
    except BaseException as error:  # noqa: BLE001  told by who waits for the thread
        failed.append(error)
