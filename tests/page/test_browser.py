"""The committed pages in a real browser: the answer first, nothing cut off, nothing fetched, readable for everyone.

Needs Chromium (Debian: chromium); without it the tests are skipped, and say so.
"""

import shutil
from pathlib import Path

import pytest

RESULTS = Path(__file__).resolve().parents[2] / "results"
PAGES = [path for name in ("quick", "full", "standard") if (path := RESULTS / name / "report.html").exists()]
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PAPER = {"width": 794, "height": 1123}  # A4
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="the page is not tested, no Chromium here: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def chromium():
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        driver = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield driver
        driver.close()


@pytest.fixture(scope="module", params=PAGES, ids=lambda path: path.parent.name)
def page(request, chromium):
    """The page, open; what it asks for is noted in `page.asked`."""
    page = chromium.new_page(viewport=WIDE)
    page.set_default_timeout(300_000)  # a busy machine
    page.asked = []
    page.on("request", lambda sent: page.asked.append(sent.url[:80]))
    page.goto(request.param.as_uri())
    yield page
    page.close()


@pytest.fixture(params=[WIDE, NARROW], ids=["wide", "narrow"])
def window(page, request):
    """The page in a window of that size, scrolled to its top."""
    page.set_viewport_size(request.param)
    page.evaluate("window.scrollTo(0, 0)")
    return page


@pytest.fixture
def wide(page):
    page.set_viewport_size(WIDE)
    return page


@pytest.fixture
def first_screen(window):
    """The window of a profile that asks our own question."""
    if "/full/" in window.url:
        pytest.skip("full has the two reports alone")
    return window


def test_the_first_screen_holds_the_answer(first_screen):
    window = first_screen
    low = window.evaluate(
        "[...document.querySelectorAll('#front .answer')].map(e => e.getBoundingClientRect().bottom / innerHeight)"
    )
    assert len(low) >= 2, "one sentence for generation and one for restoration"
    assert max(low) <= 1


def test_the_first_screen_holds_its_table_its_picture_its_profile_and_its_links(first_screen):
    window = first_screen
    low = window.evaluate("[...document.querySelectorAll('#front > *')].map(e => e.getBoundingClientRect().bottom)")
    kinds = window.evaluate("[...document.querySelectorAll('#front table, #front figure img, #front a')].map(e => e.tagName)")
    assert {"TABLE", "IMG", "A"} <= set(kinds) and max(low) <= window.viewport_size["height"]


def test_no_column_of_the_first_table_is_cut_off(window):
    assert window.evaluate(
        "[...document.querySelectorAll('#front td')].every(e => e.getBoundingClientRect().right <= innerWidth)"
    )


def test_nothing_is_wider_than_the_window(window):
    assert window.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_no_table_overflows_a_wide_window_or_has_more_than_seven_columns(wide):
    found = wide.evaluate(
        "[...document.querySelectorAll('table')].filter(t => t.offsetWidth > t.parentElement.clientWidth + 1"
        " || [...t.rows].some(r => r.cells.length > 7)).map(t => t.innerText.slice(0, 80))"
    )
    assert found == []


def test_letters_in_figures_can_be_read(window):
    """A figure's smallest letters are 8 points, 10.7 pixels, at its own size; at 85% they are 9."""
    small = window.evaluate(
        "[...document.querySelectorAll('figure:not(.play) img')].filter(i => i.offsetWidth < 0.84 * i.naturalWidth)"
        ".map(i => i.alt.slice(0, 60))"
    )
    assert small == []


def test_every_link_within_the_page_leads_somewhere(page):
    lost = page.evaluate(
        "[...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.getAttribute('href').slice(1))"
        ".filter(id => !document.getElementById(id))"
    )
    assert lost == []


def test_equations_and_their_numbers_are_shown(window):
    bad = window.evaluate(
        "[...document.querySelectorAll('.eq')].filter(e => { const m = e.querySelector('math').getBoundingClientRect(),"
        " n = e.querySelector('.number'); return m.height < 8 || (n && n.getBoundingClientRect().right > innerWidth) })"
        ".map(e => e.textContent.slice(0, 60))"
    )
    assert bad == []


def test_nothing_is_fetched(page):
    assert [url for url in page.asked if not url.startswith(("file:", "data:"))] == []
    assert page.asked


def test_the_page_is_not_too_long(wide):
    words, height = wide.evaluate("[document.body.innerText.split(/\\s+/).length, document.documentElement.scrollHeight]")
    assert words <= 19_000 and height <= 75_000


# What repeats itself, once is enough: each colour of code, each table's first rows, a few equations. Whole, it takes minutes.
THINNED = """() => {
  const seen = new Set(), first = (list, many) => [...list].slice(many).forEach(e => e.remove());
  for (const e of document.querySelectorAll('.highlight span'))
    seen.has(e.className) ? e.replaceWith(e.textContent) : seen.add(e.className);
  document.querySelectorAll('table').forEach(t => first(t.rows, 3));
  first(document.querySelectorAll('math'), 20);
}"""


@pytest.mark.parametrize("page", [PAGES[-1]], indirect=True, ids=["standard"])  # quick's is made by the same code
def test_it_is_accessible(page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.reload()
    page.set_viewport_size(WIDE)
    page.evaluate(THINNED)
    found = axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]
    page.emulate_media(color_scheme="dark")
    found += axe.run(page, options={"runOnly": ["color-contrast"]}).response["violations"]
    page.emulate_media(color_scheme="light")
    page.reload()
    serious = [rule for rule in found if rule["impact"] in ("serious", "critical")]
    assert [f"{rule['id']}: {rule['nodes'][0]['html'][:100]}" for rule in serious] == []


# What paper must hold: all but the contents and code. Each part's top is at or below the one before it.
PRINTED = """() => {
  const parts = [...document.querySelectorAll('h1, h2, h3, h4, figure, table')]
    .filter(e => !e.closest('nav, details[class], [hidden]'));
  const tops = parts.map(e => e.getBoundingClientRect().top), said = e => e.textContent.trim().slice(0, 60);
  return {
    hidden: parts.filter(e => !e.checkVisibility()).map(said),
    early: parts.filter((e, i) => i && tops[i] < tops[i - 1]).map(said),
    many: parts.length,
  };
}"""


def test_it_prints_in_order(page):
    page.set_viewport_size(PAPER)
    page.emulate_media(media="print")
    found, pdf = page.evaluate(PRINTED), page.pdf()
    page.emulate_media(media="null")  # as it was
    assert found["many"] > 100 and found["hidden"] == found["early"] == []
    assert len(pdf) > 10_000


def test_the_slider_shows_one_panel_at_a_time(page):
    if page.query_selector(".play") is None:
        pytest.skip("this profile has too few starts to play with")
    shown = "document.querySelectorAll('.play [data-prior]:not([hidden])').length"
    assert page.evaluate(shown) == 1
    page.evaluate("s = document.querySelector('.play input'); s.value = s.max; s.dispatchEvent(new Event('input'))")
    assert page.evaluate(shown) == 1
