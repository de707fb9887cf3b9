"""docs/configuration.md agrees with the code, and describes every key."""

from pathlib import Path

from xner_ray.config.base import StrictModel
from xner_ray.config.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == reference(), "run `make docs`"


def test_every_key_is_explained():
    rows = [line.split(" | ") for line in reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 60
    assert not [row[0] for row in rows if not row[-1].strip(" |")]


def below(model: type) -> set[type]:
    return {kind for child in model.__subclasses__() for kind in (child, *below(child))}


def test_every_class_has_one_section():
    assert reference().count("\n## ") == len(below(StrictModel))
