"""Lines for people and for machines, from every library, without secrets."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layerwatch import logs, redact
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
