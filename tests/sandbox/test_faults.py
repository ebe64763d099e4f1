"""Each fault: that it strikes when asked for, what it leaves behind, and that a right client gets through."""

import re
from dataclasses import fields, replace
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from layerwatch.sandbox import Faults, Sandbox
from layerwatch.sandbox.faults import KEYS, parse

from .steps import QUANTUM, Patient, Steps, next_byte, picture

SIZE = 6 * QUANTUM + 11
DATA = picture(SIZE)
RATES = [key for key, (kind, _) in KEYS.items() if kind == "rate"]


def struck(steps: Steps, **faults: Any) -> None:
    steps.sandbox.faults = replace(Faults(), **faults)


# --- reading them -----------------------------------------------------------------------------------------------------


def test_every_fault_is_explained() -> None:
    assert list(KEYS) == [field.name for field in fields(Faults)]


def test_a_text_is_read() -> None:
    faults = parse("errors=0.25, drop=1,html,seed=7,bandwidth=1e6,rate_limit=none")
    assert faults == Faults(errors=0.25, drop=1.0, html=True, seed=7, bandwidth=1e6)
    assert parse("") == Faults()
    texts = parse("asset_name=../../x=1 .png, fail_code=true, refuse_posts=429")
    assert texts == Faults(asset_name="../../x=1 .png", fail_code="true", refuse_posts=429)
    assert parse("asset_name=none,refuse_posts=none,price=none") == Faults()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("error=0.1", "unknown fault 'error'; allowed are: errors, drop"),
        ("errors=2", "'errors': 2.0 is not a rate from 0 to 1"),
        ("errors=often", "'errors': 'often' is not a rate"),
        ("errors", "'errors': True is not a rate"),
        ("errors=nan", "'errors': nan is not a rate"),
        ("slow_s=-1", "'slow_s': -1.0 is not seconds, 0 or more"),
        ("bandwidth=0", "'bandwidth': 0.0 is not a number above 0"),
        ("html=2", "'html': 2.0 is not true or false"),
        ("seed=1.5", "'seed': '1.5' is not a whole number"),
        ("refuse_posts=200", "'refuse_posts': 200 is not one of 400, 401,"),
        ("refuse_posts", "'refuse_posts': True is not one of 400, 401,"),
        ("refuse_posts=4e2", "'refuse_posts': '4e2' is not one of 400, 401,"),
        ("asset_name", "'asset_name': True is not text of 1 to 1000 printable characters, or none"),
        ("asset_name=", "'asset_name': '' is not text"),
        ("asset_name=a\nb", "'asset_name': 'a\\nb' is not text"),
        ("errors=none", "'errors': None is not a rate"),
        ("drop=0.1,drop=0.2", "'drop' is given twice"),
    ],
)
def test_a_wrong_text_is_refused_with_key_and_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse(text)


def test_a_value_out_of_range_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="'partial'"):
        Faults(partial=1.5)


# --- the storage's ----------------------------------------------------------------------------------------------------


def test_the_same_seed_deals_the_same_faults() -> None:
    def told() -> list[int]:
        with Sandbox(faults=Faults(partial=1.0, seed=3)) as sandbox:
            steps = Steps(sandbox)
            with steps.http:
                return [next_byte(steps.put(steps.session(SIZE), DATA, 0, SIZE)) for _ in range(5)]

    first = told()
    assert first == told()
    assert len(set(first)) > 1


def test_errors(steps: Steps) -> None:
    uri = steps.session(SIZE)
    struck(steps, errors=1.0)
    answers = {steps.query(uri, SIZE).status_code for _ in range(20)}
    assert answers == {500, 503}
    assert steps.api("GET", "").status_code in answers
    assert steps.sandbox.counters["fault_errors"] == 21


def test_a_dropped_connection_keeps_what_came(steps: Steps) -> None:
    kept = set()
    for _ in range(8):
        struck(steps)
        uri = steps.session(SIZE)
        struck(steps, drop=1.0)
        with pytest.raises(httpx.TransportError):
            steps.put(uri, DATA, 0, SIZE)
        kept.add(next_byte(steps.query(uri, SIZE)))
    assert len(kept) > 1
    assert all(persisted % QUANTUM == 0 and persisted < SIZE for persisted in kept)


def test_less_is_kept_than_was_sent(steps: Steps) -> None:
    uri = steps.session(SIZE)
    struck(steps, partial=1.0)
    answer = steps.put(uri, DATA, 0, SIZE)
    assert answer.status_code == 308
    assert next_byte(answer) % QUANTUM == 0
    assert next_byte(steps.query(uri, SIZE)) == next_byte(answer)
    struck(steps)
    rest = next_byte(answer)
    assert steps.put(uri, DATA[rest:], rest, SIZE).status_code == 200


def test_a_lost_answer_was_stored_all_the_same(steps: Steps) -> None:
    uri = steps.session(SIZE)
    struck(steps, lost_answers=1.0)
    with pytest.raises(httpx.RemoteProtocolError):
        steps.put(uri, DATA, 0, SIZE)
    assert steps.query(uri, SIZE).status_code == 200
    assert len(steps.sandbox.objects) == 1


def test_a_lazy_answer(steps: Steps) -> None:
    uri = steps.session(SIZE)
    struck(steps, lazy=1.0)
    answer = steps.put(uri, DATA[:QUANTUM], 0, SIZE)
    assert (answer.status_code, "range" in answer.headers) == (308, False)
    struck(steps)
    assert next_byte(steps.query(uri, SIZE)) == QUANTUM


def test_a_boast_says_more_than_was_sent(steps: Steps) -> None:
    uri = steps.session(SIZE)
    struck(steps, boast=1.0)
    assert next_byte(steps.put(uri, DATA[:QUANTUM], 0, SIZE)) == 2 * QUANTUM
    struck(steps)
    assert next_byte(steps.query(uri, SIZE)) == QUANTUM


def test_starts_that_come_to_nothing(steps: Steps) -> None:
    struck(steps, denied=1.0)
    assert steps.start(steps.ticket(SIZE)).status_code == 403
    struck(steps, no_location=1.0)
    started = steps.start(steps.ticket(SIZE))
    assert (started.status_code, "location" in started.headers) == (201, False)
    assert steps.rules() == []


def test_the_other_codes_of_success(steps: Steps) -> None:
    struck(steps, other_codes=True)
    started = steps.start(steps.ticket(SIZE))
    assert started.status_code == 200
    assert steps.put(started.headers["location"], DATA, 0, SIZE).status_code == 201


def test_a_dead_session_answers_410_from_some_byte_on(steps: Steps) -> None:
    struck(steps, dead_sessions=1.0)
    uri = steps.session(SIZE)
    answers = [steps.put(uri, DATA[at : at + QUANTUM], at, SIZE).status_code for at in range(0, SIZE, QUANTUM)]
    assert 410 in answers
    assert set(answers[: answers.index(410)]) <= {308}
    assert set(answers[answers.index(410) :]) == {410}
    assert steps.query(uri, SIZE).status_code == 410


def test_a_corrupt_object_has_the_hash_of_its_wrong_bytes(steps: Steps) -> None:
    uri, right = steps.session(SIZE), steps.put(steps.session(SIZE), DATA, 0, SIZE)
    struck(steps, corrupt=1.0)
    wrong = steps.put(uri, DATA, 0, SIZE)
    hashes = [",".join(answer.headers.get_list("x-goog-hash")).replace(" ", "") for answer in (right, wrong)]
    assert hashes[0] != hashes[1]
    assert [stored.corrupt for stored in steps.sandbox.objects] == [False, True]
    with open(steps.sandbox.objects[1].path, "rb") as stream:
        differing = [index for index, byte in enumerate(stream.read()) if byte != DATA[index]]
    assert len(differing) == 1


def test_no_hash_leaves_the_length_or_nothing(steps: Steps) -> None:
    struck(steps, no_hash=1.0)
    lengths = set()
    for _ in range(12):
        final = steps.put(steps.session(50), picture(50), 0, 50)
        assert "x-goog-hash" not in final.headers
        lengths.add(final.headers.get("x-goog-stored-content-length"))
    assert lengths == {"50", None}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("chunk", [QUANTUM, SIZE])
def test_a_client_that_goes_by_the_book_gets_through_it_all(steps: Steps, seed: int, chunk: int) -> None:
    struck(steps, seed=seed, other_codes=seed % 2 == 1, **dict.fromkeys(RATES, 0.15))
    file_id = Patient(steps).upload(DATA, chunk)
    (stored,) = [stored for stored in steps.sandbox.objects if stored.file_id == file_id]
    with open(stored.path, "rb") as stream:
        assert stream.read() == DATA
    assert steps.rules() == []


# --- both sides' ------------------------------------------------------------------------------------------------------


def test_the_rate_limit_says_when_to_come_back(steps: Steps) -> None:
    struck(steps, rate_limit=3.0)
    answers = [steps.api("GET", "") for _ in range(30)]
    refused = [answer.headers["retry-after"] for answer in answers if answer.status_code == 429]
    assert [answer.status_code for answer in answers[:3]] == [200] * 3
    assert refused[0] == "1"
    assert parsedate_to_datetime(refused[1]).timestamp() > parsedate_to_datetime(answers[0].headers["date"]).timestamp()
    assert steps.start({"upload_url": steps.sandbox.base_url, "content_type": ""}).status_code != 429


def test_latency_delays_every_answer(steps: Steps) -> None:
    uri = steps.session(SIZE)
    struck(steps, latency_s=0.15)
    for answer in (steps.api("GET", ""), steps.query(uri, SIZE)):
        assert answer.elapsed.total_seconds() >= 0.15


def test_bandwidth_bounds_what_is_read(steps: Steps) -> None:
    uri = steps.session(2 * QUANTUM)
    struck(steps, bandwidth=2e6)
    answer = steps.put(uri, picture(2 * QUANTUM), 0, 2 * QUANTUM)
    assert answer.elapsed.total_seconds() >= 2 * QUANTUM / 2e6 * 0.9


def test_html_is_what_every_endpoint_answers(steps: Steps) -> None:
    struck(steps, html=True)
    answer = steps.api("POST", "/files/upload-url", {})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
