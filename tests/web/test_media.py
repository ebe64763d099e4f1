"""Pictures: served as they are in the ledger, and nothing else, whatever was put in their place."""

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from layerwatch import samples
from layerwatch.ledger import FolderState, Ledger
from layerwatch.web import media
from tests.cli.conftest import RULE, Place
from tests.web.conftest import Site, client_of, serving
from tests.web.wire import connected, get, rest
from tests.web.world import generated, image, recorded, uploaded

POLICY = "default-src 'none'; sandbox"


@pytest.mark.parametrize(
    ("kind", "content_type"), [("png", "image/png"), ("jpg", "image/jpeg"), ("webp", "image/webp")]
)
def test_an_image_that_came_in_is_served_as_it_is(
    client: httpx.Client, place: Place, ledger: Ledger, kind: str, content_type: str
) -> None:
    content = samples.sample(kind, 1, 300_000)
    id_ = uploaded(place, ledger, f"a.{kind}", content, kind=content_type)
    answer, head = client.get(f"/media/file/{id_}"), client.head(f"/media/file/{id_}")
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, content_type, content)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(content)), b"")
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["cache-control"].startswith("private")
    assert answer.headers["etag"].startswith(f'"{hashlib.sha256(content).hexdigest()[:32]}-')
    again = client.get(f"/media/file/{id_}", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content, again.headers["content-security-policy"]) == (304, b"", POLICY)


def test_one_that_waits_is_served_as_well(client: httpx.Client, place: Place, ledger: Ledger) -> None:
    id_ = recorded(place, ledger, "a.png", image(1))
    assert client.get(f"/media/file/{id_}").content == image(1)


def test_an_image_that_has_gone_or_is_another_one_now_is_not(
    client: httpx.Client, place: Place, ledger: Ledger
) -> None:
    names = ("gone", "rewritten", "touched", "replaced", "longer")
    ids = {name: recorded(place, ledger, f"{name}.png", image(number)) for number, name in enumerate(names)}
    paths = {name: Path(place.root, f"{name}.png") for name in names}
    assert {client.get(f"/media/file/{id_}").status_code for id_ in ids.values()} == {200}

    paths["gone"].unlink()
    paths["rewritten"].write_bytes(image(9))
    os.utime(paths["touched"], ns=(1, 1))
    status = paths["replaced"].stat()
    shutil.copy(paths["replaced"], other := place.home / "other.png")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(paths["replaced"])  # the same in all but its inode
    with paths["longer"].open("ab") as stream:
        stream.write(b"x")
    assert {name: client.get(f"/media/file/{id_}").status_code for name, id_ in ids.items()} == dict.fromkeys(ids, 404)


def test_no_link_is_followed_out_of_the_folder(client: httpx.Client, place: Place, ledger: Ledger) -> None:
    """Not even to the very same file."""
    outside = place.home / "outside"
    outside.mkdir()
    by_name = recorded(place, ledger, "a.png", image(1))
    by_directory = recorded(place, ledger, "sub/b.png", image(2))
    Path(place.root, "a.png").rename(outside / "a.png")
    Path(place.root, "a.png").symlink_to(outside / "a.png")
    Path(place.root, "sub").rename(outside / "sub")
    Path(place.root, "sub").symlink_to(outside / "sub")
    assert Path(place.root, "sub/b.png").read_bytes() == image(2)
    assert [client.get(f"/media/file/{id_}").status_code for id_ in (by_name, by_directory)] == [404, 404]


def test_what_is_no_image_is_not_served_whatever_the_ledger_calls_it(
    client: httpx.Client, place: Place, ledger: Ledger
) -> None:
    ids = [
        uploaded(place, ledger, "a.mp4", samples.sample("mp4", 1), kind="video/mp4"),
        uploaded(place, ledger, "a.svg", b"<svg onload='alert(1)'/>", kind="image/svg+xml"),
        uploaded(place, ledger, "b.png", b"<html><script>alert(1)</script>"),
        uploaded(place, ledger, "c.png", samples.sample("mp4", 2)),
        place.refuse(ledger, "notes.txt").id,
    ]
    assert [client.get(f"/media/file/{id_}").status_code for id_ in ids] == [404] * len(ids)


def test_what_is_too_large_to_look_at_is_not_served(
    client: httpx.Client, place: Place, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = recorded(place, ledger, "a.png", samples.sample("png", 1, 50_000))
    monkeypatch.setattr(media, "MOST_BYTES", 49_999)
    assert client.get(f"/media/file/{id_}").status_code == 404
    monkeypatch.setattr(media, "MOST_BYTES", 50_000)
    assert client.get(f"/media/file/{id_}").status_code == 200


@pytest.mark.parametrize(
    "path",
    ["file/0", "file/01", "file/2", "file/-1", "file/1x", "file/", "file", "file/../../etc/passwd", "file/%31",
     "file/1/", "file/999999999999999999", "file/9999999999999999999999", "file/%D9%A1",
     "result/1", "result/1/1", "result/1/0", "x/1"],
)  # fmt: skip
def test_there_is_nothing_under_any_other_address(
    client: httpx.Client, place: Place, ledger: Ledger, path: str
) -> None:
    assert recorded(place, ledger, "a.png", image(1)) == 1
    assert client.get("/media/file/1").status_code == 200
    assert client.get(f"/media/{path}").status_code == 404


def test_a_moved_file_is_found_where_its_folder_put_it(client: httpx.Client, place: Place, ledger: Ledger) -> None:
    id_ = uploaded(place, ledger, "a.png", image(1))
    moved = Path(place.root, "uploaded/a.png")
    moved.parent.mkdir()
    Path(place.root, "a.png").rename(moved)
    assert client.get(f"/media/file/{id_}").status_code == 404
    with ledger._store.write() as connection:
        detail = f"moved to {moved}; receipt written"
        connection.execute("UPDATE files SET aftermath = 'done', aftermath_detail = ? WHERE id = ?", (detail, id_))
    assert client.get(f"/media/file/{id_}").content == image(1)


def test_a_file_of_a_folder_that_is_no_longer_configured_is_not_served(
    site: Site, place: Place, ledger: Ledger
) -> None:
    id_ = recorded(place, ledger, "a.png", image(1))
    place.config.write_text(place.config.read_text().replace('name = "concepts"', 'name = "other"'))
    with serving(site) as server, client_of(server) as client:
        assert client.get(f"/media/file/{id_}").status_code == 404


def test_a_folder_that_is_away_or_may_hang_is_not_asked(
    client: httpx.Client, site: Site, place: Place, ledger: Ledger
) -> None:
    id_ = recorded(place, ledger, "a.png", image(1))
    present = site.folders
    site.folders = [replace(each, state=FolderState.AWAY) for each in present]
    assert client.get(f"/media/file/{id_}").status_code == 404
    site.folders, site.late = present, ["folder concepts"]
    assert client.get(f"/media/file/{id_}").status_code == 404
    site.late = []
    assert client.get(f"/media/file/{id_}").status_code == 200


# --- results ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def generation(place: Place, ledger: Ledger) -> int:
    place.configure(f'{RULE}outputs = "generated"')
    return generated(place, ledger, "a.png", image(1), image(2), samples.sample("mp4", 3))


def result(place: Place, number: int) -> Path:
    return Path(place.root, f"generated/a.png.{number}.png")


def test_a_result_is_served_if_it_is_an_image(client: httpx.Client, generation: int) -> None:
    answer = client.get(f"/media/result/{generation}/1")
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "image/png", image(2))
    assert answer.headers["etag"].startswith(f'"{hashlib.sha256(image(2)).hexdigest()[:32]}-')
    assert answer.headers["content-security-policy"] == POLICY
    assert client.get(f"/media/result/{generation}/2").status_code == 404
    assert client.get(f"/media/result/{generation}/3").status_code == 404
    assert client.get(f"/media/result/{generation + 1}/1").status_code == 404


def test_a_result_that_is_gone_cut_or_a_link_is_not(client: httpx.Client, place: Place, generation: int) -> None:
    path, outside = result(place, 1), place.home / "outside.png"
    content = path.read_bytes()
    path.rename(outside)
    assert client.get(f"/media/result/{generation}/1").status_code == 404
    path.symlink_to(outside)
    assert client.get(f"/media/result/{generation}/1").status_code == 404
    path.unlink()
    path.write_bytes(content[:-1])
    assert client.get(f"/media/result/{generation}/1").status_code == 404
    path.write_bytes(content)
    assert client.get(f"/media/result/{generation}/1").status_code == 200


@pytest.mark.parametrize(
    "change", ["saved = 0", "path = '/etc/passwd'", "path = path || '/../../a.png.1.png'", "size = 0"]
)
def test_a_result_that_is_not_saved_or_not_below_its_folder_is_not(
    client: httpx.Client, ledger: Ledger, generation: int, change: str
) -> None:
    with ledger._store.write() as connection:
        connection.execute(f"UPDATE results SET {change} WHERE number = 1")
    assert client.get(f"/media/result/{generation}/1").status_code == 404


# --- under way --------------------------------------------------------------------------------------------------------


def test_one_that_becomes_shorter_while_it_is_sent_ends_the_connection(
    site: Site, place: Place, ledger: Ledger
) -> None:
    size = 24 * 1024 * 1024  # more than the kernel holds for one who does not take it
    id_ = recorded(place, ledger, "a.png", samples.sample("png", 1, size))
    with serving(site) as server, connected(server, receive_buffer=4096) as connection:
        connection.sendall(get(f"/media/file/{id_}") + get("/healthz"))
        assert connection.recv(17) == b"HTTP/1.1 200 OK\r\n"
        os.truncate(os.path.join(place.root, "a.png"), 1)
        received = rest(connection)
    assert f"Content-Length: {size}\r\n".encode() in received
    assert len(received) < size
    assert b"healthy" not in received


def test_what_was_pushed_from_outside_the_folder_is_not_shown(
    client: httpx.Client, place: Place, ledger: Ledger
) -> None:
    outside = place.home / "private.png"
    outside.write_bytes(image(1))
    id_ = uploaded(place, ledger, str(outside), image(1))  # an absolute path: it lies where it lies
    assert ledger.reports.file(id_)
    assert client.get(f"/media/file/{id_}").status_code == 404
