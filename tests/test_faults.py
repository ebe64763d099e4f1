"""Every fault has one meaning, and the meanings are the ones that users were promised."""

import errno

import pytest

from layerwatch import faults
from layerwatch.errors import ApiDown, Code, Final, JobError, NewUrl, NotTheApi, Superseded, TryAgain


def kind(error: JobError) -> tuple[type[JobError], str]:
    return type(error), error.code


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, (Final, Code.REJECTED)),
        (401, (ApiDown, Code.UNAUTHORIZED)),
        (403, (ApiDown, Code.FORBIDDEN)),
        (404, (NotTheApi, Code.REJECTED)),
        (408, (TryAgain, Code.SERVER)),
        (413, (Final, Code.TOO_LARGE)),
        (418, (TryAgain, Code.SERVER)),
        (422, (Final, Code.REJECTED)),
        (429, (ApiDown, Code.RATE_LIMITED)),
        (500, (TryAgain, Code.SERVER)),
        (402, (ApiDown, Code.REJECTED)),
        (502, (ApiDown, Code.SERVER)),
        (503, (ApiDown, Code.SERVER)),
        (504, (ApiDown, Code.SERVER)),
    ],
)
def test_what_layer_answers(status: int, expected: tuple[type[JobError], Code]) -> None:
    assert kind(faults.layer(status, is_json=True).error("said")) == expected


def test_a_page_that_is_not_json_is_not_the_api_unless_the_server_is_in_trouble() -> None:
    assert kind(faults.layer(200, is_json=False).error("said"))[0] is NotTheApi
    assert kind(faults.layer(404, is_json=False).error("said"))[0] is NotTheApi
    assert kind(faults.layer(500, is_json=False).error("said"))[0] is TryAgain
    assert kind(faults.layer(413, is_json=False).error("said"))[0] is Final, "it is this file's fault"
    assert kind(faults.layer(429, is_json=False).error("said"))[0] is ApiDown


def test_a_server_that_asks_to_wait_makes_everybody_wait() -> None:
    error = faults.layer(503, is_json=True).error("said", 7.0)
    assert isinstance(error, ApiDown)
    assert error.after_s == 7.0


@pytest.mark.parametrize(
    ("status", "word", "refused_before", "expected"),
    [
        (400, "ExpiredToken", False, (NewUrl, Code.EXPIRED)),
        (400, "InvalidArgument", False, (Final, Code.REJECTED)),
        (401, "", False, (NewUrl, Code.FORBIDDEN)),
        (403, "SignatureDoesNotMatch", False, (NewUrl, Code.FORBIDDEN)),
        (403, "SignatureDoesNotMatch", True, (Final, Code.FORBIDDEN)),
        (404, "", False, (NewUrl, Code.EXPIRED)),
        (408, "", False, (TryAgain, Code.SERVER)),
        (410, "", True, (NewUrl, Code.EXPIRED)),
        (412, "", False, (Final, Code.REJECTED)),
        (416, "", False, (Final, Code.REJECTED)),
        (429, "", False, (TryAgain, Code.RATE_LIMITED)),
        (499, "", False, (NewUrl, Code.EXPIRED)),
        (503, "SlowDown", False, (TryAgain, Code.SERVER)),
        (302, "", False, (Final, Code.REJECTED)),
    ],
)
def test_what_the_storage_answers(
    status: int, word: str, refused_before: bool, expected: tuple[type[JobError], Code]
) -> None:
    assert kind(faults.storage(status, word, refused_before=refused_before).error("said")) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOENT, (Superseded, Code.VANISHED)),
        (errno.ENOTDIR, (Superseded, Code.VANISHED)),
        (errno.ELOOP, (Superseded, Code.UNSUPPORTED_TYPE)),
        (errno.EACCES, (TryAgain, Code.UNREADABLE)),
        (errno.EIO, (TryAgain, Code.UNREADABLE)),
        (errno.ESTALE, (TryAgain, Code.UNREADABLE)),
        (None, (TryAgain, Code.UNREADABLE)),
    ],
)
def test_what_the_file_system_says(number: int | None, expected: tuple[type[JobError], Code]) -> None:
    assert kind(faults.disk(number).error("said")) == expected


def test_every_row_makes_an_error_that_says_what_happened_and_keeps_the_wait_where_there_is_one() -> None:
    rows = [*faults.LAYER.values(), *faults.STORAGE.values(), *faults.DISK.values(), faults.UNREACHABLE, faults.BROKEN]
    for row in rows:
        error = row.error("what happened", 3.0)
        assert error.message.startswith("what happened")
        assert error.code is row.code
        assert not isinstance(error, TryAgain) or error.after_s == 3.0
