"""Writes the screenshot of a run's report for the README.

    python -m bench.picture OUT docs/report.png

The screenshot shows the results, the flow of pairs through the ledger, and a few examples; all other sections are hidden. The
browser is the Chromium of XNER_CHROMIUM or of the system.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from xner_ray.results.report.page import write_report

HIDE_SECTIONS = """nav, #theme, details, #entities, #calibration, #throughput, #run, #filters, .pager, .sr, footer, .choice,
#chart-gains, #sample-note { display: none !important } section { padding-top: 1.5rem } body { padding-bottom: 1.5rem }"""
KEEP_ONE_PER_VERDICT = """() => { const seen = new Set(); for (const one of document.querySelectorAll("#pairs > li")) {
    const verdict = one.querySelector("b").textContent;
    if (seen.has(verdict) || verdict === "kept, no entity" || seen.size === 4) one.remove();
    seen.add(verdict); } }"""


def picture(out: str, file: Path) -> None:
    from PIL import Image
    from playwright.sync_api import sync_playwright

    browser = os.environ.get("XNER_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"], timeout=120_000)
        page = chromium.new_page(viewport={"width": 1060, "height": 800}, device_scale_factor=1.5)
        page.goto(write_report(out).as_uri())
        page.add_style_tag(content=HIDE_SECTIONS)
        page.evaluate(KEEP_ONE_PER_VERDICT)
        page.wait_for_timeout(1000)  # the charts are redrawn for the new width
        screenshot = Path(folder) / "page.png"
        page.screenshot(path=screenshot, full_page=True)
        chromium.close()
        with Image.open(screenshot) as image:
            # 128 colors are enough and save four fifths of the bytes.
            image.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(file, optimize=True)


if __name__ == "__main__":
    picture(sys.argv[1], Path(sys.argv[2]))
