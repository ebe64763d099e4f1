"""What the storage's headers say is read where it makes sense, and nothing is made of the rest."""

import base64
from collections.abc import Mapping

import pytest

from layerwatch.errors import TryAgain
from layerwatch.resumable import GRANULE, Answer, Stored, Transfer, retry_after_s

URI = "https://storage.example/b/o?upload_id=s"
NOTHING: Mapping[str, str] = {}


@pytest.mark.parametrize("status", [408, 429, 503])
def test_the_time_the_server_asks_for_is_passed_on(status: int) -> None:
    with pytest.raises(TryAgain) as caught:
        Transfer(1, GRANULE, session=URI).receive(Answer(status, {"retry-after": "7"}))
    assert caught.value.after_s == 7


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "0"}, 0),
        ({"retry-after": " 30 "}, 30),
        ({"retry-after": "9" * 18}, 86_400),
        ({"retry-after": "9" * 5000}, None),
        ({"retry-after": "Wed, 01 Jan 2025 00:02:00 GMT", "date": "Wed, 01 Jan 2025 00:00:30 GMT"}, 90),
        ({"retry-after": "Wed, 01 Jan 2025 00:02:00 GMT", "date": "Wed, 01 Jan 2025 00:03:00 GMT"}, 0),
        ({"retry-after": "Wed, 01 Jan 2025 00:02:00 GMT"}, None),
        ({"retry-after": "Wed, 01 Jan 2025 00:02:00 -0000", "date": "Wed, 01 Jan 2025 00:03:00 GMT"}, None),
        (
            {"retry-after": "Wed, 01 Jan 2025 00:02:00 +99999999999999999999", "date": "Wed, 01 Jan 2025 00:03:00 GMT"},
            None,
        ),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        (NOTHING, None),
    ],
)
def test_retry_after_is_read_in_both_its_forms(headers: Mapping[str, str], expected: float | None) -> None:
    assert retry_after_s(headers) == expected


# --- what the server says of the object -------------------------------------------------------------------------------

CRC, MD5 = bytes.fromhex("e3069283"), bytes(range(16))
CRC_TEXT, MD5_TEXT = (base64.b64encode(value).decode() for value in (CRC, MD5))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-goog-hash": f"crc32c={CRC_TEXT},md5={MD5_TEXT}"}, Stored(0xE3069283, MD5, None)),
        ({"x-goog-hash": f"md5={MD5_TEXT}, crc32c={CRC_TEXT}"}, Stored(0xE3069283, MD5, None)),
        ({"x-goog-hash": f"crc32c={CRC_TEXT}"}, Stored(0xE3069283, None, None)),
        ({"x-goog-hash": "crc32c=AAAA"}, Stored(None, None, None)),
        ({"x-goog-hash": "crc32c=not base64!"}, Stored(None, None, None)),
        ({"x-goog-hash": "crc32c=\xe9\xe9"}, Stored(None, None, None)),
        ({"x-goog-hash": "nonsense"}, Stored(None, None, None)),
        ({"x-goog-stored-content-length": "17"}, Stored(None, None, 17)),
        ({"x-goog-stored-content-length": "-17"}, Stored(None, None, None)),
        ({"x-goog-stored-content-length": "1" * 5000}, Stored(None, None, None)),
    ],
)
def test_hashes_and_size_are_read_where_they_are_told(headers: Mapping[str, str], expected: Stored) -> None:
    transfer = Transfer(1, GRANULE, session=URI)
    transfer.receive(Answer(200, headers))
    assert transfer.stored == expected
