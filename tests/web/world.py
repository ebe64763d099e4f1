"""A ledger as it is in the middle of a night: hundreds of files, some in trouble, generations in every state."""

import hashlib
import os
import time

from layerwatch import samples
from layerwatch.board import Flight
from layerwatch.errors import Code, Final
from layerwatch.ledger import Firing, Following, Ledger, Version
from layerwatch.source import Digest, identity
from layerwatch.states import Event, Turn
from tests.cli.conftest import HOSTILE, RULE, WORKSPACE, Place
from tests.web.conftest import Site

LONG = "shot_" + "0123456789" * 24 + ".png"
MARKUP = "<script>alert(1)<|script>&amp;\u202egnp.png"
GATES = 3  # complete generations
FILES = 500


def image(seed: int, width: int = 96) -> bytes:
    return samples.png(width, width * 3 // 4, seed)


def recorded(
    place: Place, ledger: Ledger, name: str, content: bytes, ago_s: float = 0.0, kind: str = "image/png"
) -> int:
    path = place.write(name, content)
    digest = Digest(hashlib.sha256(content).hexdigest(), 0)
    version = Version("concepts", path, identity(os.lstat(path)), kind, digest)
    return ledger.files.record([version], time.time() - ago_s)[0].id


def uploaded(
    place: Place, ledger: Ledger, name: str, content: bytes, ago_s: float = 0.0, kind: str = "image/png"
) -> int:
    id_ = recorded(place, ledger, name, content, ago_s, kind)
    job = place.claim(ledger)
    assert job.id == id_
    file_id = f"f1d00000-0000-4000-8000-{id_:012}"
    ledger.files.uploaded(
        job, Event.STORED, time.time() - ago_s, file_id=file_id, workspace_id=WORKSPACE, verified="crc32c"
    )
    return id_


def fired(place: Place, ledger: Ledger, name: str, content: bytes, price: float = 8.0) -> Firing:
    """A generation of one file, whose request is on its way."""
    place.plan(ledger, place.input(ledger, name, content))
    job = place.take(ledger)
    assert ledger.firing.book(job, place.request(job), price, [], time.time()) is None
    return job


def followed(place: Place, ledger: Ledger, name: str, content: bytes) -> Following:
    """A generation of one file, which Layer works on."""
    job, now = fired(place, ledger, name, content), time.time()
    ledger.firing.accepted(job, f"remote-{job.id}", now, price=None, poll_at=now, deadline=now + 3600)
    return place.follow(ledger, job.id)


def generated(place: Place, ledger: Ledger, name: str, content: bytes, *results: bytes) -> int:
    """A complete generation of one file, with these result files."""
    job, outputs = followed(place, ledger, name, content), []
    for number, result in enumerate(results, 1):
        path = place.write(f"generated/{name}.{number}.png", result)
        digest = hashlib.sha256(result).hexdigest()
        ledger.following.intend(job, number, path, digest, len(result))
        ledger.following.saved(job, number)
        outputs.append({"path": path, "sha256": digest, "size": len(result), "content_type": "image/png"})
    ledger.following.completed(job, outputs, 8.0, None, time.time(), deliver=False)
    return job.id


def busy(place: Place, ledger: Ledger, site: Site, files: int = FILES) -> None:
    """Fill them; what is claimed is always what was recorded just before."""
    place.configure(f'{RULE}outputs = "generated"', budget="daily = 100")
    place.watched(ledger)
    for number in range(files):
        name = f"shots/sh{number // 10:03}/frame_{number:04}.png"
        uploaded(place, ledger, name, b"frame %d" % number, ago_s=90.0 * (files - number))
    for number, name in enumerate((LONG, MARKUP, HOSTILE, "مشهد_01.png")):
        uploaded(place, ledger, name, b"odd %d" % number)
    _in_trouble(place, ledger)
    for number in range(GATES):
        pictures = (image(number + 30 + each) for each in range(number + 1))
        generated(place, ledger, f"sh{number:03}_beauty.png", image(number), *pictures)
    _undecided(place, ledger)
    _in_flight(place, ledger, site)


def _in_trouble(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "sh020_beauty.png", b"refused")
    place.failure(ledger)
    place.record(ledger, MARKUP.replace("gnp", "pj"), b"hostile")
    place.fault(ledger, Final(Code.REJECTED, f"<b>422</b>\u202e\n{'no ' * 3000}"))
    place.record(ledger, "sh021_beauty.png", b"later")
    place.trouble(ledger, 40.0)
    place.waits(ledger, "sh022_half_written.png")
    place.refuse(ledger, "notes.txt")


def _undecided(place: Place, ledger: Ledger) -> None:
    message = "the connection to api.example broke"
    ledger.firing.lost(fired(place, ledger, "sh010_beauty.png", image(10)), time.time(), message, Code.NETWORK)
    job = followed(place, ledger, "sh011_beauty.png", image(11))
    ledger.following.ended(
        job, Turn.FAILED, time.time(), code="CONTENT_POLICY_VIOLATION", message="the prompt was refused",
        remote_state="failed", price=8.0,
    )  # fmt: skip
    ledger.following.again(followed(place, ledger, "sh013_beauty.png", image(13)), time.time() + 600)
    place.blocked(ledger, "sh012_beauty.png")
    place.waiting(ledger, "sh014_beauty.png")


def _in_flight(place: Place, ledger: Ledger, site: Site) -> None:
    for number, (size, sent) in enumerate(((58_000_000, 21_500_000), (12_400_000, 11_900_000))):
        name = f"sh03{number}_plate.mp4"
        id_ = recorded(place, ledger, name, b"plate %d" % number, kind="video/mp4")
        place.claim(ledger, sent)
        path, began = os.path.join(place.root, name), time.monotonic() - 9
        site.board.flights[id_] = Flight(path, "concepts", size, began, sent)
    recorded(place, ledger, "sh040_beauty.png", b"next")
