"""The page as people have it: a real Chromium, on a busy ledger and on a real daemon."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from layerwatch import samples
from layerwatch.ledger import Ledger
from tests.cli.conftest import Place
from tests.system.conftest import Site as RealSite
from tests.system.conftest import sandbox, site  # noqa: F401  fixtures of a real daemon
from tests.web.browser import Browser
from tests.web.conftest import Site, serving
from tests.web.world import FILES, busy, image, recorded

WIDE, PHONE = 1280, 390
# Text that people are to read on what lies behind it, by the formula of WCAG 2.
CONTRASTS = """
(() => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((c) => (c /= 255, c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = channels(getComputedStyle(at).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.body.querySelectorAll("*")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.nodeValue.trim());
    if (!own || !element.getClientRects().length) continue;
    const [a, b] = [light(channels(getComputedStyle(element).color)), light(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(`${element.className || element.tagName} ${ratio.toFixed(2)}`);
  }
  return [...new Set(found)];
})()
"""
TOO_WIDE = """
[...document.querySelectorAll("body *")].filter((element) => {
  const at = element.getBoundingClientRect();
  return at.width > 2 && (at.right > innerWidth + 0.5 || at.left < -0.5);
}).map((element) => `${element.tagName} ${element.id} ${element.className}`)
"""
PICTURES = """
Promise.all([...document.images].map((each) => {
  each.loading = "eager";
  return each.decode().then(() => each.naturalWidth > 0, () => false);
}))
"""


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with Browser(tmp_path / "profile") as browser:
        yield browser


# --- a busy ledger ----------------------------------------------------------------------------------------------------


@pytest.fixture
def night(place: Place) -> Site:
    return Site(place)


@pytest.fixture
def url(place: Place, ledger: Ledger, night: Site) -> Iterator[str]:
    busy(place, ledger, night)
    with serving(night) as server:
        yield f"http://127.0.0.1:{server.address[1]}/"


def test_it_looks_as_it_should_on_a_screen_and_on_a_phone_by_day_and_by_night(
    browser: Browser, url: str, tmp_path: Path
) -> None:
    shots = {}
    for width in (WIDE, PHONE):
        for dark in (False, True):
            browser.look(width=width, dark=dark)
            browser.open(url)
            pictures = browser.ask(PICTURES)
            assert len(pictures) > 6
            assert all(pictures)
            assert browser.ask("document.documentElement.scrollWidth") == width
            assert browser.ask(TOO_WIDE) == []
            for mood in ("good", "busy", "held", "bad"):
                browser.ask(f"document.getElementById('now').className = '{mood}'")
                assert browser.ask(CONTRASTS) == []
            path = tmp_path / f"{width}-{'dark' if dark else 'light'}.png"
            browser.picture(path)
            shots[width, dark] = path
    assert browser.complaints == []
    for (width, dark), path in shots.items():
        with Image.open(path) as shot:
            assert shot.width == width
            assert shot.height > 2000
            assert len(shot.convert("RGB").getcolors(1 << 24) or ()) > 1000
            red, green, blue = shot.convert("RGB").getpixel((1, 1))  # type: ignore[misc]
            assert (red + green + blue < 3 * 64) == dark
            assert (red + green + blue > 3 * 192) != dark


def test_it_is_the_same_page_without_scripts(browser: Browser, url: str) -> None:
    browser.look(width=WIDE, scripts=False)
    browser.open(url)
    assert browser.ask("document.title") == "2 failed - layerwatch"
    assert browser.ask("document.querySelectorAll('#files tbody tr').length") == 50
    assert browser.ask("document.querySelector('noscript meta').content") == "10"


def test_what_other_people_wrote_is_text(browser: Browser, url: str) -> None:
    browser.look(width=WIDE)
    browser.open(url)
    assert browser.ask("document.scripts.length") == 1
    assert browser.ask(
        r"document.getElementById('files').innerText.includes('<script>alert(1)<|script>&amp;\\u202egnp.png')"
    )
    assert not browser.ask(r"/[\u202a-\u202e\u2066-\u2069]/.test(document.documentElement.textContent)")


def test_what_changes_is_changed_in_place(browser: Browser, url: str, place: Place, ledger: Ledger) -> None:
    """Scrolling, focus and pictures stay; the row that was there before is the very same."""
    browser.look(width=WIDE)
    browser.open(url)
    browser.ask(PICTURES)
    row = browser.ask("document.querySelector('#files tbody tr').id")
    browser.ask(f"window.before = document.getElementById('{row}'); document.getElementById('older').focus({{}}); 1")
    top = browser.ask("before.getBoundingClientRect().top")
    pictures = len([asked for asked in browser.requested if "/media/" in asked])
    assert pictures > 6

    id_ = recorded(place, ledger, "sh099_new.png", image(99))
    browser.until(f"document.getElementById('file-{id_}') !== null", "the new file")
    assert browser.ask("document.querySelector('#files tbody tr').id") == f"file-{id_}"
    assert browser.ask(f"before.isConnected && before === document.getElementById('{row}')")
    assert browser.ask("document.activeElement.id") == "older"
    assert abs(browser.ask("before.getBoundingClientRect().top") - top) < 200
    assert browser.ask("document.getElementById('count-queued').textContent.trim().startsWith('3')")
    assert len([asked for asked in browser.requested if "/media/" in asked]) == pictures
    assert browser.complaints == []


def test_filters_and_pages_are_links_that_work(browser: Browser, url: str) -> None:
    browser.look(width=WIDE)
    browser.open(url)
    for link, rows in (("#by-failed", 2), ("#by-uploaded", 50), ("#older", 50), ("#newest", 50), ("#count-skipped", 1)):
        browser.ask(f"window.left = true; document.querySelector('{link}').click()")
        browser.until("!window.left && document.readyState === 'complete'", link)
        assert browser.ask("document.querySelectorAll('#files tbody tr').length") == rows
        assert browser.ask("scrollY > 0"), "the list is in sight"
    assert FILES > 100
    assert browser.complaints == []


def test_it_says_that_nobody_answers_and_goes_on_when_somebody_does(
    browser: Browser, place: Place, ledger: Ledger, night: Site
) -> None:
    browser.look(width=WIDE)
    with serving(night) as server:
        port = server.address[1]
        browser.open(f"http://127.0.0.1:{port}/")
        assert browser.ask("document.getElementById('connection').hidden")
    browser.until("!document.getElementById('connection').hidden", "the banner")
    assert browser.ask("document.getElementById('connection').textContent").startswith("layerwatch no longer answers")
    assert browser.ask("document.title") == "no answer - all is well - layerwatch"
    with serving(night, port=port):
        browser.until("document.getElementById('connection').hidden", "the banner to go")
        assert browser.ask("document.title") == "all is well - layerwatch"


# --- a real daemon ----------------------------------------------------------------------------------------------------


def test_the_page_of_a_real_daemon_follows_what_happens(browser: Browser, site: RealSite) -> None:  # noqa: F811
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    site.configure(more=f'[http]\nlisten = "127.0.0.1:{port}"\n')
    (site.drop / "first.png").write_bytes(samples.sample("png", 1))
    process = site.start()
    url = f"http://127.0.0.1:{port}/"
    browser.look(width=WIDE)
    browser.wait(lambda: "errorText" not in browser.call("Page.navigate", url=url), "the daemon listens")
    browser.until("document.querySelector('#count-uploaded b')?.textContent === '1'", "the first file")
    (site.drop / "second \u202e<b>.png").write_bytes(samples.sample("png", 2))
    browser.until("document.querySelector('#count-uploaded b').textContent === '2'", "the second file")
    assert browser.ask("document.getElementById('summary').textContent") == "All is well."
    assert browser.ask(r"document.getElementById('files').innerText.includes('drop/second \\u202e<b>.png')")
    assert browser.complaints == []
    assert site.end(process) == 0
    browser.until("!document.getElementById('connection').hidden", "the banner")
    assert os.path.exists(site.ledger)
