"""`xner study page`: writes the tables of docs/results.md from the CSV files of the studies.

    <!-- xner study page: ablation -->      the text from here
    <!-- end -->                            to here is generated; all other text stays

So no table of the page is typed by hand, and the repository alone suffices to generate the page.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from xner_ray.errors import UserError
from xner_ray.storage.atomic import write_text
from xner_ray.workflows.study.figures import FIGURES, can_draw, draw
from xner_ray.workflows.study.grid import GRIDS
from xner_ray.workflows.study.markdown_tables import SECTIONS
from xner_ray.workflows.study.table import read_table

_SECTION = re.compile(r"(<!-- xner study page: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def write_page(page: Path, tables: Path) -> list[str]:
    """Generate the marked sections of a page. If matplotlib is installed, also draw the figures, into the folder of the tables.

    Args:
        page: a Markdown file with marks.
        tables: the folder with a STUDY.csv for each study that was run.

    Returns:
        the studies that have a table, in the order of the page.

    Raises:
        UserError: no such page, a mark of an unknown study, or a file that is not a table.
    """
    if not page.is_file():
        raise UserError("no such file", file=page, remedy="give a Markdown file with marks, such as docs/results.md")
    text = page.read_text(encoding="utf-8")
    names = [match[1] for match in _SECTION.findall(text)]
    if unknown := [name for name in names if name not in GRIDS]:
        raise UserError(f"unknown study `{unknown[0]}`", file=page, remedy=f"use one of {', '.join(GRIDS)}")
    if not names:
        raise UserError("has no mark", file=page, remedy="add `<!-- xner study page: ablation -->` and `<!-- end -->`")
    studies = {name: read_table(tables / f"{name}.csv") for name in names if (tables / f"{name}.csv").exists()}
    if can_draw():
        for name, table in studies.items():
            draw(name, table, tables)
    folder = os.path.relpath(tables, page.parent)

    def section(match: re.Match[str]) -> str:
        mark, name, _, end = match.groups()
        if name not in studies:
            return f"{mark}Not run yet: {folder}/{name}.csv does not exist.\n{end}"
        figures = [f"![{x}]({folder}/{x}.svg)\n" for x in FIGURES[name] if (tables / f"{x}.svg").exists()]
        parts = [*SECTIONS[name](studies[name]), *figures, f"All figures: [{name}.csv]({folder}/{name}.csv)\n"]
        return f"{mark}\n" + "\n".join(parts) + f"\n{end}"

    filled = _SECTION.sub(section, text)
    write_text(page.absolute(), filled)
    return list(studies)
