"""`layerwatch ls`: the ledger's rows, on a terminal and for scripts."""

import csv
import io
import json
import os

import pytest

from layerwatch.cli.ls import table
from layerwatch.cli.situation import situation
from layerwatch.cli.tables import Page
from layerwatch.ledger import Ledger

from .conftest import HOSTILE, Place
from .terminal import Terminal


@pytest.fixture
def _filled(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "shots/a.png")
    place.upload(ledger)
    place.refuse(ledger, "notes.txt")
    place.record(ledger, HOSTILE, b"b")


@pytest.mark.usefixtures("_filled")
def test_rows_come_with_the_latest_change_first(place: Place) -> None:
    queued, skipped, uploaded = place.said("ls").splitlines()
    assert queued.split()[1] == "queued"
    assert skipped.split()[1:3] == ["skipped", "concepts/notes.txt"]
    assert skipped.endswith("unsupported_type: text")
    assert uploaded.split()[1:5] == ["uploaded", "concepts/shots/a.png", "1", "B"]
    assert uploaded.endswith("f1d00000-0000-4000-8000-000000000001")


@pytest.mark.usefixtures("_filled")
def test_json_has_the_ledgers_columns_and_every_name_as_it_is(place: Place) -> None:
    files = place.told("ls")["files"]
    assert [file["status"] for file in files] == ["queued", "skipped", "uploaded"]
    assert files[0]["path"] == os.path.join(place.root, HOSTILE)
    assert files[2]["uploaded_at"].endswith("Z")
    columns = "id folder path size mtime_ns hash content_type status file_id error_code error attempts bytes_sent"
    assert {*columns.split(), "next_attempt_at", "created_at", "updated_at", "uploaded_at"} <= files[0].keys()


@pytest.mark.usefixtures("_filled")
@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        (("--status", "skipped"), [2]),
        (("--folder", "concepts"), [3, 2, 1]),
        (("--folder", "textures"), []),
        (("--limit", "2"), [3, 2]),
        (("--limit", "0"), [3, 2, 1]),
        (("--status", "failed"), []),
    ],
)
def test_what_is_listed_can_be_chosen(place: Place, arguments: tuple[str, ...], ids: list[int]) -> None:
    assert [file["id"] for file in place.told("ls", *arguments)["files"]] == ids


@pytest.mark.usefixtures("_filled")
def test_it_says_so_when_there_is_more(place: Place) -> None:
    result = place.call("ls", "--limit", "2")
    assert len(result.stdout.splitlines()) == 2
    assert "--limit 0 shows all" in result.stderr
    assert "shows all" not in place.call("ls", "--limit", "3").stderr


@pytest.mark.usefixtures("ledger")
def test_an_empty_ledger_is_no_error(place: Place) -> None:
    result = place.call("ls")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no files yet" in result.stderr


@pytest.mark.usefixtures("ledger")
def test_an_unknown_status_or_folder_names_those_that_there_are(place: Place) -> None:
    result = place.call("ls", "--status", "done")
    assert result.exit_code == 2
    assert all(f"'{status}'" in result.stderr for status in ("queued", "uploading", "uploaded", "failed", "skipped"))
    result = place.call("ls", "--folder", "con\x1bcepts")
    assert result.exit_code == 2
    assert "no such folder" in result.stderr
    assert "concepts, textures" in result.stderr
    assert "\x1b" not in result.stderr


@pytest.mark.usefixtures("_filled")
def test_a_folder_that_is_no_longer_configured_can_still_be_listed(place: Place, ledger: Ledger) -> None:
    place.config.write_text(place.config.read_text().replace('"concepts"', '"renamed"'))
    (place.home / "renamed").mkdir()
    ledger.facts.forget_folders_but(["renamed", "textures"])
    assert len(place.told("ls", "--folder", "concepts")["files"]) == 3
    assert str(place.root) in place.said("ls", "--folder", "concepts")


def test_no_ledger_is_told_with_what_to_do(place: Place) -> None:
    result = place.call("ls")
    assert result.exit_code == 2
    assert "there is no ledger yet" in result.stderr
    assert not os.path.exists(place.path)


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_rows_fit_any_terminal_that_is_wide_enough_for_the_short_columns(
    place: Place, ledger: Ledger, width: int
) -> None:
    from rich.cells import cell_len

    place.record(ledger, "x" * 251 + ".png")
    place.record(ledger, "名" * 80 + ".png", b"b")
    place.record(ledger, "e\u0301" * 60 + ".png", b"c")
    with situation(str(place.config)) as now:
        lines = table(Page(width=width), now, ledger.reports.files())
    assert all(cell_len(line) <= max(width, 61) for line in lines)
    assert all(line.split()[2].startswith("con") for line in lines[1:])


@pytest.mark.usefixtures("_filled")
def test_a_terminal_gets_a_head_and_colours_and_lines_that_fit(place: Place) -> None:
    with Terminal(["ls", "-c", str(place.config)]) as terminal:
        assert terminal.end() == 0
    lines = terminal.seen()
    assert lines[0].split()[:3] == ["id", "status", "file"]
    assert len([line for line in lines if line]) == 4
    assert "\x1b[32muploaded" in terminal.text


@pytest.mark.usefixtures("_filled")
@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_where_none_is_wanted(place: Place, environment: dict[str, str]) -> None:
    with Terminal(["ls", "-c", str(place.config)], environment) as terminal:
        assert terminal.end() == 0
    assert "\x1b" not in terminal.text


@pytest.mark.usefixtures("_filled")
def test_a_terminal_that_is_not_utf_8_gets_escapes(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "名.png", b"c")
    with Terminal(["ls", "-c", str(place.config)], {"PYTHONIOENCODING": "latin-1"}) as terminal:
        assert terminal.end() == 0
    assert "\\u540d.png" in terminal.text


@pytest.mark.usefixtures("_filled")
def test_a_terminal_gets_fifty_rows_at_most_and_a_script_all(place: Place, ledger: Ledger) -> None:
    for number in range(60):
        place.record(ledger, f"many/{number}.png", b"%d" % number)
    with Terminal(["ls", "-c", str(place.config)]) as terminal:
        terminal.end()
    assert "only the latest 50 are shown" in terminal.text
    assert len(json.loads(place.call("ls", "--json").stdout)["files"]) == 63


# --- for spreadsheets -------------------------------------------------------------------------------------------------


def sheet(place: Place, *arguments: str) -> list[dict[str, str]]:
    result = place.call("ls", "--csv", *arguments)
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.stdout_bytes.decode(), newline="")))


@pytest.mark.usefixtures("_filled")
def test_csv_has_what_json_has(place: Place) -> None:
    files = place.told("ls")["files"]
    rows = sheet(place)
    assert [row.keys() for row in rows] == [file.keys() for file in files]
    for row, file in zip(rows[1:], files[1:], strict=True):
        assert row == {name: "" if value is None else str(value) for name, value in file.items()}
    # Bytes that are not UTF-8 are escaped as JSON does it, all else is there as it is: line ends, escapes and all.
    assert rows[0]["path"] == files[0]["path"].replace("\udcff", "\\udcff")


@pytest.mark.usefixtures("_filled")
def test_csv_is_as_rfc_4180_has_it(place: Place, ledger: Ledger) -> None:
    place.record(ledger, 'a "quoted", name.png', b"c")
    head, line, *_ = place.call("ls", "--csv", "--status", "queued").stdout_bytes.split(b"\r\n")
    assert head.startswith(b"id,folder,path,size,")
    assert b'/a ""quoted"", name.png",1,' in line


def test_csv_of_generations(place: Place, ledger: Ledger) -> None:
    place.complete(ledger, saved=False)
    (generation,) = place.told("ls", "--generations")["generations"]
    (row,) = sheet(place, "--generations")
    assert json.loads(row["outputs"]) == generation["outputs"]
    assert float(row["price"]) == generation["price"] == 8.0
    assert "SECRET" not in place.call("ls", "--csv", "--generations").output


@pytest.mark.usefixtures("ledger")
def test_csv_of_nothing_is_its_head(place: Place) -> None:
    result = place.call("ls", "--csv")
    assert result.stdout_bytes.startswith(b"id,folder,path,")
    assert result.stdout_bytes.endswith(b"\r\n")
    assert result.stdout_bytes.count(b"\r\n") == 1


def test_a_spreadsheet_executes_nothing_of_it(place: Place, ledger: Ledger) -> None:
    place.refuse(ledger, "a.txt", message='=HYPERLINK("http://evil.example")')
    (row,) = sheet(place)
    assert row["error"] == '\'=HYPERLINK("http://evil.example")'
    assert row["path"] == os.path.join(place.root, "a.txt")


@pytest.mark.usefixtures("_filled")
def test_csv_is_limited_only_when_that_is_asked_for_and_steers_no_terminal(place: Place, ledger: Ledger) -> None:
    for number in range(60):
        place.record(ledger, f"many/{number}.png", b"%d" % number)
    assert len(sheet(place, "--limit", "2")) == 2
    with Terminal(["ls", "--csv", "-c", str(place.config)]) as terminal:
        assert terminal.end() == 0
    assert terminal.text.count("\n") == 1 + 63
    assert "\x1b" not in terminal.text


@pytest.mark.usefixtures("ledger")
def test_csv_or_json(place: Place) -> None:
    assert place.call("ls", "--csv", "--json").exit_code == 2
