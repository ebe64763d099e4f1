"""The files of a forecast, folder by folder, for people."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from layerwatch.cli.forecast.listing import below, count, some, title
from layerwatch.cli.tables import COLOURS, Page
from layerwatch.notices import name_text, size_text

if TYPE_CHECKING:
    from layerwatch.preview import FolderOutlook


def folder_lines(out: Page, folder: "FolderOutlook", most: int | None) -> Iterator[str]:
    name = title(out, folder.name)
    if folder.state not in ("watching", "polling"):
        state = str(folder.state or "away")
        yield f"{name}  {out.paint(state, COLOURS.get(state))}: {name_text(folder.detail)}"
        if folder.left:
            yield f"  {count(folder.left, 'queued file')} would wait for it"
        return
    yield f"{name}  {out.fit(name_text(folder.path), len(folder.name) + 2)}"
    parts = (_uploads, _reused, _not_yet, _skipped, _lost)
    lines = [line for part in parts for line in part(out, folder, most)]
    yield from lines or ["  nothing new"]


def _uploads(out: Page, folder: "FolderOutlook", most: int | None) -> Iterator[str]:
    if not folder.uploads:
        return
    left = size_text(sum(each.left for each in folder.uploads))
    yield f"  {out.paint(count(len(folder.uploads), 'file'), COLOURS['queued'])} to upload, {left}"
    shown, more = some(folder.uploads, most)
    for each in shown:
        size = size_text(each.size) + ("" if each.left == each.size else f", {size_text(each.left)} still to be sent")
        yield _file(out, folder, each.path, size)
    yield from more


def _reused(out: Page, folder: "FolderOutlook", most: int | None) -> Iterator[str]:
    if not folder.reused:
        return
    number = out.paint(count(len(folder.reused), "file"), COLOURS["uploaded"])
    yield f"  {number} with the bytes of another one: its file_id is used, nothing is sent"
    shown, more = some(folder.reused, most)
    for each in shown:
        yield _file(out, folder, each.path, size_text(each.size))
    yield from more


def _not_yet(out: Page, folder: "FolderOutlook", most: int | None) -> Iterator[str]:
    if not folder.waiting:
        return
    yield f"  {out.paint(count(len(folder.waiting), 'file'), COLOURS['waiting'])} not taken yet"
    shown, more = some(folder.waiting, most)
    for each in shown:
        yield _file(out, folder, each.path)
        yield f"      {name_text(each.reason)}"
    yield from more


def _skipped(out: Page, folder: "FolderOutlook", most: int | None) -> Iterator[str]:
    """By the reason, since of some there are many."""
    codes = Counter(each.error_code for each in folder.skipped)
    for code, number in codes.most_common():
        yield f"  {out.paint(count(number, 'file'), COLOURS['skipped'])} skipped: {code}"
        shown, more = some([each for each in folder.skipped if each.error_code == code], most)
        for each in shown:
            yield _file(out, folder, each.path)
        yield from more


def _lost(out: Page, folder: "FolderOutlook", most: int | None) -> Iterator[str]:
    if not folder.lost:
        return
    yield f"  {out.paint(count(len(folder.lost), 'file'), COLOURS['failed'])} in the queue, and not to be had"
    shown, more = some(folder.lost, most)
    for each in shown:
        yield _file(out, folder, each.path)
        yield f"      {each.error_code}: {name_text(each.error)}"
    yield from more


def _file(out: Page, folder: "FolderOutlook", path: str, about: str = "") -> str:
    name = out.fit(below(folder.name, folder.path, path), 4 + (len(about) + 2 if about else 0))
    return f"    {name}  {about}" if about else f"    {name}"
