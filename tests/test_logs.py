"""Lines for people, machines and the journal, from every library, without secrets, and not too many of them."""

import io
import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layerwatch import logs, redact
from layerwatch.logs.limit import ENDED, LEFT_OUT, NEWS, TOLD_EVERY_S, TROUBLE, Allowance, Limit
from layerwatch.notices import Notice

URL = "https://storage.googleapis.com/b/o.png?X-Goog-Signature=0123456789abcdef"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in ("layerwatch", "httpx")}
    # `set_up` closes those that it finds.
    for handler in handlers:
        root.removeHandler(handler)
    yield
    for handler in list(root.handlers):
        root.removeHandler(handler)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def lines(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def test_a_machine_gets_the_event_and_its_facts_on_one_line() -> None:
    logs.set_up("json", stream=(stream := io.StringIO()))
    logs.tell(Notice("uploaded", "concepts/a.png uploaded", facts={"file": 7, "path": "/drop/a.png"}))
    (line,) = (json.loads(text) for text in lines(stream))
    at = line.pop("at")
    assert at.endswith("Z")
    assert at[10] == "T"
    assert line == {
        "level": "info",
        "event": "uploaded",
        "message": "concepts/a.png uploaded",
        "file": 7,
        "path": "/drop/a.png",
    }


def test_a_person_gets_the_time_and_the_text_and_a_level_only_if_it_is_worth_it() -> None:
    logs.set_up("human", stream=(stream := io.StringIO()))
    logs.tell(Notice("uploaded", "100% uploaded"))
    logs.tell(Notice("failed", "a.png failed", logging.ERROR))
    one, two = lines(stream)
    assert one[2] == one[5] == ":"
    assert one[8:] == " 100% uploaded"
    assert two[8:] == " error: a.png failed"


@pytest.mark.parametrize(("stream", "is_json"), [(io.StringIO(), True), (Terminal(), False)])
def test_auto_asks_the_stream(stream: io.StringIO, is_json: bool) -> None:
    logs.set_up(stream=stream)
    logs.tell(Notice("started", "hello"))
    assert stream.getvalue().startswith("{") is is_json


def test_details_are_said_only_when_asked_for() -> None:
    for verbose in (False, True):
        logs.set_up("human", verbose=verbose, stream=(stream := io.StringIO()))
        logs.tell(Notice("queued", "detail", logging.DEBUG))
        logging.getLogger("httpx").info("HTTP Request: POST https://hooks.example/a-secret-in-its-path")
        logging.getLogger("watchdog.observers").info("noise")
        assert len(lines(stream)) == (1 if verbose else 0)


def test_other_libraries_warnings_are_logged_under_their_name() -> None:
    logs.set_up("json", stream=(stream := io.StringIO()))
    logging.getLogger("watchdog.observers").warning("queue %s", "full")
    assert json.loads(stream.getvalue()) | {"at": ""} == {
        "at": "",
        "level": "warning",
        "event": "watchdog.observers",
        "message": "queue full",
    }


@pytest.mark.parametrize("style", ["human", "json"])
def test_secrets_are_taken_out_of_messages_arguments_facts_and_tracebacks(style: str) -> None:
    logs.set_up(style, verbose=True, stream=(stream := io.StringIO()))
    redact.register("lyr_secret_token_0123")
    try:
        logging.getLogger("httpx").info("HTTP Request: PUT %s", URL)
        logs.tell(Notice("failed", f"lyr_secret_token_0123 {URL}", logging.ERROR, {"url": URL, "all": [URL]}))
        try:
            int(f"no answer from {URL} with lyr_secret_token_0123")
        except ValueError:
            logging.getLogger("other").exception("it broke")
    finally:
        redact._tokens.discard("lyr_secret_token_0123")
    said = stream.getvalue()
    assert "0123" not in said
    assert ": 'no answer from https://storage.googleapis.com/b/o.png?[redacted] with [redacted]'" in said
    if style == "json":
        assert all(json.loads(line) for line in lines(stream))


pieces = st.lists(
    st.sampled_from((URL, f'"{URL}"', f"'{URL}'", "Bearer abcdef", '"upload_id": "s"', "\\", '"', "\n", "é", "\udcff"))
    | st.text(max_size=5),
    max_size=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces, pieces)
def test_whatever_is_said_each_line_is_json_and_no_more_than_one(text: list[str], fact: list[str]) -> None:
    logs.set_up("json", stream=(stream := io.StringIO()))
    logs.tell(Notice("event", "".join(text), facts={"fact": "".join(fact), "list": fact, "object": Exception(*fact)}))
    (line,) = lines(stream)
    assert json.loads(line)["event"] == "event"
    assert "0123456789abcdef" not in line


# --- the journal ------------------------------------------------------------------------------------------------------

LEVELS = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
SAY_ALL = f"""
import logging
from layerwatch import logs
from layerwatch.notices import Notice
logs.set_up(STYLE, verbose=True)
for level in {list(LEVELS)}:
    logs.tell(Notice("event", "first\\n<0>second", level))
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("other").exception("it broke")
"""


def said_to(stderr: socket.socket, style: str, journal: str) -> None:
    environment = os.environ | {"JOURNAL_STREAM": journal}
    command = [sys.executable, "-c", SAY_ALL.replace("STYLE", repr(style))]
    subprocess.run(command, stderr=stderr.fileno(), env=environment, check=True)
    stderr.close()


def named(stream: socket.socket) -> str:
    """As systemd names what it has connected to the journal."""
    seen = os.fstat(stream.fileno())
    return f"{seen.st_dev}:{seen.st_ino}"


@pytest.fixture
def journal() -> Iterator[tuple[socket.socket, socket.socket]]:
    """What systemd gives a service for stderr, and the journal's end of it."""
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_the_journal_gets_a_priority_in_front_of_json(journal: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = journal
    said_to(theirs, "auto", named(theirs))
    *events, broken = ours.makefile().read().splitlines()
    assert [line[:4] for line in events] == [f"<{number}>{{" for number in LEVELS.values()]
    assert all(json.loads(line[3:])["message"] == "first\n<0>second" for line in events)
    assert broken.startswith("<3>")
    assert "ZeroDivisionError" in json.loads(broken[3:])["message"]


def test_the_journal_gets_a_priority_in_front_of_every_line_for_people(
    journal: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = journal
    said_to(theirs, "human", named(theirs))
    lines = ours.makefile().read().splitlines()
    assert [line[:3] for line in lines[:10]] == [f"<{number}>" for number in LEVELS.values() for _ in "12"]
    assert lines[1] == "<7><0>second"
    assert len(lines) > 12
    assert all(re.match("<3>.", line) for line in lines[10:]), "the traceback"


@pytest.mark.parametrize("style", ["json", "human"])
def test_what_goes_elsewhere_in_a_service_has_no_priority(
    style: str, journal: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = journal
    said_to(theirs, style, named(ours))
    lines = ours.makefile().read().splitlines()
    assert len(lines) > 5
    assert not any(re.match("<[2-7]>", line) for line in lines)


# --- the limit --------------------------------------------------------------------------------------------------------

T0 = 1_800_000_000.0
Line = tuple[str, int, float]


def record(event: str, level: int, at: float) -> logging.LogRecord:
    facts = {"event": event, "facts": {}} if not event.startswith("lib.") else {}
    about = {"name": event, "levelno": level, "levelname": logging.getLevelName(level), "msg": "x", "created": at}
    return logging.makeLogRecord(about | facts)


def name(said: logging.LogRecord) -> str:
    return str(getattr(said, "event", said.name))


def facts(said: logging.LogRecord) -> dict[str, object]:
    found: dict[str, object] = getattr(said, "facts", {})
    return found


def through(limit: Limit, lines: list[Line]) -> list[logging.LogRecord]:
    return [said for line in lines for said in limit.admit(record(*line))]


@pytest.mark.parametrize(
    ("level", "allowance"), [(logging.ERROR, TROUBLE), (logging.INFO, NEWS), (logging.DEBUG, NEWS)]
)
@pytest.mark.parametrize("event", ["failed", "lib.watchdog"])
def test_a_storm_gets_through_up_to_the_burst_and_then_at_the_rate(
    event: str, level: int, allowance: Allowance
) -> None:
    limit = Limit()
    said = through(limit, [(event, level, T0)] * (allowance.burst + 500))
    assert [name(each) for each in said] == [event] * allowance.burst + [LEFT_OUT]
    assert facts(said[-1])["lines"] == 1
    assert said[-1].levelno == level
    later = T0 + 100
    said = through(limit, [(event, level, later)] * 5000)
    gained = int(100 * allowance.per_s)
    assert Counter(map(name, said)) == {event: gained, LEFT_OUT: 1}
    assert facts(said[0]) == {"of": event, "lines": 499, "since": "2027-01-15T08:00:00.000Z"}


def test_one_storm_takes_nothing_from_other_events_nor_from_other_levels() -> None:
    limit = Limit()
    storm: list[Line] = [("skipped", logging.DEBUG, T0)] * (NEWS.burst + 1)
    assert len(through(limit, storm)) == NEWS.burst + 1
    others: list[Line] = [("connected", logging.INFO, T0), ("skipped", logging.WARNING, T0)]
    assert [name(each) for each in through(limit, others)] == ["connected", "skipped"]


def test_what_is_critical_is_always_said() -> None:
    assert len(through(Limit(), [("thread_died", logging.CRITICAL, T0)] * 9999)) == 9999


def test_the_last_line_of_a_run_stays_the_last() -> None:
    limit = Limit()
    through(limit, [("failed", logging.ERROR, T0)] * (TROUBLE.burst + 8))
    said = through(limit, [(ENDED, logging.INFO, T0 + 1)])
    assert [(name(each), facts(each).get("lines")) for each in said] == [(LEFT_OUT, 7), (ENDED, None)]
    assert list(limit.rest()) == []


def test_it_says_where_to_look_for_what_was_left_out() -> None:
    limit = Limit()
    of_ours = through(limit, [("generation_failed", logging.ERROR, T0)] * (TROUBLE.burst + 1))[-1].getMessage()
    assert of_ours.startswith('too many lines "generation_failed": 1 line was left out since 20')
    assert of_ours.endswith("the ledger has all: see `layerwatch ls --generations --status failed`")
    of_others = through(limit, [("lib.watchdog", logging.ERROR, T0)] * (TROUBLE.burst + 1))[-1].getMessage()
    assert "ledger" not in of_others


FEW, FEWER = Allowance(20, 2.0), Allowance(10, 0.5)
storms = st.lists(
    st.tuples(
        st.sampled_from(("failed", "lib.httpx")),
        st.sampled_from((logging.INFO, logging.ERROR)),
        st.integers(1, 50),
        st.floats(-0.001, 90.0),  # threads overtake each other between making a record and getting the lock
    ),
    max_size=12,
)


@given(storms)
def test_every_line_is_said_or_counted_and_never_more_than_allowed(storm: list[tuple[str, int, int, float]]) -> None:
    limit, at = Limit(FEW, FEWER), T0
    asked, said = Counter[tuple[str, int]](), list[logging.LogRecord]()
    for event, level, count, pause_s in storm:
        at += pause_s
        asked[event, level] += count
        said += through(limit, [(event, level, at)] * count)
    told, rest = [each for each in said if name(each) == LEFT_OUT], list(limit.rest())
    for (event, level), count in asked.items():
        whole = sum(name(each) == event and each.levelno == level for each in said)
        left_out = [each for each in (*told, *rest) if (facts(each)["of"], each.levelno) == (event, level)]
        assert whole + sum(int(str(facts(each)["lines"])) for each in left_out) == count
        allowance = FEW if level == logging.INFO else FEWER
        assert whole <= allowance.burst + (at - T0 + 0.02) * allowance.per_s
        times = [each.created for each in told if (facts(each)["of"], each.levelno) == (event, level)]
        assert all(later - earlier >= TOLD_EVERY_S for earlier, later in pairwise(times))


def test_a_clock_that_jumps_neither_opens_the_gates_nor_silences_the_count() -> None:
    limit = Limit()
    through(limit, [("failed", logging.ERROR, T0)] * (TROUBLE.burst + 2))
    for _ in range(5):
        said = through(limit, [("failed", logging.ERROR, T0 - 3600), ("failed", logging.ERROR, T0 - 3600)])
        assert [name(each) for each in said if name(each) != LEFT_OUT] == []
    assert LEFT_OUT in map(name, through(limit, [("failed", logging.ERROR, T0 - 3600 + 61)]))


def test_many_threads_at_once_lose_and_repeat_nothing_and_the_end_tells_the_rest() -> None:
    logs.set_up("json", stream=(stream := io.StringIO()))

    def storm() -> None:
        for _ in range(1000):
            logging.getLogger("lib.httpx").error("no answer")
            logs.tell(Notice("failed", "a.png failed", logging.ERROR, {"file": 7}))

    threads = [threading.Thread(target=storm) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logs.set_up("json", stream=io.StringIO())  # closes what was set up before, as the end of the process does
    said = [json.loads(line) for line in lines(stream)]
    counted = Counter(each["event"] for each in said)
    for event in ("lib.httpx", "failed"):
        left_out = sum(each["lines"] for each in said if each.get("of") == event)
        assert counted[event] + left_out == 4000
        assert left_out > 0
    assert counted[LEFT_OUT] >= 4


def test_a_screen_that_shows_the_lines_itself_is_spared_the_storm_as_well() -> None:
    class Screen(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            shown.append(record)

    shown: list[logging.LogRecord] = []
    logs.set_up(handler=Screen())
    for _ in range(TROUBLE.burst + 50):
        logging.getLogger("lib.httpx").warning("no answer")
    assert len([each for each in shown if each.name == "lib.httpx"]) < TROUBLE.burst + 50
    assert LEFT_OUT in map(name, shown)


def test_the_end_of_the_process_tells_what_was_left_out() -> None:
    say = f"""
from layerwatch import logs
from layerwatch.notices import Notice
logs.set_up("human")
for number in range({TROUBLE.burst + 300}):
    logs.tell(Notice("skipped", "a.txt skipped", 30))
raise SystemExit(3)
"""
    ended = subprocess.run([sys.executable, "-c", say], capture_output=True, text=True, check=False)
    assert ended.returncode == 3
    counts = re.findall(r'warning: too many lines "skipped": (\d+) lines? w', ended.stderr)
    assert len(ended.stderr.splitlines()) == TROUBLE.burst + 300 - sum(map(int, counts)) + len(counts)
    assert len(counts) >= 2
