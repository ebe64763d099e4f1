"""What becomes of the source: only after the server has confirmed the same bytes, and the same after any crash."""

import hashlib
import json
import signal

import pytest

from layerwatch.samples import sample
from layerwatch.sandbox import Faults
from tests.system.conftest import Site

KIB = 1024
SETTLE = 'settle = "50ms"\n'


def drop(site: Site, name: str, seed: int) -> bytes:
    content = sample("png", seed, 20 * KIB)
    (site.drop / name).parent.mkdir(parents=True, exist_ok=True)
    (site.drop / name).write_bytes(content)
    return content


def test_move_keeps_the_path_below_the_folder_and_is_not_taken_again(site: Site) -> None:
    site.configure(folder=SETTLE + 'after_upload = "move"\nmove_to = "done"')
    content = drop(site, "sc01/a.png", 1)
    assert site.once().returncode == 0
    assert not (site.drop / "sc01" / "a.png").exists()
    assert (site.drop / "done" / "sc01" / "a.png").read_bytes() == content
    assert site.once().returncode == 0
    assert site.statuses() == {"uploaded": 1}
    assert site.sandbox.counters["upload_url"] == 1
    assert "done/sc01/a.png" in site.call("show", "1").stdout


def test_delete_takes_away_what_is_stored_and_nothing_else(site: Site) -> None:
    site.configure(folder=SETTLE + 'after_upload = "delete"')
    content = drop(site, "a.png", 1)
    (site.drop / "note.txt").write_text("not for Layer")
    assert site.once().returncode == 0
    assert [path.name for path in site.drop.iterdir()] == ["note.txt"]
    assert [item.sha256 for item in site.sandbox.objects] == [hashlib.sha256(content).hexdigest()]


def test_the_same_file_dropped_again_is_dealt_with_again_without_a_byte(site: Site) -> None:
    site.configure(folder=SETTLE + 'after_upload = "delete"')
    for _ in range(2):
        drop(site, "a.png", 1)
        assert site.once().returncode == 0
        assert list(site.drop.iterdir()) == []
    drop(site, "b.png", 1)
    assert site.once().returncode == 0
    assert list(site.drop.iterdir()) == []
    assert site.sandbox.counters["upload_url"] == 1


def test_a_receipt_lies_beside_the_file_and_is_not_taken_for_one(site: Site) -> None:
    site.configure(folder=SETTLE + "receipt = true")
    content = drop(site, "a.png", 1)
    assert site.once().returncode == 0
    receipt = json.loads((site.drop / "a.png.layer.json").read_text())
    (row,) = site.rows()
    assert receipt["file_id"] == row["file_id"]
    assert receipt["sha256"] == hashlib.sha256(content).hexdigest()
    assert site.once().returncode == 0
    assert len(site.rows()) == 1


def test_what_the_server_has_not_confirmed_by_a_hash_is_never_deleted(site: Site) -> None:
    site.configure(folder=SETTLE + 'after_upload = "delete"')
    site.sandbox.faults = Faults(no_hash=1.0)
    content = drop(site, "a.png", 1)
    twin = drop(site, "b.png", 1)
    assert site.once().returncode == 0
    assert site.statuses() == {"uploaded": 2}
    assert (site.drop / "a.png").read_bytes() == content
    assert (site.drop / "b.png").read_bytes() == twin
    assert "confirmed" in site.call("show", "1").stdout


@pytest.mark.parametrize("policy", ['after_upload = "delete"', 'after_upload = "move"', "receipt = true"])
@pytest.mark.parametrize("point", ["uploaded", "finishing", "finished"])
def test_ended_in_the_middle_the_next_start_finishes_it(site: Site, policy: str, point: str) -> None:
    site.configure(folder=f"{SETTLE}{policy}\n")
    contents = {name: drop(site, name, seed) for seed, name in enumerate(("a.png", "b.png"))}
    assert site.once(LAYERWATCH_END_AT=point).returncode == -signal.SIGKILL
    assert site.once().returncode == 0
    assert site.statuses() == {"uploaded": 2}
    assert [row["aftermath"] for row in site.rows("aftermath")] == ["done", "done"]
    left = {path.name for path in site.drop.iterdir()}
    assert (
        left
        == {
            'after_upload = "delete"': set(),
            'after_upload = "move"': {"uploaded"},
            "receipt = true": {"a.png", "b.png", "a.png.layer.json", "b.png.layer.json"},
        }[policy]
    )
    if "move" in policy:
        assert {path.name: path.read_bytes() for path in (site.drop / "uploaded").iterdir()} == contents
    assert len(site.sandbox.objects) == 2


def test_a_new_version_that_came_meanwhile_is_not_deleted_but_uploaded(site: Site) -> None:
    site.configure(folder=SETTLE + 'after_upload = "delete"')
    drop(site, "a.png", 1)
    assert site.once(LAYERWATCH_END_AT="uploaded").returncode == -signal.SIGKILL
    second = drop(site, "a.png", 2)
    assert site.once().returncode == 0
    assert hashlib.sha256(second).hexdigest() in {item.sha256 for item in site.sandbox.objects}
    assert site.statuses() == {"uploaded": 2}
    assert not (site.drop / "a.png").exists(), "it too is stored now"
