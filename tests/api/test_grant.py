"""Leave to upload a file: how long it says that it lives, and what is none."""

import pytest

from layerwatch.errors import TryAgain
from tests.api.conftest import Connect
from tests.api.servers import RawServer, saying

URL = "https://storage.example/bucket/key?X-Goog-Algorithm=G&X-Goog-Expires={}&X-Goog-Signature=abc"


@pytest.mark.parametrize(
    ("url", "life_s"),
    [
        (URL.format("600"), 600),
        (URL.format("3600"), 900),  # Layer allows no more, whatever the storage would
        (URL.format("soon"), 900),
        (URL.format("60s"), 900),
        (URL.format("9" * 30), 900),
        ("https://storage.example/key?X-Goog-Expires=60", 60),
        ("https://storage.example/key?X-Goog-Expires=60#part", 60),
        ("https://storage.example/key?Not-X-Goog-Expires=60", 900),
        ("https://storage.example/X-Goog-Expires=60", 900),
        ("https://storage.example/key", 900),
    ],
)
def test_a_grant_lives_as_long_as_its_url_says_but_no_longer_than_layer_allows(
    connect: Connect, url: str, life_s: float
) -> None:
    with RawServer(saying(200, {"file_id": "f", "upload_url": url})) as server:
        grant = connect(server.url).upload_url("image/png", 1, "a.png")
    assert (grant.file_id, grant.url, grant.content_type, grant.life_s) == ("f", url, "image/png", life_s)


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"file_id": "f"},
        {"upload_url": URL},
        {"file_id": 1, "upload_url": URL},
        {"file_id": "f", "upload_url": "ftp://storage.example/"},
    ],
)
def test_a_grant_without_where_to_or_which_file_is_none(connect: Connect, told: object) -> None:
    with RawServer(saying(200, told)) as server, pytest.raises(TryAgain, match="without saying where to"):
        connect(server.url).upload_url("image/png", 1, "a.png")
