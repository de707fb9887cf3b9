"""`python -m bench.picture OUT docs/report.png`: a picture of a finished run's report, for the README.

Real output, less what a picture has no room for: results, the ledger's flow, and a few examples. The browser is the system's
Chromium, or the one that XNER_CHROMIUM names.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from xner_ray.results.report.page import write_report

LEAN = """nav, #theme, details, #entities, #calibration, #throughput, #run, #filters, .pager, .sr, footer, .choice,
#chart-gains, #sample-told { display: none !important } section { padding-top: 1.5rem } body { padding-bottom: 1.5rem }"""
ONE_EACH = """() => { const seen = new Set(); for (const one of document.querySelectorAll("#pairs > li")) {
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
        page.add_style_tag(content=LEAN)
        page.evaluate(ONE_EACH)
        page.wait_for_timeout(1000)  # charts and lines are drawn again for the new width
        whole = Path(folder) / "page.png"
        page.screenshot(path=whole, full_page=True)
        chromium.close()
        with Image.open(whole) as image:
            # Enough for flat colors, at a fifth of the bytes.
            image.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(file, optimize=True)


if __name__ == "__main__":
    picture(sys.argv[1], Path(sys.argv[2]))
