"""The status page in a real browser: Debian's Chromium, headless, against a served page."""

import contextlib
import os
import threading
from dataclasses import replace

import pytest
import uvicorn

from scripts.chromium import chromium, find_chromium
from subnet.status.page import app
from subnet.status.snapshot import LedgerStatus, MinerStatus
from subnet.status.source import Source, SourceUnavailable
from tests.status.example import BUNDLE, LABELS, hotkey, snapshot

pytestmark = pytest.mark.skipif(
    find_chromium() is None and not os.environ.get("ASSAY_REQUIRE_BROWSER"),
    reason="no Chromium (apt-get install -y chromium); ASSAY_REQUIRE_BROWSER=1 makes this an error",
)


class Validators:
    """Two validators whose snapshots the tests change."""

    def __init__(self):
        self.seen = [snapshot(0), replace(snapshot(1), round=7)]
        self.away = False

    def source(self, index):
        async def read():
            if self.away:
                raise SourceUnavailable("the validator is away")
            return self.seen[index]

        async def bundle(digest):
            return b"evidence" if digest == BUNDLE else None

        return Source(f"validator {index}", read, bundle)


@contextlib.contextmanager
def served(page):
    server = uvicorn.Server(uvicorn.Config(page, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            thread.join(0.02)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser():
    with chromium() as tab:
        yield tab


@pytest.fixture
def validators():
    return Validators()


@pytest.fixture
def tab(browser, validators):
    browser.events.clear()
    with served(app([validators.source(0), validators.source(1)], LABELS)) as url:
        browser.open(url, 1200, 800)
        browser.wait_for("document.documentElement.dataset.ready === 'yes'")
        yield browser
        browser.call("Page.navigate", url="about:blank")


def text(tab, selector):
    return tab.evaluate(f"document.querySelector({selector!r}).innerText")


def test_everything_a_watcher_wants_is_on_the_page(tab):
    rows = tab.evaluate("[...document.querySelectorAll('#miners tbody tr')].map((r) => r.innerText)")
    assert len(rows) == 6
    for part in ("int4 weights", "47 / 48", "inconsistent, out", "9.4 / 9", "0.000"):
        assert part in rows[1]
    assert "consistent" in rows[0] and "0.330" in rows[0] and "12.500" in rows[0]
    assert "next epoch in" in text(tab, "#facts") and "12 blocks" in text(tab, "#facts")
    assert "subnet 2" in text(tab, "h1")
    assert tab.evaluate("document.querySelectorAll('#tests figure').length") == 6
    assert tab.evaluate("document.querySelectorAll('#incentives polygon').length") == 6
    assert tab.complaints() == []


def test_the_picture_shows_the_line_against_its_threshold(tab):
    shown = tab.evaluate(
        """[...document.querySelectorAll('#tests figure')].map((figure) => ({
             label: figure.querySelector('svg').getAttribute('aria-label'),
             threshold: Number(figure.querySelector('.threshold').getAttribute('y1')),
             tip: Number(figure.querySelector('.tip').getAttribute('cy'))}))"""
    )
    for picture in shown:
        accused = "inconsistent" in picture["label"]
        assert (picture["tip"] <= picture["threshold"]) == accused, picture


def test_a_bundle_can_be_fetched_from_the_ledger(tab):
    link = "document.querySelector('#ledger a')"
    assert tab.evaluate(f"{link}.getAttribute('href')") == f"evidence/0/{BUNDLE}"
    assert tab.evaluate(f"fetch({link}.href).then((r) => r.text())") == "evidence"


def test_a_miner_that_nobody_checked_yet_says_so(tab, validators):
    fresh = MinerStatus(uid=2, hotkey=hotkey(2), verdict="unchecked", standing="unchecked", evidence=0.0)
    validators.seen[0] = replace(validators.seen[0], miners=(fresh,), epochs=(), ledger=())
    tab.wait_for("document.querySelectorAll('#tests figure').length === 1")
    assert text(tab, "#tests figcaption").split() == ["2", "honest", "·", "unchecked"]
    assert "no token checked yet" in tab.evaluate("document.querySelector('#tests svg').textContent")
    assert text(tab, "#incentives") == "No miner has earned anything yet."
    assert text(tab, "#ledger tbody") == "No accusation so far."


def test_rounds_do_not_hide_the_accusations(tab):
    rows = tab.evaluate("[...document.querySelectorAll('#ledger tbody tr')].map((r) => r.innerText)")
    assert len(rows) == 3
    assert "wrong seed" in rows[1] and "inconsistent with the model" in rows[1]
    assert "out of the subnet" in rows[0]
    assert rows[2] == "and 2 round commitments, the last in block 145"


def test_the_page_follows_the_validator(tab, validators):
    validators.seen[0] = replace(validators.seen[0], round=99)
    tab.wait_for("document.querySelector('#facts').innerText.includes('99')")


def test_another_validator_can_be_chosen(tab):
    tab.evaluate("document.querySelectorAll('#validators button')[1].click()")
    assert tab.wait_for("document.querySelector('#facts').innerText.match(/round\\s+7/) !== null")
    assert tab.evaluate("document.querySelectorAll('#validators button')[1].getAttribute('aria-pressed')") == "true"


def test_a_validator_that_goes_away_is_said_and_what_was_known_stays(tab, validators):
    validators.away = True
    tab.wait_for("document.querySelector('#connection').innerText.includes('the validator is away')")
    assert tab.evaluate("document.querySelectorAll('#miners tbody tr').length") == 6
    validators.away = False
    tab.wait_for("document.querySelector('#connection').innerText === 'Live'")


def test_markup_from_outside_is_shown_as_text(tab, validators):
    """Attack: a miner gets a script into a reason or a name that the validator's operator then looks at."""
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    entry = LedgerStatus(2, 250, "accusation", hotkey(5), evil, f'{"cd" * 31}"><b>')
    validators.seen[0] = replace(validators.seen[0], ledger=(entry,), validator=evil)
    tab.wait_for("document.querySelector('#ledger tbody').innerText.includes('onerror')")
    assert tab.evaluate("document.querySelectorAll('#ledger img, #ledger script, #ledger b, #ledger a').length") == 0
    assert tab.evaluate("document.title") == "Assay, subnet 2"


def test_dark_and_narrow_are_readable(browser, validators):
    with served(app([validators.source(0)], LABELS)) as url:
        for dark, expected in ((False, True), (True, False)):
            browser.open(url, 390, 800, dark)
            browser.wait_for("document.documentElement.dataset.ready === 'yes'")
            background = browser.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
            assert (sum(background) > 3 * 128) == expected
            assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
        browser.call("Page.navigate", url="about:blank")


def test_no_text_is_too_faint_to_read(tab):
    """WCAG AA: at least 4.5 to 1 between every text and the page, in both schemes."""
    script = """(() => {
      const light = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).slice(0, 3).map(Number).map((v) => {
        v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
      const back = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
        if (!/, 0\\)$/.test(c)) return c; } return 'rgb(255,255,255)'; };
      const faint = [];
      for (const e of document.querySelectorAll('body *')) {
        if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
        if (!e.getClientRects().length) continue;
        const style = getComputedStyle(e);
        const [a, b] = [light(e instanceof SVGElement ? style.fill : style.color), light(back(e))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) faint.push(`${e.textContent.trim().slice(0, 30)} ${ratio.toFixed(2)}`);
      }
      return faint; })()"""
    for scheme in ("light", "dark"):
        tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        assert tab.evaluate(script) == [], scheme
