"""The report in a browser: no console message, no network request, working filters, text that stays text, no violation found by
axe-core (light, dark, phone), and operation by keyboard.

The browser is the system's Chromium (Debian: `apt-get install chromium`), or the one at XNER_CHROMIUM.
"""

from __future__ import annotations

import os
import shutil
import time

import pytest

from tests.harness.finished_run import MARKUP, make_run, pairs
from xner_ray.results.report.page import page_data, render_page, write_report
from xner_ray.results.run_results import RunResults

BROWSER = os.environ.get("XNER_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium: apt-get install chromium, or set XNER_CHROMIUM")
MODES = {
    "light": {"viewport": {"width": 1280, "height": 900}},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
}


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Chromium has no sandbox for root; the page is our own file.
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"], timeout=120_000)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run") / "out", pairs())


@pytest.fixture(scope="module")
def report(out):
    return write_report(out)


@pytest.fixture
def opened(chromium):
    """Opens a file. A console message or a network request fails the test."""
    contexts, messages = [], []

    def open_page(path, mode="light"):
        contexts.append(chromium.new_context(**MODES[mode]))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on(
            "request", lambda request: messages.append(request.url) if not request.url.startswith("file:") else None
        )
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert messages == []


@pytest.fixture
def page(opened, report):
    return opened(report)


def match_count(page) -> str:
    return page.inner_text("#match-count")


def marked(page) -> list[str]:
    """The marked entities with type and score, which are joined by a no-break space."""
    return [text.replace("\u00a0", " ") for text in page.locator("#pairs mark").all_inner_texts()]


def test_every_chart_is_drawn(page):
    for name, marks in {
        "gains": "circle",
        "flow": "path",
        "entities": "rect",
        "scores": "rect",
        "throughput": "rect",
    }.items():
        assert page.locator(f"#chart-{name} svg {marks}").count() >= (1 if name == "throughput" else 3), name
    assert page.locator("#chart-calibration svg circle").count() > 10
    flow = page.inner_text("#chart-flow")
    page.click('[data-flow="zh"]')
    assert page.inner_text("#chart-flow") != flow and "talks 40" in page.inner_text("#chart-flow")


def test_text_from_corpora_is_no_markup(page):
    assert page.title().startswith("run <script>") and "broken" not in page.title().replace("'broken'", "")
    page.fill("[name=text]", "bonn")
    assert match_count(page) == "1–1 of 1 matches in 89 examples"
    source, target = page.locator("#pairs p[lang]").all_inner_texts()
    shown = " ".join(MARKUP.replace("\u2028", " ").split())
    assert " ".join(source.split()).startswith(shown) and " ".join(target.split()).startswith(shown)
    assert page.locator("#pairs img, #pairs script").count() == 0


def test_injected_script_does_not_run(chromium, report, tmp_path):
    path = tmp_path / "page.html"
    broken = report.read_text(encoding="utf-8").replace("</main>", "<script>document.title = 'broken'</script></main>")
    path.write_text(broken, encoding="utf-8")
    page = chromium.new_page()
    page.goto(path.as_uri())
    assert page.title() != "broken" and page.inner_text("#match-count")
    page.close()


def test_filters_select_examples(page):
    assert match_count(page) == "1–20 of 89 examples"
    page.select_option("[name=verdict]", "overlap")
    assert match_count(page) == "1–1 of 1 matches in 89 examples"
    assert "Aligned to the same words: “AI Lab” (ORG) and “KI” (MISC)." in page.inner_text("#pairs")
    page.select_option("[name=verdict]", "")
    page.select_option("[name=corpus]", "talks")
    page.select_option("[name=language]", "zh")
    page.select_option("[name=type]", "LOC")
    assert "40 matches" in match_count(page)
    page.fill("[name=low]", "0.85")
    assert "5 matches" in match_count(page)
    page.fill("[name=high]", "0.86")
    assert "2 matches" in match_count(page)
    page.click("button[type=reset]")
    page.wait_for_function("document.getElementById('match-count').textContent === '1–20 of 89 examples'")


def test_all_examples_are_on_some_page(page):
    assert page.is_disabled("#previous")
    seen = []
    for _ in range(5):
        seen += page.locator("#pairs header span:first-of-type").all_inner_texts()
        if page.is_enabled("#next"):
            page.click("#next")
    assert (
        len(seen) == len(set(seen)) == 89 and match_count(page) == "81–89 of 89 examples" and page.is_disabled("#next")
    )


@pytest.mark.parametrize("mode", ["light", "phone"])
def test_lines_connect_entities_and_projections(opened, report, mode):
    page = opened(report, mode)
    page.fill("[name=text]", "anna")
    page.wait_for_selector("#pairs path[d]", state="attached")
    assert marked(page) == ["Anna PER .90", "Ben PER .80", "Anna PER .99", "Ben PER .98"]
    assert page.locator("#pairs path[d]").count() == 2
    assert "Anna is aligned to Anna; Ben is aligned to Ben" in page.locator("#pairs .sr").inner_text()
    page.locator("#pairs mark").nth(1).hover()
    assert page.locator("#pairs path.on").count() == 1
    ends = page.evaluate("""() => [...document.querySelectorAll('#pairs path')].map((path) => {
        const at = path.getPointAtLength(path.getTotalLength()), box = path.ownerSVGElement.getBoundingClientRect();
        const mark = [...document.querySelectorAll('#pairs p[lang=de] mark')][path.dataset.link].getBoundingClientRect();
        return Math.hypot(box.x + at.x - mark.left, box.y + at.y - mark.bottom); })""")
    assert max(ends) < 4, "a line ends at the corner of its projection"


def test_offsets_are_code_points(page):
    page.fill("[name=text]", "bach")
    assert marked(page) == ["Bach PER .90", "Bach PER .90"]


@pytest.mark.parametrize("mode", MODES)
def test_axe_finds_no_violation(opened, report, mode):
    from axe_playwright_python.sync_playwright import Axe

    page = opened(report, mode)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    violations = Axe().run(page).response["violations"]
    assert [(rule["id"], [node["target"] for node in rule["nodes"]][:3]) for rule in violations] == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (
        "nothing is wider than the screen"
    )


def test_keyboard_reaches_all_controls(page):
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("(() => { const e = document.activeElement; return e.id || e.name || e.textContent; })()")
        )
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none" or reached[-1] in ("", "data"), f"no visible focus on {reached[-1]}"
        if reached[-1] == "next":
            break
    expected = [
        "Skip to the results",
        "theme",
        "Ledger",
        "German",
        "verdict",
        "language",
        "corpus",
        "type",
        "low",
        "high",
        "text",
    ]
    positions = [reached.index(name) for name in [*expected, "Reset", "next"]]
    assert positions == sorted(positions)
    page.keyboard.press("Enter")
    assert match_count(page) == "21–40 of 89 examples"
    page.focus("[name=verdict]")
    page.keyboard.type("dropped: o")
    assert "1 matches" in match_count(page)


def test_theme_button_switches_dark_and_light(page):
    color = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(color)
    page.click("#theme")
    assert page.evaluate(color) != light and page.get_attribute("#theme", "aria-pressed") == "true"
    page.click("#theme")
    assert page.evaluate(color) == light


def test_printed_page_has_no_controls(page, tmp_path):
    page.emulate_media(media="print")
    assert not page.is_visible("#filters") and not page.is_visible("nav") and page.is_visible("#pairs li")
    page.pdf(path=tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").stat().st_size > 20_000


def test_page_with_100_000_examples_is_usable(opened, out, tmp_path):
    data = page_data(RunResults.open(out))
    few = data["examples"]
    data["examples"] = [{**few[i % len(few)], "id": i} for i in range(100_000)]
    path = tmp_path / "large.html"
    path.write_text(render_page(data), encoding="utf-8")
    page = opened(path)
    assert match_count(page) == "1–20 of 100,000 examples" and "100,000 of 89 pairs" in page.inner_text("#sample-note")
    began = time.monotonic()
    page.select_option("[name=verdict]", "unmapped")
    assert "1,123 matches" in match_count(page) or "1,124 matches" in match_count(page)
    assert page.locator("#pairs li").count() == 20
    assert time.monotonic() - began < 15, "takes seconds on a busy machine, 0.1 s on an idle one"
