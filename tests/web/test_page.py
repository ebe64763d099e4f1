"""The page: what it tells of a ledger, and that nothing of other people's does any harm in it."""

import os
import time
from dataclasses import replace
from itertools import pairwise

import httpx
import pytest

from layerwatch.board import Flight
from layerwatch.errors import Code, Final
from layerwatch.ledger import FolderState, Ledger
from layerwatch.pacing import Hold
from layerwatch.redact import _tokens, register
from layerwatch.web.listing import LATEST
from layerwatch.web.sight import FolderSight
from tests.cli.conftest import HOSTILE, RULE, SECRET, Place
from tests.web.conftest import Site
from tests.web.reader import Page
from tests.web.world import LONG, MARKUP, busy, followed, generated, image, recorded, uploaded


def page(client: httpx.Client, query: str = "", status: int = 200) -> Page:
    answer = client.get(f"/{query}")
    assert answer.status_code == status, answer.text
    return Page(answer.text)


# --- how it is --------------------------------------------------------------------------------------------------------


def test_with_nothing_in_it_all_is_well(client: httpx.Client) -> None:
    found = page(client)
    assert found.title == "all is well - layerwatch"
    assert found.text("now") == "All is well. Nothing has come in yet."
    assert found.text("files").endswith("No such file yet.")
    assert found.ids & {"going", "trouble", "generations", "spend", "needs", "older", "newest"} == set()
    assert found.text("folder-concepts").startswith("concepts ")


def test_with_all_done_all_is_well(client: httpx.Client, place: Place, ledger: Ledger) -> None:
    uploaded(place, ledger, "a.png", image(1))
    found = page(client)
    assert found.text("now") == "All is well. Everything that came in has been dealt with."
    assert found.text("count-uploaded") == "1 uploaded"
    assert found.ids & {"going", "trouble", "generations", "needs"} == set()


def test_work_is_told(client: httpx.Client, place: Place, ledger: Ledger) -> None:
    for name in ("a", "b", "c"):
        recorded(place, ledger, f"{name}.png", name.encode(), ago_s=300)
    place.claim(ledger)
    found = page(client)
    assert found.title == "working - layerwatch"
    assert found.text("now") == "All is well. 1 file is going up and 2 files wait for their turn."
    assert found.text("oldest").endswith("(5 min ago): concepts/b.png")


def test_what_failed_comes_first_with_why_and_what_to_do(client: httpx.Client, place: Place, ledger: Ledger) -> None:
    for name in ("a.png", "b.png"):
        place.record(ledger, name, name.encode())
        place.failure(ledger)
    found = page(client)
    assert found.title == "2 failed - layerwatch"
    assert found.text("summary") == "One thing needs you."
    assert found.text("needs") == "2 files could not be uploaded"
    assert {"href": "#trouble"} in found.all("a")
    assert "concepts/a.png failed" in found.text("failed-1")
    assert "rejected: the API answered 422" in found.text("failed-1").replace("rejected ", "rejected: ")
    assert "What to do: put right what the error says" in found.text("failed-1")


def test_of_many_that_failed_the_rest_is_a_link_away(client: httpx.Client, place: Place, ledger: Ledger) -> None:
    for number in range(13):
        place.record(ledger, f"{number}.png", b"%d" % number)
        place.failure(ledger)
    found = page(client)
    assert found.text("more-failed") == "and 3 more"
    assert {"href": "/?status=failed#files"} in found.all("a")


def test_what_is_tried_again_says_when_and_what_is_not_taken_says_why(
    client: httpx.Client, place: Place, ledger: Ledger
) -> None:
    place.record(ledger, "a.png")
    place.trouble(ledger, 1000.0)
    place.waits(ledger, "half.png")
    found = page(client)
    assert "next attempt in 17 min, at " in found.text("again-1")
    assert "connection refused" in found.text("again-1")
    assert "concepts/half.png 1 B, since " in found.text("trouble")
    assert "PNG ends before its IEND chunk" in found.text("trouble")
    assert "needs" not in found.ids


def test_a_hold_says_that_everything_waits_and_why(client: httpx.Client, site: Site) -> None:
    site.hold = Hold("network", "connection \x1b[2J refused", time.monotonic(), 60.0, 0.0)
    found = page(client)
    assert found.title == "everything waits - layerwatch"
    assert found.text("now") == r"Everything waits. connection \x1b[2J refused"


def test_what_ails_the_daemon_needs_a_person(client: httpx.Client, site: Site, place: Place) -> None:
    away = FolderSight("concepts", "/mnt/concepts", FolderState.AWAY, "not mounted \u202e", deaf=False)
    site.folders = [away]
    site.late = ["uploader 2"]
    site.configuration = "config.toml: upload.workers: is no number"
    found = page(client)
    assert found.text("summary") == "3 things need you."
    assert r"folder concepts is away: not mounted \u202e" in found.text("needs")
    assert "What to do: mount it" in found.text("needs")
    assert "uploader 2" in found.text("needs")
    assert "upload.workers: is no number" in found.text("needs")
    assert found.text("folder-concepts").startswith(r"concepts /mnt/concepts away not mounted \u202e")


# --- going up ---------------------------------------------------------------------------------------------------------


def test_an_upload_shows_how_far_it_is(client: httpx.Client, site: Site, place: Place) -> None:
    since = time.monotonic() - 100_000  # so long that what it takes to ask is in none of the figures
    path = os.path.join(place.root, "sub", "a.png")
    site.board.flights[7] = Flight(path, "concepts", 40 * 10**9, since, sent=30 * 10**9, resumed_at=10**10)
    found = page(client)
    (bar,) = found.all("progress")
    assert (bar["max"], bar["value"]) == ("100", "75")
    assert found.all("label", **{"for": bar["id"]})
    assert "concepts/sub/a.png" in found.text("up-7")
    assert "75 %, 27.9 GiB of 37.3 GiB, 195.3 KiB/s, about 14 h left" in found.text("up-7")


@pytest.mark.parametrize(("size", "sent", "percent"), [(0, 0, "100"), (10, 99, "100"), (10, 0, "0")])
def test_odd_uploads_do_no_harm(client: httpx.Client, site: Site, size: int, sent: int, percent: str) -> None:
    site.board.flights[1] = Flight("/elsewhere/a.png", "gone", size, time.monotonic() + 5, sent)
    found = page(client)
    assert found.all("progress")[0]["value"] == percent
    assert "/elsewhere/a.png" in found.text("up-1")


# --- the list ---------------------------------------------------------------------------------------------------------


def listed(found: Page) -> list[int]:
    ids = [given["id"] for given in found.all("tr") if given.get("id", "").startswith("file-")]
    return [int(id_.removeprefix("file-")) for id_ in ids]


def test_the_list_is_paged_from_the_latest_to_the_first(client: httpx.Client, place: Place, ledger: Ledger) -> None:
    many = 2 * LATEST + 3
    for number in range(many):
        recorded(place, ledger, f"{number}.png", b"%d" % number)
    seen, query, pages = [], "", 0
    while query is not None:
        found = page(client, query)
        seen += listed(found)
        pages += 1
        query = next((given["href"][1:] for given in found.all("a", id="older")), None)  # type: ignore[assignment]
        assert bool(found.all("a", id="newest")) == (pages > 1)
    assert seen == list(range(many, 0, -1))
    assert pages == 3


def test_the_list_is_narrowed_by_status_and_folder(client: httpx.Client, place: Place, ledger: Ledger) -> None:
    uploaded(place, ledger, "a.png", b"a")
    place.refuse(ledger, "b.txt")
    recorded(place, ledger, "c.png", b"c")
    assert listed(page(client)) == [3, 2, 1]
    assert listed(page(client, "?status=uploaded")) == [1]
    assert listed(page(client, "?status=skipped&folder=concepts")) == [2]
    assert listed(page(client, "?folder=textures")) == []
    assert listed(page(client, "?before=3&folder=concepts")) == [2, 1]
    found = page(client, "?status=queued&folder=concepts")
    assert listed(found) == [3]
    chosen = [given["href"] for given in found.all("a") if "aria-current" in given]
    assert chosen == ["/?status=queued&folder=concepts#files"] * 2
    assert {"id": "by-failed", "href": "/?status=failed&folder=concepts#files"} in found.all("a")


def test_a_row_tells_status_size_time_and_file_id(client: httpx.Client, place: Place, ledger: Ledger) -> None:
    id_ = uploaded(place, ledger, "a.png", b"x" * 2048)
    row = page(client).text(f"file-{id_}")
    file = ledger.reports.file(id_)
    assert file
    assert file.uploaded_at
    assert row.startswith(f"concepts/a.png file_id {file.file_id} uploaded 2.0 KiB ")
    assert {"datetime": f"{file.uploaded_at[:19]}Z"}.items() <= page(client).all("time")[-3].items()


@pytest.mark.parametrize(
    "query",
    ["?status=x", "?status=", "?status=<script>", "?folder=nowhere", "?before=x", "?before=-1", "?before=0", "?before=",
     "?before=" + "9" * 40, "?before=%D9%A1", "?x=1", "?status=failed&status=failed", f"?{'x=1&' * 99}"],
)  # fmt: skip
def test_a_question_that_is_none_gets_a_word_about_it(client: httpx.Client, query: str) -> None:
    answer = client.get(f"/{query}")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert len(answer.text.splitlines()) == 1
    assert "Traceback" not in answer.text
    assert len(answer.text) < 300


# --- generations ------------------------------------------------------------------------------------------------------


def test_a_card_shows_what_was_made_of_what(client: httpx.Client, place: Place, ledger: Ledger) -> None:
    place.configure(f'{RULE}outputs = "generated"')
    id_ = generated(place, ledger, "a.png", image(1), image(2), image(3))
    found = page(client)
    shown = [given for given in found.all("img") if given["src"].startswith("/media/")]
    assert [given["src"] for given in shown] == ["/media/file/1", f"/media/result/{id_}/1", f"/media/result/{id_}/2"]
    assert {(given["loading"], given["decoding"]) for given in shown} == {("lazy", "async")}
    assert shown[1]["alt"] == "result: concepts/generated/a.png.1.png"
    assert [client.get(given["src"]).status_code for given in shown] == [200] * 3
    assert found.text(f"card-{id_}").startswith(f"→ g{id_} restyle complete concepts/a.png done, 8 units, ")


def test_what_is_no_picture_or_gone_has_a_word_in_its_place(client: httpx.Client, place: Place, ledger: Ledger) -> None:
    place.configure(f'{RULE}outputs = "generated"')
    id_ = generated(place, ledger, "a.png", image(1), image(2))
    os.unlink(os.path.join(place.root, "a.png"))
    with ledger._store.write() as connection:
        connection.execute("UPDATE generations SET outputs = replace(outputs, 'image/png', 'video/mp4')")
    found = page(client)
    assert [given for given in found.all("img") if given["src"].startswith("/media/")] == []
    assert found.text(f"card-{id_}").startswith(f"gone → video g{id_} ")
    assert found.all("span", role="img")[0]["aria-label"] == "input: concepts/a.png (gone)"


def test_pictures_of_a_folder_that_is_away_are_not_looked_for(
    client: httpx.Client, site: Site, place: Place, ledger: Ledger
) -> None:
    place.configure(f'{RULE}outputs = "generated"')
    generated(place, ledger, "a.png", image(1), image(2))
    assert len(page(client).all("img")) == 3
    site.folders = [replace(each, state=FolderState.AWAY) for each in site.folders]
    assert len(page(client).all("img")) == 1


def test_what_needs_a_word_says_which_command_gives_it(client: httpx.Client, place: Place, ledger: Ledger) -> None:
    unknown, failed = place.unknown(ledger, "u.png"), place.failing(ledger, "f.png")
    blocked, waiting = place.blocked(ledger, "b.png", per_generation=5), place.waiting(ledger, "w.png")
    found = page(client)
    assert f"layerwatch resolve g{unknown}" in found.text(f"decide-g{unknown}")
    assert r"it did not \x1b[2J work" in found.text(f"decide-g{failed}")
    assert "layerwatch retry" in found.text(f"decide-g{failed}")
    assert "layerwatch approve" in found.text("decide-held-over_per_generation")
    assert "about 10 Creative Units, nothing is paid yet" in found.text("decide-held-over_per_generation")
    assert "it waits for depth (w.png_depth)" in found.text(f"decide-g{waiting}")
    assert found.text("needs") == (
        "1 generation failed 1 generation may have been paid for, or not: only a person can tell"
        " 1 generation waits to be approved"
    )
    assert f"card-{blocked}" not in found.ids


def test_a_webhook_that_was_given_up_is_told(client: httpx.Client, place: Place, ledger: Ledger) -> None:
    id_ = uploaded(place, ledger, "a.png", b"a")
    with ledger._store.write() as connection:
        connection.execute(
            "INSERT INTO deliveries (folder, event, item_id, status, created_at, updated_at)"
            " VALUES ('concepts', 'uploaded', ?, 'failed', '', '')",
            (id_,),
        )
    assert page(client).text("needs").startswith("1 command or webhook was given up What to do: layerwatch show")


def test_what_goes_on_by_itself_another_day_needs_nobody(client: httpx.Client, place: Place, ledger: Ledger) -> None:
    place.blocked(ledger, "b.png", daily=5)
    found = page(client)
    assert "needs" not in found.ids
    assert "the limit of the day is reached" in found.text("generations")
    assert "looked at again in " in found.text("generations")


def test_the_day_is_held_against_the_budget(client: httpx.Client, place: Place, ledger: Ledger) -> None:
    place.configure(RULE, budget="daily = 50")
    generated(place, ledger, "a.png", image(1))
    followed(place, ledger, "b.png", image(2))
    found = page(client)
    (meter,) = found.all("meter")
    assert (meter["min"], meter["max"], meter["value"]) == ("0", "50.0", "16.0")
    assert found.all("label", **{"for": meter["id"]})
    assert found.text("spend").startswith("Creative Units 16 today, 16 since Monday, ")
    assert "concepts 16 16" in found.text("spend")


# --- other people's text ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [LONG, MARKUP, HOSTILE, "مشهد_01.png", "a\u2028b\u2066c\x85.png", "'\"><img src=x>.png"]
)
def test_no_name_does_harm(client: httpx.Client, place: Place, ledger: Ledger, name: str, site: Site) -> None:
    place.configure(f'{RULE}outputs = "generated"')
    text = name.encode(errors="replace").decode()
    generated(place, ledger, name, image(1), image(2))
    place.record(ledger, f"x{name}"[-200:], b"x")
    place.fault(ledger, Final(Code.REJECTED, f"{text}</p><script>alert(1)</script>"))
    place.waits(ledger, f"y{name}"[-200:], reason=text)
    site.board.flights[1] = Flight(os.path.join(place.root, name), "concepts", 10, time.monotonic(), 5)
    answer = client.get("/")
    found = Page(answer.text)
    assert answer.content.decode("utf-8") == answer.text
    assert [char for char in answer.text if not char.isprintable() and char != "\n"] == []
    assert len(found.all("script")) == 1
    assert [given for given in found.all("img") if not given["src"].startswith(("/media/", "/static/"))] == []
    assert len([given for given in found.all("bdi") if given.get("class") == "name"]) >= 6


def test_a_long_error_is_cut(client: httpx.Client, place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png")
    place.fault(ledger, Final(Code.REJECTED, "no " * 100_000))
    answer = client.get("/")
    assert answer.text.count("no no no") < 400
    assert len(answer.content) < 20_000


def test_no_secret_is_in_any_answer(client: httpx.Client, site: Site, place: Place, ledger: Ledger) -> None:
    token = "s3cret-t0ken&'<>"
    place.configure(f'{RULE}outputs = "generated"')
    place.complete(ledger, "r.png", saved=False)
    recorded(place, ledger, f"{token.replace('/', '')}.png", b"t")
    place.claim(ledger, 1)
    recorded(place, ledger, "b.png", b"b")
    place.fault(ledger, Final(Code.REJECTED, f"{'x' * 150}{token} at {SECRET} Bearer {token}"))
    site.hold = Hold("network", f"{SECRET} {token}", 0.0, 60.0, 0.0)
    register(token)
    try:
        answers = [client.get(path) for path in ("/", "/?status=failed", "/healthz", "/metrics", "/x", "/?status=x")]
    finally:
        _tokens.discard(token)
    text = "".join(answer.text + str(answer.headers) for answer in answers)
    assert "SECRET" not in text
    assert "s3cret" not in text
    assert "[redacted]" in answers[0].text
    Page(answers[0].text)


# --- for everybody ----------------------------------------------------------------------------------------------------


def test_it_is_a_page_for_everybody(client: httpx.Client, site: Site, place: Place, ledger: Ledger) -> None:
    busy(place, ledger, site, files=3)
    found = page(client)
    assert found.all("html") == [{"lang": "en"}]
    assert len(found.all("main")) == len(found.all("h1")) == len(found.all("header")) == len(found.all("footer")) == 1
    levels = [int(tag[1]) for tag, _ in found.tags if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert len(found.all("caption")) == len(found.all("table")) >= 3
    assert all("scope" in given for given in found.all("th"))
    assert all("alt" in given for given in found.all("img"))
    assert len([given for _, given in found.tags if "aria-live" in given]) == 1
    named = {given[key] for _, given in found.tags for key in ("aria-labelledby", "for") if key in given}
    assert named <= found.ids
    leads = {given["href"][1:] for given in found.all("a") if given["href"].startswith("#")}
    assert leads <= found.ids
    assert all("aria-labelledby" in given for given in found.all("section"))
    assert len({given["aria-label"] for given in found.all("nav")}) == len(found.all("nav"))


def test_it_comes_again_by_itself_without_scripts(client: httpx.Client) -> None:
    assert '<noscript><meta http-equiv="refresh" content="10"></noscript>' in client.get("/").text


def test_a_busy_page_tells_all_of_it(client: httpx.Client, site: Site, place: Place, ledger: Ledger) -> None:
    busy(place, ledger, site, files=20)
    found = page(client)
    assert {"going", "trouble", "files", "generations", "spend", "folders", "decide", "cards-title"} <= found.ids
    assert found.title == "2 failed - layerwatch"
    order = [given["id"] for given in found.all("section")]
    assert order == ["now", "counts", "going", "trouble", "files", "generations", "spend", "folders"]
