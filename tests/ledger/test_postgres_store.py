"""A database of a server that cannot be used says why and what to do; what is written there is written whole, once, and
comes back as it was."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress

import psycopg
import pytest

from layerwatch.errors import Code, EnvironmentProblem, LedgerTrouble, TryAgain, UserError
from layerwatch.ledger import Ledger, schema
from layerwatch.ledger.postgres import connecting
from tests.api.servers import unused_port
from tests.postgres import Server

from .builders import T0, arrive, claimed, everything, faulted, raw, record, refusal, version
from .test_migrations import PROMISED

SECRET = "openSesame99"
IS_THERE = "SELECT nspname FROM pg_namespace WHERE nspname = 'layerwatch'"
SHAPE = """
SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
WHERE table_schema = 'layerwatch' UNION ALL
SELECT tablename, indexname, indexdef, NULL, NULL FROM pg_indexes WHERE schemaname = 'layerwatch' ORDER BY 1, 2, 3
"""


@pytest.fixture
def engine() -> str:
    """SQLite has its own: test_store and test_migrations."""
    return "postgresql"


def refused(url: str, *, create: bool = True) -> UserError:
    with pytest.raises(UserError) as caught:
        Ledger(url, create=create)
    (problem,) = caught.value.problems
    assert problem.fix
    assert SECRET not in str(caught.value)
    assert str(psycopg.conninfo.conninfo_to_dict(url)["password"]) not in str(caught.value)
    return caught.value


# --- opening ----------------------------------------------------------------------------------------------------------


def test_a_new_one_has_all_that_was_promised_and_opening_it_again_changes_nothing(database: str) -> None:
    with Ledger(database) as ledger:
        record(ledger, version())
    for table, columns in PROMISED.items():
        assert raw(database, f"SELECT {columns} FROM {table} WHERE 1 = 2") == []
    before = everything(database), raw(database, SHAPE)
    assert raw(database, "SELECT version FROM ledger") == [(schema.VERSION,)]
    Ledger(database, create=False).close()
    assert (everything(database), raw(database, SHAPE)) == before


def test_its_indexes_have_rows_of_one_time_in_the_order_of_their_numbers(path: str) -> None:
    """As those of SQLite have them by themselves."""
    numbered = "SELECT table_name FROM information_schema.columns WHERE table_schema = 'layerwatch'"
    tables = {table for (table,) in raw(path, f"{numbered} AND column_name = 'id'")}
    asked = "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'layerwatch'"
    indexes = [text for table, text in raw(path, asked) if table in tables and "UNIQUE" not in text]
    assert len(indexes) > 15
    assert [text for text in indexes if not text.partition(" WHERE ")[0].endswith(("(id)", ", id)"))] == []


OPEN = """
import sys
from layerwatch.ledger import Ledger
print("ready", flush=True)
sys.stdin.readline()
with Ledger(sys.argv[1]) as ledger:
    ledger.facts.note(sys.argv[2], 1, 0.0)
"""


def test_processes_that_open_a_new_one_at_once_all_get_it(database: str) -> None:
    commands = [[sys.executable, "-c", OPEN, database, str(number)] for number in range(3)]
    processes = [subprocess.Popen(c, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for c in commands]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate()[0] for process in processes] == [""] * 3
    with Ledger(database, create=False) as ledger:
        assert ledger.facts.notes() == {"0": 1, "1": 1, "2": 1}


def test_nothing_is_made_by_who_only_wants_to_read(database: str) -> None:
    assert "there is no ledger in this database yet" in str(refused(database, create=False))
    assert raw(database, IS_THERE) == []


def test_one_of_a_newer_layerwatch_is_left_as_it_is(database: str) -> None:
    with Ledger(database) as ledger:
        record(ledger, version())
        with ledger._store.write() as connection:
            connection.execute("UPDATE ledger SET version = ?", (schema.VERSION + 1,))
    before = everything(database), raw(database, SHAPE)
    error = refused(database)
    assert f"its version is {schema.VERSION + 1}, this one knows {schema.VERSION}" in str(error)
    assert "upgrade layerwatch" in error.problems[0].fix
    assert (everything(database), raw(database, SHAPE)) == before


@pytest.mark.parametrize("breaks", [False, True])
def test_an_older_one_is_brought_to_this_version_or_left_as_it_is(
    database: str, monkeypatch: pytest.MonkeyPatch, breaks: bool
) -> None:
    with Ledger(database) as ledger:
        record(ledger, version())
    before = everything(database), raw(database, SHAPE)
    step = "ALTER TABLE history ADD COLUMN who TEXT;\nCREATE INDEX history_who ON history (who);\n"
    wrong = "CREATE TABLE files (again TEXT);\n" if breaks else ""
    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, step + wrong))
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    if breaks:
        assert "already exists" in str(refused(database))
        assert (everything(database), raw(database, SHAPE)) == before
        return
    with Ledger(database) as ledger:
        record(ledger, version("/drop/b.png", b"b"))
    assert raw(database, "SELECT version FROM ledger") == [(schema.VERSION,)]
    assert raw(database, "SELECT who FROM history") == [(None,)] * 2


@pytest.fixture
def guest(postgres: Server, database: str) -> Iterator[str]:
    """The URL for a user who may connect to the database, and no more."""
    known = psycopg.conninfo.conninfo_to_dict(database)
    with closing(postgres.administer(str(known["dbname"]))) as connection:
        connection.execute(f"CREATE ROLE guest LOGIN PASSWORD '{SECRET}'")
        yield f"postgresql://guest:{SECRET}@{known['host']}:{known['port']}/{known['dbname']}"
        connection.execute("DROP OWNED BY guest")
        connection.execute("DROP ROLE guest")


def test_who_may_not_create_it_is_told_what_to_ask_for_and_that_is_enough(
    postgres: Server, database: str, guest: str
) -> None:
    error = refused(guest)
    assert "permission denied" in str(error)
    assert error.problems[0].fix == "let this user create the schema layerwatch in that database, or create it for them"
    assert raw(database, IS_THERE) == []
    with closing(postgres.administer(str(psycopg.conninfo.conninfo_to_dict(database)["dbname"]))) as connection:
        connection.execute("CREATE SCHEMA layerwatch AUTHORIZATION guest")
    with Ledger(guest) as ledger:
        record(ledger, version())
        assert ledger.reports.queued() == 1


def test_a_wrong_password_a_wrong_name_and_a_server_that_is_away_are_told_without_the_password(
    postgres: Server, database: str
) -> None:
    known = psycopg.conninfo.conninfo_to_dict(database)
    host, name = f"{known['host']}:{known['port']}", known["dbname"]
    for url, reason in (
        (f"postgresql://layerwatch:{SECRET}@{host}/{name}", "password authentication failed"),
        (f"postgresql://layerwatch:{known['password']}@{host}/photos", 'database "photos" does not exist'),
        (f"postgresql://layerwatch:{SECRET}@127.0.0.1:{unused_port()}/{name}", "Connection refused"),
    ):
        error = refused(url)
        assert isinstance(error, EnvironmentProblem)
        assert reason in str(error)
        assert error.problems[0].where == f"postgresql://{url.rpartition('@')[2]}"
        assert "check [ledger] url" in error.problems[0].fix


# --- writing ----------------------------------------------------------------------------------------------------------


def cut(postgres: Server, path: str) -> None:
    """All connections to that database but one's own end."""
    with closing(postgres.administer(str(psycopg.conninfo.conninfo_to_dict(path)["dbname"]))) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'layerwatch'"
        ).fetchall()
    assert (True,) in ended


def test_of_a_connection_that_was_cut_one_write_is_told_and_no_question(ledger: Ledger, postgres: Server) -> None:
    cut(postgres, ledger.path)
    with pytest.raises(LedgerTrouble, match=r"postgresql://127.0.0.1:\d+/\w+ cannot be written"):
        record(ledger, version())
    (recorded,) = record(ledger, version())
    cut(postgres, ledger.path)
    assert ledger.reports.queued() == 1
    assert claimed(ledger).id == recorded.id


def write_and_cut(ledger: Ledger, postgres: Server, first: str, *then: str) -> None:
    with ledger._store.write() as connection:
        connection.execute(first)
        cut(postgres, ledger.path)
        for statement in then:
            connection.execute(statement)


def test_what_is_cut_or_fails_in_the_middle_is_not_written(ledger: Ledger, postgres: Server) -> None:
    before = everything(ledger.path)
    insert = "INSERT INTO notes VALUES ('a', '1', '')"
    with suppress(ZeroDivisionError), ledger._store.write() as connection:
        connection.execute(insert)
        _ = 1 / 0
    for last in (["SELECT 1"], []):  # told by the next statement, or by the commit
        with pytest.raises(LedgerTrouble):
            write_and_cut(ledger, postgres, insert, *last)
    with suppress(ZeroDivisionError), ledger.together():
        record(ledger, version())
        _ = 1 / 0
    assert everything(ledger.path) == before
    assert raw(ledger.path, "SELECT * FROM notes") == []
    record(ledger, version())  # and the next one is not held up by it


def test_others_read_while_one_writes(ledger: Ledger) -> None:
    with ledger._store.write() as connection:
        connection.execute("INSERT INTO notes VALUES ('a', '1', '')")
        assert raw(ledger.path, "SELECT * FROM notes") == []
    assert raw(ledger.path, "SELECT key FROM notes") == [("a",)]


def test_who_waits_too_long_for_another_writer_is_told(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connecting._SETTINGS, "lock_timeout", "50ms")
    with Ledger(path) as ledger, Ledger(path) as other:
        with other._store.write(), pytest.raises(LedgerTrouble, match="lock timeout"):
            record(ledger, version())
        record(ledger, version())


# --- what it is given is what it gives back ---------------------------------------------------------------------------


def test_names_that_are_not_utf8_are_in_the_order_of_their_bytes_and_begin_as_they_begin(ledger: Ledger) -> None:
    """Among all others: SQLite has them after every text, and so has whoever asks for what begins with something."""
    names = ["\udcff\udcfe", "\udcff", "\udcff\n", "\udc80", "a\udcff", "a", "ä", "\x01", "\x01ff", "%s", "\U0001f600"]
    ids = {name: arrive(ledger, f"/drop/{name}.png", name.encode(errors="surrogateescape")) for name in names}
    for prefix in ("", "\udcff", "a", "\x01", "\x01f", "%"):
        found = {each.id for each in ledger.planning.beginning_with("drop", prefix)}
        assert found == {id_ for name, id_ in ids.items() if name.startswith(prefix)}
    for name, id_ in ids.items():
        exactly = ledger.planning.exactly("drop", f"{name}.png", f"/drop/{name}.png")
        assert exactly is not None
        assert (exactly.id, exactly.path) == (id_, f"/drop/{name}.png")
    paths = [path for (path,) in raw(ledger.path, "SELECT path FROM files ORDER BY path")]
    assert [path for path in paths if isinstance(path, str)] == sorted(path for path in paths if isinstance(path, str))
    odd = [path for path in paths if isinstance(path, bytes)]
    assert odd == sorted(odd)
    assert len(odd) == 5


def test_a_version_goes_on_where_one_of_its_odd_name_was_refused(ledger: Ledger) -> None:
    (before,) = record(ledger, refusal("/drop/\udcff.png"))
    (after,) = record(ledger, version("/drop/\udcff.png"))
    assert after.id == before.id


def test_a_message_with_what_no_text_may_have_here_is_kept_without_it(ledger: Ledger) -> None:
    (recorded,) = record(ledger, version())
    faulted(ledger, claimed(ledger), TryAgain(Code.SERVER, "no \0 and \ud83d"))
    row = ledger.reports.file(recorded.id)
    assert row is not None
    assert row.error == ledger.reports.history(recorded.id)[-1].detail == "no \ufffd and \ufffd"
    ledger.facts.note("answer", {"\0": "\ud83d"}, T0)
    assert ledger.facts.notes() == {"answer": {"\0": "\ud83d"}}, "JSON has its own way to write them"
