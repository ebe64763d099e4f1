"""The storage protocol, row by row of its table, and as a whole against a strict server that does all it may do."""

from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from layerwatch.errors import Code, Final, JobError, NewUrl, TryAgain
from layerwatch.resumable import GRANULE, Answer, Query, Send, Start, Stored, Transfer

SIZE = 4 * GRANULE + 100
URI = "https://storage.example/b/o?upload_id=s"
NOTHING: Mapping[str, str] = {}
EXPIRED = "<?xml version='1.0'?><Error><Code>ExpiredToken</Code><Message>expired</Message></Error>"


def resumed(size: int = SIZE, chunk: int = 2 * GRANULE) -> Transfer:
    return Transfer(size, chunk, session=URI)


def sending(size: int = SIZE, chunk: int = 2 * GRANULE, *, refused_before: bool = False) -> Transfer:
    transfer = Transfer(size, chunk, refused_before=refused_before)
    transfer.receive(Answer(201, {"location": URI}))
    return transfer


def held(count: int) -> Answer:
    return Answer(308, {"range": f"bytes=0-{count - 1}"} if count else NOTHING)


def fault(transfer: Transfer, answer: Answer) -> JobError:
    with pytest.raises(JobError) as caught:
        transfer.receive(answer)
    assert URI not in str(caught.value)
    return caught.value


# --- the way without faults -------------------------------------------------------------------------------------------


def test_a_session_is_started_the_bytes_are_sent_and_the_end_is_known() -> None:
    transfer = Transfer(SIZE, 2 * GRANULE)
    assert transfer.next_request() == Start()
    transfer.receive(Answer(201, {"location": URI}))
    assert transfer.session == URI
    for first, end in ((0, 2 * GRANULE), (2 * GRANULE, 4 * GRANULE)):
        assert transfer.next_request() == Send(first, end, f"bytes {first}-{end - 1}/{SIZE}")
        transfer.receive(held(end))
        assert transfer.offset == end
    assert transfer.next_request() == Send(4 * GRANULE, SIZE, f"bytes {4 * GRANULE}-{SIZE - 1}/{SIZE}")
    transfer.receive(Answer(200, NOTHING))
    assert transfer.next_request() is None
    assert (transfer.offset, transfer.stored) == (SIZE, Stored(None, None, None))


def test_200_starts_a_session_too() -> None:
    transfer = Transfer(SIZE, GRANULE)
    transfer.receive(Answer(200, {"location": URI}))
    assert isinstance(transfer.next_request(), Send)


def test_a_saved_session_is_asked_first_and_gone_on_with_where_it_was() -> None:
    transfer = resumed()
    assert transfer.next_request() == Query(f"bytes */{SIZE}")
    transfer.receive(held(3 * GRANULE))
    assert transfer.next_request() == Send(3 * GRANULE, SIZE, f"bytes {3 * GRANULE}-{SIZE - 1}/{SIZE}")


def test_what_had_been_finished_and_only_the_answer_was_lost_is_done() -> None:
    for status in (200, 201):
        transfer = resumed()
        transfer.receive(Answer(status, {"x-goog-stored-content-length": str(SIZE)}))
        assert transfer.next_request() is None
        assert transfer.stored == Stored(None, None, SIZE)


@pytest.mark.parametrize("chunk", [0, -GRANULE, 1, GRANULE + 1, 1000])
def test_a_chunk_that_is_no_multiple_of_256_kib_is_refused(chunk: int) -> None:
    with pytest.raises(ValueError, match="multiple"):
        Transfer(SIZE, chunk)


# --- the table, row by row --------------------------------------------------------------------------------------------


def test_a_start_that_names_no_session_may_pass() -> None:
    error = fault(Transfer(SIZE, GRANULE), Answer(201, NOTHING))
    assert (type(error), error.code) == (TryAgain, Code.SERVER)


def test_308_without_a_range_after_a_send_is_asked_about_and_never_believed() -> None:
    transfer = sending()
    transfer.receive(held(0))
    assert transfer.next_request() == Query(f"bytes */{SIZE}")
    transfer.receive(held(2 * GRANULE))
    assert transfer.next_request() == Send(2 * GRANULE, 4 * GRANULE, f"bytes {2 * GRANULE}-{4 * GRANULE - 1}/{SIZE}")


def test_308_without_a_range_after_a_query_means_that_nothing_is_held() -> None:
    transfer = resumed()
    transfer.receive(held(0))
    assert isinstance(request := transfer.next_request(), Send)
    assert request.first == 0


def test_the_server_may_keep_less_than_was_sent() -> None:
    transfer = sending()
    transfer.receive(held(GRANULE))
    assert isinstance(request := transfer.next_request(), Send)
    assert (request.first, request.end) == (GRANULE, 3 * GRANULE)


def test_a_server_that_never_keeps_anything_is_left_after_a_while() -> None:
    transfer = sending()
    transfer.receive(held(GRANULE))
    for _ in range(3):
        transfer.receive(held(GRANULE))
    assert type(fault(transfer, held(GRANULE))) is TryAgain


def test_a_server_that_is_always_lazy_is_left_after_a_while() -> None:
    transfer = sending()
    for _ in range(3):
        transfer.receive(held(0))
        transfer.receive(held(0))
    assert type(fault(transfer, held(0))) is TryAgain


def test_a_server_that_is_lazy_and_yet_gets_on_is_not_left() -> None:
    transfer = Transfer(20 * GRANULE, GRANULE, session=URI)
    transfer.receive(held(0))
    for count in range(1, 20):
        transfer.receive(held(0))
        transfer.receive(held(count * GRANULE))
        assert transfer.offset == count * GRANULE


def test_308_is_no_answer_to_a_start() -> None:
    assert type(fault(Transfer(SIZE, GRANULE), held(GRANULE))) is Final


def test_more_than_was_sent_means_to_start_over() -> None:
    error = fault(sending(), held(2 * GRANULE + 1))
    assert (type(error), error.code) == (NewUrl, Code.CORRUPT)


def test_more_than_there_is_means_to_start_over_even_for_a_resumed_session() -> None:
    assert type(fault(resumed(), held(SIZE + 1))) is NewUrl


def test_all_bytes_held_without_a_word_that_it_is_complete_is_asked_about() -> None:
    transfer = sending(GRANULE)
    transfer.receive(held(GRANULE))
    assert isinstance(transfer.next_request(), Query)
    transfer.receive(Answer(200, NOTHING))
    assert transfer.next_request() is None


@pytest.mark.parametrize(
    "value", ["bytes=5-9", "bytes=0-", "bytes 0-9/10", "0-9", "", "bytes=0--1", "bytes=0-" + "9" * 5000]
)
def test_a_range_that_makes_no_sense_means_to_start_over(value: str) -> None:
    assert type(fault(sending(), Answer(308, {"range": value}))) is NewUrl


@pytest.mark.parametrize("status", [412, 416])
def test_out_of_step_is_asked_about_once_more_and_final_if_that_does_not_help(status: int) -> None:
    transfer = sending()
    transfer.receive(Answer(status, NOTHING))
    assert isinstance(transfer.next_request(), Query)
    assert type(fault(transfer, Answer(status, NOTHING))) is Final


@pytest.mark.parametrize("make", [lambda: Transfer(SIZE, GRANULE), sending, resumed], ids=["start", "send", "query"])
@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (Answer(400, NOTHING), Final, Code.REJECTED),
        (Answer(400, NOTHING, EXPIRED), NewUrl, Code.EXPIRED),
        (Answer(401, NOTHING), NewUrl, Code.FORBIDDEN),
        (Answer(403, NOTHING, "<Code>SignatureDoesNotMatch</Code>"), NewUrl, Code.FORBIDDEN),
        (Answer(404, NOTHING), NewUrl, Code.EXPIRED),
        (Answer(410, NOTHING), NewUrl, Code.EXPIRED),
        (Answer(499, NOTHING), NewUrl, Code.EXPIRED),
        (Answer(408, NOTHING), TryAgain, Code.SERVER),
        (Answer(429, NOTHING), TryAgain, Code.RATE_LIMITED),
        (Answer(500, NOTHING), TryAgain, Code.SERVER),
        (Answer(502, NOTHING), TryAgain, Code.SERVER),
        (Answer(503, NOTHING), TryAgain, Code.SERVER),
        (Answer(504, NOTHING), TryAgain, Code.SERVER),
        (Answer(302, {"location": "https://elsewhere"}), Final, Code.REJECTED),
        (Answer(413, NOTHING), Final, Code.REJECTED),
    ],
    ids=lambda value: str(value.status) + value.body[-30:] if isinstance(value, Answer) else "",
)
def test_a_fault_is_of_its_family_in_every_phase(make: object, answer: Answer, kind: type, code: Code) -> None:
    assert callable(make)
    error = fault(make(), answer)
    assert (type(error), error.code) == (kind, code)
    assert str(answer.status) in error.message


@pytest.mark.parametrize("status", [401, 403])
def test_refused_again_with_a_new_url_is_final(status: int) -> None:
    error = fault(Transfer(SIZE, GRANULE, refused_before=True), Answer(status, NOTHING))
    assert (type(error), error.code) == (Final, Code.FORBIDDEN)
    assert type(fault(sending(refused_before=True), Answer(status, NOTHING))) is Final


def test_the_storages_own_word_is_in_the_message() -> None:
    error = fault(sending(), Answer(403, NOTHING, "<Error><Code>SignatureDoesNotMatch</Code></Error>"))
    assert "403 SignatureDoesNotMatch" in error.message


words = st.text(max_size=30) | st.from_regex(r"bytes=0-\d{1,8}|(crc32c|md5)=[\w+/]{0,24}={0,2}|\d{1,9}", fullmatch=True)
any_headers = st.dictionaries(
    st.sampled_from(("range", "location", "x-goog-hash", "x-goog-stored-content-length", "retry-after", "date")), words
)


@given(
    st.lists(
        st.tuples(st.integers(100, 599) | st.sampled_from((200, 201, 308)), any_headers, st.text(max_size=20)),
        max_size=6,
    )
)
@example([(308, {"range": "bytes=0-0"}, "")])
def test_whatever_a_server_says_is_understood_or_a_fault_of_the_job(
    said: list[tuple[int, dict[str, str], str]],
) -> None:
    transfer = Transfer(SIZE, GRANULE)
    for status, headers, body in said:
        if transfer.next_request() is None:
            return
        try:
            transfer.receive(Answer(status, headers, body))
        except JobError:
            return
        assert 0 <= transfer.offset <= SIZE
