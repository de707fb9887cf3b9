"""docs/results.md: its tables come from the CSVs of the studies, what is between two marks is written by `xner study page`.

    <!-- xner study page: ablation -->      everything from here
    <!-- end -->                            to here is generated; all else is prose, and stays

So no table of that page was typed, and a page can be made anew from the repository alone.
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

MARKED = re.compile(r"(<!-- xner study page: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def write_page(page: Path, tables: Path) -> list[str]:
    """Fill the marked sections of a page, and draw the figures beside the tables where matplotlib is there.

    Args:
        page: a Markdown file with marks.
        tables: the folder of STUDY.csv.

    Returns:
        the studies that have a table, in the page's order.

    Raises:
        UserError: no page, a mark of no study, or a file that is no table.
    """
    if not page.is_file():
        raise UserError("no such page", file=page, remedy="give a Markdown file with marks, such as docs/results.md")
    text = page.read_text(encoding="utf-8")
    names = [match[1] for match in MARKED.findall(text)]
    if strange := [name for name in names if name not in GRIDS]:
        raise UserError(f"`{strange[0]}` is no study", file=page, remedy=f"mark one of {', '.join(GRIDS)}")
    if not names:
        raise UserError(
            "holds no mark", file=page, remedy="add `<!-- xner study page: ablation -->` and `<!-- end -->`"
        )
    found = {name: read_table(tables / f"{name}.csv") for name in names if (tables / f"{name}.csv").exists()}
    if can_draw():
        for name, table in found.items():
            draw(name, table, tables)
    where = os.path.relpath(tables, page.parent)

    def section(match: re.Match[str]) -> str:
        mark, name, _, end = match.groups()
        if name not in found:
            return f"{mark}Not run yet: {where}/{name}.csv is not there.\n{end}"
        drawn = [f"![{x}]({where}/{x}.svg)\n" for x in FIGURES[name] if (tables / f"{x}.svg").exists()]
        parts = [*SECTIONS[name](found[name]), *drawn, f"All figures: [{name}.csv]({where}/{name}.csv)\n"]
        return f"{mark}\n" + "\n".join(parts) + f"\n{end}"

    filled = MARKED.sub(section, text)
    write_text(page.absolute(), filled)
    return list(found)
