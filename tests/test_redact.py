"""No token, signed URL or session URI survives, in whatever text; everything else does."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerwatch import redact as module
from layerwatch.redact import REDACTED, redact, register

around = st.text(max_size=12)  # too short to hold a secret itself
secrets = st.text("0123456789abcdef", min_size=32, max_size=64)
session_ids = st.text("ABCXYZabcxyz0189-_", min_size=32, max_size=64)
tokens = st.text("ABCXYZabcxyz0189-_.~+/=", min_size=16, max_size=40)


def plainly(text: str) -> str:
    return text


def twice_in_json(text: str) -> str:
    return json.dumps({"message": json.dumps({"url": text})})


WRITTEN: tuple[Callable[[str], str], ...] = (
    plainly,
    repr,
    json.dumps,
    twice_in_json,
    quote,
    lambda text: quote(quote(text)),
)
written = st.sampled_from(WRITTEN)


@contextmanager
def registered(*texts: str) -> Iterator[None]:
    before = set(module._tokens)
    for text in texts:
        register(text)
    try:
        yield
    finally:
        module._tokens.clear()
        module._tokens.update(before)


def signed_url(signature: str, credential: str) -> str:
    return (
        "https://storage.googleapis.com/layer-uploads/w/f.png?X-Goog-Algorithm=GOOG4-RSA-SHA256"
        f"&X-Goog-Credential={credential}%40layer.iam.gserviceaccount.com%2F20250101%2Fauto&X-Goog-Date=20250101T000000Z"
        f"&X-Goog-Expires=900&X-Goog-SignedHeaders=content-type%3Bhost&X-Goog-Signature={signature}"
    )


@given(around, secrets, secrets, around, written)
def test_no_signed_url_survives(
    before: str, signature: str, credential: str, after: str, write: Callable[[str], str]
) -> None:
    said = redact(before + write(signed_url(signature, credential)) + after)
    assert signature not in said
    assert credential not in said


@given(around, session_ids, around, written)
def test_no_session_uri_survives(before: str, upload_id: str, after: str, write: Callable[[str], str]) -> None:
    for uri in (
        f"https://storage.googleapis.com/b/o?upload_id={upload_id}",
        f"https://storage.googleapis.com/b/o?uploadType=resumable&upload_id={upload_id}&x=1",
        f"/b/o?upload_id={upload_id}",
    ):
        assert upload_id not in redact(before + write(uri) + after)


@given(around, tokens, around)
def test_no_registered_token_survives(before: str, token: str, after: str) -> None:
    with registered(token):
        said = redact(before + token + after + token)
    assert token not in said
    assert REDACTED in said


@given(tokens, st.text("abcXYZ019", min_size=4, max_size=20))
def test_nothing_is_left_of_a_token_that_begins_with_another(token: str, more: str) -> None:
    for order in ((token, token + more), (token + more, token)):
        with registered(*order):
            assert redact(f"<{token + more}>") == f"<{REDACTED}>"


@given(around, tokens, around, st.sampled_from(("Bearer ", "bearer  ")))
def test_no_bearer_token_survives_though_nobody_registered_it(before: str, token: str, after: str, word: str) -> None:
    assert token not in redact(f"{before}Authorization: {word}{token}{after}")
    assert token not in redact(before + repr({"authorization": word + token}) + after)


@pytest.mark.parametrize("name", ["X-Goog-Signature", "x-goog-credential", "upload_id"])
@pytest.mark.parametrize("write", [repr, json.dumps, lambda value: json.dumps(json.dumps(value))])
def test_a_mapping_of_parameters_keeps_no_secret(name: str, write: Callable[[object], str]) -> None:
    assert "abcdef0123" not in redact(write({"a": 1, name: "abcdef0123", "z": "kept"}))
    assert "kept" in redact(write({"a": 1, name: "abcdef0123", "z": "kept"}))


def test_what_is_known_of_a_signed_url_stays_readable() -> None:
    said = redact(f'PUT {signed_url("ab" * 16, "who")} "HTTP/1.1 503"')
    assert said == f'PUT https://storage.googleapis.com/layer-uploads/w/f.png?{REDACTED} "HTTP/1.1 503"'


def test_of_a_session_uri_nothing_of_the_query_stays() -> None:
    uri = "https://storage.googleapis.com/b/o.png?uploadType=resumable&upload_id=abc&x=1"
    assert redact(f"<{uri}>") == f"<https://storage.googleapis.com/b/o.png?{REDACTED}>"


def test_a_log_line_of_a_requests_target_keeps_its_path() -> None:
    said = redact("send_request_headers target=b'/b/o.png?X-Goog-Signature=abcdef&X-Goog-Date=2025' headers")
    assert said == f"send_request_headers target=b'/b/o.png?X-Goog-Signature={REDACTED}&X-Goog-Date=2025' headers"


@pytest.mark.parametrize(
    "text",
    [
        "concepts/shot1.png uploaded, 3.1 MiB in 0.4 s, file_id 4f0c2c2a-0000-4000-8000-000000000000",
        "the storage answered 403 SignatureDoesNotMatch",
        "https://api.app.layer.ai/api/v1/files?limit=10&page=2",
        "x-goog-resumable: start; x-goog-hash: crc32c=4waSgw==",
        "",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


@given(around, secrets, around)
def test_redacting_again_changes_nothing(before: str, signature: str, after: str) -> None:
    once = redact(before + signed_url(signature, "who") + after)
    assert redact(once) == once


def test_an_empty_token_is_no_token() -> None:
    with registered(""):
        assert redact("abc") == "abc"
