"""The committed pages in a real browser: the answer first, nothing cut off, nothing fetched, readable for everyone.

Needs Chromium and its driver (Debian: chromium, chromium-driver); without them the tests are skipped, and say so.
"""

import json
import shutil
from pathlib import Path

import pytest

RESULTS = Path(__file__).resolve().parents[2] / "results"
PAGES = [path for name in ("quick", "standard") if (path := RESULTS / name / "report.html").exists()]
WIDE, NARROW = (1280, 900), (390, 844)
SIZES = [WIDE, NARROW]

pytestmark = pytest.mark.skipif(
    not shutil.which("chromedriver"), reason="no chromedriver here: apt-get install chromium-driver"
)


@pytest.fixture(scope="module", params=PAGES, ids=lambda path: path.parent.name)
def browser(request, tmp_path_factory):
    """Chromium with the page open; requests are logged."""
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking", "disable-component-update"):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    driver.set_script_timeout(300)
    driver.get(request.param.as_uri())
    yield driver
    driver.quit()


@pytest.fixture(params=SIZES, ids=["wide", "narrow"])
def window(browser, request):
    """The page in a window of that size, scrolled to its top."""
    resize(browser, *request.param)
    return browser


def resize(browser, width, height):
    about = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", about)
    browser.execute_script("window.scrollTo(0, 0)")


def test_the_first_screen_holds_the_answer(window):
    low = window.execute_script(
        "return [...document.querySelectorAll('#front .answer')].map(e => e.getBoundingClientRect().bottom / innerHeight)"
    )
    assert len(low) >= 2, "one sentence for generation and one for restoration"
    assert max(low) <= 1


def test_nothing_is_wider_than_the_window(window):
    assert window.execute_script("return document.documentElement.scrollWidth <= innerWidth")


def test_no_table_overflows_a_wide_window_or_has_more_than_seven_columns(browser):
    resize(browser, *WIDE)
    wide = browser.execute_script(
        "return [...document.querySelectorAll('table')].filter(t => t.offsetWidth > t.parentElement.clientWidth + 1"
        " || [...t.rows].some(r => r.cells.length > 7)).map(t => t.innerText.slice(0, 80))"
    )
    assert wide == []


def test_letters_in_figures_can_be_read(window):
    """A figure's smallest letters are 12 pixels at its own size; shown at three quarters they are 9."""
    small = window.execute_script(
        "return [...document.querySelectorAll('figure:not(.play) img')].filter(i => i.offsetWidth < 0.74 * i.naturalWidth)"
        ".map(i => i.alt.slice(0, 60))"
    )
    assert small == []


def test_every_link_within_the_page_leads_somewhere(browser):
    lost = browser.execute_script(
        "return [...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.getAttribute('href').slice(1))"
        ".filter(id => !document.getElementById(id))"
    )
    assert lost == []


def test_equations_and_their_numbers_are_shown(window):
    bad = window.execute_script(
        "return [...document.querySelectorAll('.eq')].filter(e => { const m = e.querySelector('math').getBoundingClientRect(),"
        " n = e.querySelector('.number'); return m.height < 8 || (n && n.getBoundingClientRect().right > innerWidth) })"
        ".map(e => e.textContent.slice(0, 60))"
    )
    assert bad == []


def test_nothing_is_fetched(browser):
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [message["params"]["request"]["url"] for message in sent if message["method"] == "Network.requestWillBeSent"]
    assert [url[:80] for url in urls if not url.startswith(("file:", "data:", "chrome:", "about:"))] == []


def test_the_page_is_not_too_long(browser):
    resize(browser, *WIDE)
    words, height = browser.execute_script(
        "return [document.body.innerText.split(/\\s+/).length, document.documentElement.scrollHeight]"
    )
    assert words <= 19_000 and height <= 75_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible(browser, scheme):
    axe = pytest.importorskip("axe_core_python")
    resize(browser, *WIDE)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    browser.execute_script(next(Path(axe.__file__).parent.rglob("axe.min.js")).read_text(encoding="utf-8"))
    found = browser.execute_async_script("axe.run({resultTypes: ['violations']}).then(arguments[0])")["violations"]
    serious = [rule for rule in found if rule["impact"] in ("serious", "critical")]
    assert [f"{rule['id']}: {rule['nodes'][0]['html'][:100]}" for rule in serious] == []


def test_it_prints_in_order(browser):
    assert len(browser.print_page()) > 10_000


def test_the_slider_shows_one_panel_at_a_time(browser):
    if not browser.execute_script("return document.querySelector('.play') !== null"):
        pytest.skip("this profile has too few starts to play with")
    shown = "return document.querySelectorAll('.play [data-prior]:not([hidden])').length"
    assert browser.execute_script(shown) == 1
    browser.execute_script(
        "const s = document.querySelector('.play input'); s.value = s.max; s.dispatchEvent(new Event('input'))"
    )
    assert browser.execute_script(shown) == 1
