"""Figures and page: drawn from tables alone, reproducible, and text outside of marks stays."""

import re

import pytest

from tests.harness.study_tables import table
from xner_ray.errors import UserError
from xner_ray.workflows.study import figures
from xner_ray.workflows.study import page as page_module
from xner_ray.workflows.study.figures import FIGURES, draw
from xner_ray.workflows.study.grid import GRIDS, ZERO_TRANSFER
from xner_ray.workflows.study.markdown_tables import SECTIONS
from xner_ray.workflows.study.page import write_page
from xner_ray.workflows.study.table import write_table

PAGE = "# Results\n\nProse.\n\n" + "\n".join(
    f"## {name}\n\n<!-- xner study page: {name} -->\nold\n<!-- end -->\n\nMore prose of {name}.\n" for name in GRIDS
)


def test_every_study_has_figures_and_tables():
    assert set(GRIDS) == set(FIGURES) == set(SECTIONS)


@pytest.mark.parametrize("study", list(GRIDS))
def test_figures_are_reproducible(study, tmp_path):
    pytest.importorskip("matplotlib")
    of_study = table(study)
    first, second = (draw(study, of_study, tmp_path / name) for name in ("a", "b"))
    assert [f.stem for f in first] == list(FIGURES[study])
    for figure, other in zip(first, second, strict=True):
        text = figure.read_text()
        assert text.startswith("<?xml") and text == other.read_text()
    words = first[0].read_text()
    assert "de news" in words


def test_missing_matplotlib_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(figures, "can_draw", lambda: False)
    with pytest.raises(UserError, match=r"pip install 'xner_ray\[bench\]'"):
        draw("loss", table("loss"), tmp_path)


def test_page_has_tables_figures_and_old_text(tmp_path, monkeypatch):
    page, tables = tmp_path / "docs" / "results.md", tmp_path / "docs" / "results"
    page.parent.mkdir()
    page.write_text(PAGE)
    assert write_page(page, tables) == []
    assert page.read_text().count("Not run yet") == 4
    for study in GRIDS:
        write_table(table(study), tables / f"{study}.csv")
    assert write_page(page, tables) == list(GRIDS)
    text = page.read_text()
    assert "Not run yet" not in text and "old" not in text
    assert all(f"More prose of {name}." in text for name in GRIDS)
    for link in re.findall(r"\]\((.*?)\)", text):
        assert (page.parent / link).is_file(), link
    monkeypatch.setattr(page_module, "can_draw", lambda: False)
    write_page(page, tables)
    assert page.read_text() == text, "the same tables, and the existing figures"


def test_tables_show_ours_and_the_papers_results():
    german = "\n".join(SECTIONS["ablation"](table("ablation", "languages=[de]")))
    # F1 is 50 + the length of the setting's name + the seed. The paper's results are in the last columns.
    f1 = f"{52 + len(ZERO_TRANSFER)}.0"
    assert f"| {ZERO_TRANSFER} | 3 | – | {f1} | {f1} | {f1} ± 1.0 | 67.6 | 77.4 | 72.1 |" in german
    chinese = "\n".join(SECTIONS["ablation"](table("ablation", "languages=[zh]")))
    assert "67.6" not in chinese
    domain = "\n".join(SECTIONS["domain"](table("domain", "languages=[de]")))
    assert "| news | 1,000 | 700 (28,168) | 0 (9,568) | 300 (10,977) | 1,000 (48,713) |" in domain
    size = "\n".join(SECTIONS["size"](table("size", "languages=[de]")))
    assert "| 2,000 | 3 | 56.0 ± 1.0 | 56.0 ± 1.0 |" in size
    loss = "\n".join(SECTIONS["loss"](table("loss", "languages=[de]")))
    assert "| layers | gamma 0 | gamma 1 |" in loss and "| 9 frozen | 68.0 | 68.0 |" in loss


def test_wrong_marks_are_an_error(tmp_path):
    page = tmp_path / "p.md"
    for text, problem in ((PAGE.replace("loss", "luck"), "`luck`"), ("# x\n", "has no mark")):
        page.write_text(text)
        with pytest.raises(UserError, match=problem):
            write_page(page, tmp_path)
    with pytest.raises(UserError, match=r"q\.md"):
        write_page(tmp_path / "q.md", tmp_path)
