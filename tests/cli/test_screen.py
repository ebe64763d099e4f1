"""The screen of a run: log lines, or a live display that hostile names, other loggers and resizing cannot break."""

import io
import json
import logging
import os
import re
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from layerwatch.board import Board, Flight
from layerwatch.cli import bars
from layerwatch.cli.bars import Made, Totals
from layerwatch.cli.live import Known, _Display, live
from layerwatch.cli.region import Region
from layerwatch.cli.screen import screen
from layerwatch.cli.speed import Meter
from layerwatch.cli.tables import clip, shorten
from layerwatch.cli.tally import Tally
from layerwatch.daemon import Ended
from layerwatch.notices import Notice, name_text
from layerwatch.samples import sample
from layerwatch.sandbox import Faults, Sandbox

from .conftest import HOSTILE, Place, harmless
from .terminal import Terminal, seen

URL = "https://storage.example/o?X-Goog-Signature=SECRET"
names = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=255)


class Tty(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before = list(root.handlers), root.level
    for handler in before[0]:
        root.removeHandler(handler)  # `set_up` would close them
    yield
    logging.captureWarnings(False)
    root.handlers[:], root.level = before


def console(columns: int = 80) -> tuple[Console, Tty]:
    stream = Tty()
    return Console(file=stream, force_terminal=True, width=columns, height=24, highlight=False), stream


# --- names ------------------------------------------------------------------------------------------------------------


@given(names, st.integers(1, 300))
def test_a_shortened_text_fits_and_keeps_both_ends(text: str, width: int) -> None:
    for cut in (shorten(text, width), clip(text, width)):
        assert cell_len(cut) <= width or cell_len(text) == 0
        assert cut == text or "…" in cut


@given(names, st.integers(20, 200), st.integers(0, 1 << 40), st.floats(0, 1))
def test_a_bar_is_one_harmless_line_that_fits(name: str, width: int, size: int, share: float) -> None:
    flight = Flight(f"/srv/{name}", "concepts", size, since=0.0, sent=int(size * share))
    line = bars.flight_line(flight, 1e6, width)
    assert line.cell_len <= width
    harmless(line.plain)


@given(names)
def test_an_event_is_never_read_as_markup_nor_cut_where_it_fits(name: str) -> None:
    said = f"concepts/{name_text(name)} failed: [/red] [link=x]y"
    line = bars.event_line("10:00:00", "failed", said, {"folder": "concepts", "path": f"/srv/{name}"}, 9999, bad=True)
    assert line.plain == f"10:00:00 ✗ {said}"


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/"), min_size=60, max_size=250))
def test_a_long_name_is_cut_in_the_middle_so_that_the_line_fits(name: str) -> None:
    facts = {"folder": "concepts", "path": f"/srv/drop/sub/{name}", "file_id": "f1d"}
    said = f"concepts/sub/{name} uploaded, 3.2 MiB in 0.4 s, file_id f1d"
    line = bars.event_line("10:00:00", "uploaded", said, facts, 80, bad=False)
    assert line.cell_len <= 80
    assert line.plain.startswith("10:00:00 ✓ concepts/sub/")
    assert line.plain.endswith(f"{name[-4:]} uploaded, 3.2 MiB in 0.4 s")


# --- bars and rates ---------------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_left_out_the_name_last() -> None:
    flight = Flight("/srv/shot_0001.png", "concepts", 4 << 20, since=0.0, sent=1 << 20)
    wide, middle, narrow = (bars.flight_line(flight, 2e6, width).plain for width in (79, 50, 22))
    assert re.search(r"^shot_0001.png +━+─+ +25% +1.0 MiB of +4.0 MiB +1.9 MiB/s$", wide)
    assert re.search(r"^shot_0001.png +25% +1.0 MiB of +4.0 MiB$", middle)
    assert re.search(r"^shot_0001.png +25%$", narrow)


def test_more_uploads_than_fit_are_counted() -> None:
    flights = {number: Flight(f"/srv/{number}.png", "concepts", 9, since=0.0) for number in range(64)}
    lines = bars.flight_lines(flights, {}, 79, 5)
    assert len(lines) == 6
    assert lines[-1].plain == "and 59 more"


def test_the_line_for_all_of_them() -> None:
    totals = Totals(3, 5 << 20, 1, 2, 2, 7, 1e6)
    all_of_it = "3 uploaded, 5.0 MiB · 1 failed · 2 skipped · 2 in flight · 7 waiting · 976.6 KiB/s"
    assert bars.totals_line(totals, 90).plain == all_of_it
    assert bars.totals_line(totals, 30).plain == all_of_it[:29] + "…"
    assert bars.totals_line(Totals(0, 0, 0, 0, 0, None, None), 79).plain == "0 uploaded, 0 B · nothing in flight"


def test_the_line_for_generations_names_first_what_a_person_has_to_see_to() -> None:
    made = Made(complete=33, failed=1, cancelled=2, unknown=4, held=5, running=6, queued=7, waiting=8, spent=0.1 + 0.2)
    all_of_it = (
        "rules: 4 unknown · 5 held · 1 failed · 2 cancelled · 33 complete · 6 running · 7 queued · 8 waiting"
        " · 0.3 units today"
    )
    wide, narrow = bars.made_line(made, 200), bars.made_line(made, 40)
    assert wide is not None
    assert narrow is not None
    assert (wide.plain, narrow.plain) == (all_of_it, all_of_it[:39] + "…")
    assert bars.made_line(Made(), 79) is None


def test_what_happened_to_a_generation_fits_a_line() -> None:
    facts = {"folder": "demo", "path": "/srv/shot_beauty.png", "remote_id": "1b9ec8b1-5e0c-4d9b-8c43-ffdbe7a7c4b8"}
    said = f"demo/shot_beauty.png generation g1 started, inference {facts['remote_id']}"
    line = bars.event_line("10:00:00", "generation_started", said, facts, 80, bad=False)
    assert line.plain == "10:00:00 • demo/shot_beauty.png generation g1 started, inference"
    said = "demo/shot_beauty.png generation g1 may have been started: no answer"
    line = bars.event_line("10:00:00", "generation_unknown", said, facts, 80, bad=True)
    assert line.plain == f"10:00:00 ? {said}"


def test_rates_are_of_the_last_seconds_and_of_what_was_really_sent() -> None:
    meter, flight = Meter(), Flight("/a", "f", 1000, since=0.0, sent=200, resumed_at=200)
    meter.read({1: flight}, 0.1)
    assert meter.of(1) is None
    for tenth in range(1, 101):
        flight.sent = 200 + tenth
        meter.read({1: flight}, tenth / 10)
    assert meter.of(1) == pytest.approx(10)
    assert meter.total() == pytest.approx(10)
    meter.read({}, 14.0)
    assert meter.of(1) is None
    assert meter.total() == pytest.approx(0, abs=3)


def test_an_upload_that_ends_between_two_looks_counts() -> None:
    meter = Meter()
    meter.read({}, 0.0)
    meter.read({1: Flight("/a", "f", 500, since=0.2, sent=500)}, 0.5)  # as it is told of
    meter.read({1: Flight("/a", "f", 500, since=0.6, sent=0)}, 0.7)  # another attempt: not minus 500
    meter.read({}, 1.0)
    assert meter.total() == pytest.approx(500)


# --- the region at the bottom -----------------------------------------------------------------------------------------


def test_lines_go_above_and_nothing_stays_of_the_region() -> None:
    out, stream = console()
    region = Region(out, {})
    region.draw([Text("bar one"), Text("total")])
    region.above(Text("first"))
    region.draw([Text("bar two"), Text("bar three"), Text("total")])
    region.above(Text("second " * 20))
    wrapped = ["first", ("second " * 11).strip(), ("second " * 9).strip()]
    assert seen(stream.getvalue()) == [*wrapped, "bar two", "bar three", "total", ""]
    region.draw([])
    region.above(Text("third"))
    assert seen(stream.getvalue()) == [*wrapped, "third", ""]


def test_a_terminal_made_narrower_has_broken_the_lines_and_they_go_all_the_same() -> None:
    out, stream = console(80)
    region = Region(out, {})
    region.above(Text("kept"))
    region.draw([Text("x" * 70), Text("total")])
    stream.seek(0)
    stream.truncate()
    out.width = 40
    region.draw([Text("bar")])
    assert stream.getvalue().startswith("\r\x1b[3A\x1b[J")


def test_it_never_hides_the_cursor_nor_leaves_the_terminal_changed() -> None:
    out, stream = console()
    Region(out, {}).draw([Text("bar")])
    assert set(re.findall(r"\x1b\[\?(\d+[hl])", stream.getvalue())) == {"7l", "7h"}
    assert stream.getvalue().endswith("\x1b[?7h")


def test_a_terminal_that_is_gone_does_not_stop_the_work() -> None:
    class Gone(Tty):
        def write(self, _: str) -> int:
            raise OSError(5, "Input/output error")

    region = Region(Console(file=Gone(), force_terminal=True, width=80), {})
    region.draw([Text("bar")])
    region.above(Text("line"))


def test_it_stands_still_while_nothing_happens() -> None:
    out, stream = console()
    board, tally = Board(), Tally()
    display = _Display(board, tally, Region(out, {}), out)
    display.refresh(Known(0))
    drawn = len(stream.getvalue())
    display.refresh(Known(0))
    assert len(stream.getvalue()) == drawn
    board.flights[1] = Flight("/srv/a.png", "concepts", 9, since=0.0)
    display.refresh(Known(0))
    assert "a.png" in "".join(seen(stream.getvalue()))
    board.flights.clear()
    tally.count(Notice("hold", "everything waits", facts={"message": "cannot connect \x1b[5m"}))
    display.refresh(Known(3))
    assert seen(stream.getvalue()) == [
        "everything waits: cannot connect \\x1b[5m",
        "0 uploaded, 0 B · nothing in flight · 3 waiting",
        "",
    ]


def test_generations_have_a_line_as_soon_as_there_are_any() -> None:
    out, stream = console()
    tally = Tally()
    display = _Display(Board(), tally, Region(out, {}), out)
    display.refresh(Known(0))
    assert seen(stream.getvalue()) == ["0 uploaded, 0 B · nothing in flight", ""]
    tally.count(Notice("generation_complete", "", facts={"generation": 1, "price": 2.5}))
    display.refresh(Known(0, Counter(complete=70, running=1, submitting=1, waiting=2, blocked=3), spent=12.5))
    assert seen(stream.getvalue())[1] == "rules: 3 held · 1 complete · 2 running · 2 waiting · 12.5 units today"
    drawn = len(stream.getvalue())
    display.refresh(Known(0, Counter(complete=71, running=2, waiting=2, blocked=3), spent=12.5))
    assert len(stream.getvalue()) == drawn


# --- what is told -----------------------------------------------------------------------------------------------------


def test_on_a_terminal_everything_logged_goes_above_the_display_without_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = Tty()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with screen(Board(), "auto", verbose=False) as shown:
        shown.tell(Notice("skipped", f"concepts/a.png skipped (x): {HOSTILE} [bold]", logging.WARNING))
        logging.getLogger("httpx").warning("sent to %s\x1b[2J", URL)
        logging.getLogger("other").error("no [/red] markup %s", "[link=x]")
        logging.getLogger("other").error("broken %d", "format")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(True)
            warnings.warn("look out", stacklevel=1)
        shown.tell(Notice("queued", "not said unless verbose", logging.DEBUG))
    shown.summary(Ended("SIGTERM", left=2, failed=1))
    lines = "\n".join(seen(stream.getvalue()))
    assert "- concepts/a.png skipped (x): \\x1b[31m[red]b[|]\\x07\n\\u202e\\udcff.png [bold]\n" in lines
    assert "! sent to https://storage.example/o?[redacted]\\x1b[2J" in lines
    assert "! no [/red] markup [link=x]" in lines
    assert "look out" in lines
    assert "not said" not in lines
    assert "SECRET" not in lines
    assert "■ SIGTERM: 0 uploaded (0 B), 1 skipped, 1 failed, 2 left in the queue" in lines


def test_a_generation_stands_still_until_it_is_heard_of_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)

    def tell(event: str, **facts: object) -> None:
        shown.tell(Notice(f"generation_{event}", event, facts=facts))

    with screen(Board(), "human", verbose=False) as shown:
        for number in (1, 2, 3):
            tell("waits", generation=number)
        tell("unknown", generations=[4, 5])
        tell("queued", generation=1)
        tell("held", generation=2)
        tell("failed", generation=3)
        tell("complete", generation=4, price=2.5)
        tell("complete", generation=1, price=None)
    ended = Ended("", left=0, failed=2, reason="done")
    assert shown.tally(ended)["generations"] == {
        "complete": 2, "failed": 1, "cancelled": 0, "waiting": 0, "held": 1, "unknown": 1
    }  # fmt: skip
    assert shown.tally(ended)["creative_units"] == 2.5
    shown.summary(ended)
    last = stream.getvalue().splitlines()[-1].partition(" ")[2]
    assert last == (
        "done: 0 uploaded (0 B), 0 skipped, 0 failed, 0 left in the queue;"
        " generations: 2 complete, 1 failed, 1 held, 1 unknown, 2.5 Creative Units"
    )


@pytest.mark.parametrize(
    ("style", "term", "tty"), [("auto", "dumb", True), ("human", "xterm", True), ("auto", "xterm", False)]
)
def test_elsewhere_it_is_log_lines(style: str, term: str, tty: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Tty() if tty else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", term)
    with screen(Board(), style, verbose=False) as shown:
        shown.tell(Notice("uploaded", "concepts/a.png uploaded", facts={"size": 7}))
    shown.summary(Ended("", left=0, failed=0, reason="done"))
    first, last = stream.getvalue().splitlines()
    if tty:
        assert re.fullmatch(r"\d\d:\d\d:\d\d concepts/a.png uploaded", first)
    else:
        assert json.loads(first)["event"] == "uploaded"
        assert json.loads(last) | {"at": ""} == json.loads(last) | {
            "at": "",
            "uploaded": 1,
            "bytes": 7,
            "reason": "done",
        }
    assert "\x1b" not in stream.getvalue()


def test_the_display_goes_whatever_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Tty()
    monkeypatch.setattr(sys, "stderr", stream)
    board = Board({1: Flight("/srv/a.png", "concepts", 9, since=0.0)})
    with pytest.raises(RuntimeError), live(board, Tally(), verbose=False, ledger=None):
        raise RuntimeError
    assert "".join(seen(stream.getvalue())) == ""


# --- the real thing ---------------------------------------------------------------------------------------------------


@pytest.fixture
def slow_sandbox() -> Iterator[Sandbox]:
    with Sandbox(faults=Faults(bandwidth=400_000)) as sandbox:
        yield sandbox


def environment(place: Place, sandbox: Sandbox, **more: str) -> dict[str, str]:
    return {
        "LAYER_TOKEN": sandbox.token,
        "LAYER_WORKSPACE_ID": sandbox.workspace_id,
        "LAYERWATCH_API__BASE_URL": sandbox.base_url,
        "HOME": str(place.home),
        **more,
    }


def filled(place: Place) -> None:
    place.configure('settle = "100ms"', 'chunk_size = "256KiB"')
    place.write("big [red] [bold].png", sample("png", 1, 1_500_000))
    place.write(HOSTILE, sample("png", 2))
    place.write("n" * 251 + ".png", sample("png", 3))
    place.write("notes.txt", b"text")


def test_a_run_on_a_terminal(place: Place, slow_sandbox: Sandbox) -> None:
    filled(place)
    with Terminal(["run", "-c", str(place.config)], environment(place, slow_sandbox)) as terminal:
        terminal.wait_for("━", "in flight", "KiB/s")
        terminal.resize(100, 30)
        terminal.wait_for("[bold].png uploaded", "3 uploaded")
        os.kill(terminal.process.pid, signal.SIGINT)
        assert terminal.end() == 0
        assert terminal.settings_now() == terminal.settings
    said = "\n".join(terminal.seen(100))
    assert re.search(r"✓ con.*udcff.png uploaded", said)
    assert "- concepts/notes.txt skipped (unsupported_type)" in said
    assert "■ SIGINT: 3 uploaded (1.4 MiB), 1 skipped, 0 failed, 0 left in the queue" in said
    assert "in flight" not in said
    assert "\x1b[?25l" not in terminal.text


def test_being_killed_leaves_the_terminal_as_it_was(place: Place, slow_sandbox: Sandbox) -> None:
    filled(place)
    slow_sandbox.faults = Faults(bandwidth=20_000)
    with Terminal(["run", "-c", str(place.config)], environment(place, slow_sandbox)) as terminal:
        terminal.wait_for("in flight")
        os.kill(terminal.process.pid, signal.SIGKILL)
        assert terminal.end() == -signal.SIGKILL
        assert terminal.settings_now() == terminal.settings
    assert terminal.text.endswith(("\x1b[?7h", "\n"))


def test_no_colour_and_dumb_terminals(place: Place, slow_sandbox: Sandbox) -> None:
    filled(place)
    slow_sandbox.faults = Faults()
    plain = environment(place, slow_sandbox, NO_COLOR="1")
    with Terminal(["run", "--once", "-c", str(place.config)], plain) as terminal:
        assert terminal.end() == 0
    assert re.findall(r"\x1b\[[0-9;]*3[0-9][0-9;]*m", terminal.text) == []
    assert "✓" in terminal.text
    Path(place.path).unlink()
    with Terminal(["run", "--once", "-c", str(place.config)], plain | {"TERM": "dumb"}) as terminal:
        assert terminal.end() == 0
    assert "\x1b" not in terminal.text
    assert "done: 3 uploaded" in terminal.text


def test_a_run_with_a_rule_tells_what_it_makes_and_spends(place: Place, slow_sandbox: Sandbox) -> None:
    slow_sandbox.faults = Faults(slow_s=2.0)
    model = "10000000-0000-4000-8000-000000000001"
    rule = f'''
[[folders.rules]]
name = "restyle"
match = "*.png"
model_id = "{model}"
outputs = "generated"
[folders.rules.parameters]
prompt = "oil painting"
batch_size = 1
'''
    place.configure(f'settle = "100ms"\n{rule}')
    place.write("a.png", sample("png", 1))
    with Terminal(["run", "--once", "-c", str(place.config)], environment(place, slow_sandbox)) as terminal:
        terminal.wait_for("rules: 1 running · 2.5 units today")
        assert terminal.end() == 0
    said = "\n".join(terminal.seen())
    assert "• concepts/a.png generation g1 started, inference\n" in said
    assert "✓ concepts/a.png generation g1 complete, 1 result, 2.5 Creative Units" in said
    assert "generations: 1 complete, 2.5 Creative Units" in said.replace("\n", " ")
    assert "units today" not in said
