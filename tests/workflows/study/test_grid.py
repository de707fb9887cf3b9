"""Grids: which cells a study has, and that the config of each is what its setting says."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.study_tables import STOCK, tiny
from xner_ray.errors import UserError
from xner_ray.projection.ledger import Ledger
from xner_ray.workflows.study import paper_results as paper
from xner_ray.workflows.study.grid import (
    ALL,
    ZERO,
    cells,
    changed,
    domains_of,
    equal_sentences,
    sentences_there,
    stock,
)

GERMAN = "languages=[de]"


def settings(found):
    return list(dict.fromkeys(cell.setting for cell in found))


def test_ablation_is_the_papers_table():
    config = tiny(GERMAN)
    found = cells("ablation", config, STOCK)
    assert set(settings(found)) == set(paper.ABLATION)
    assert len(found) == 6 * 3 and {c.seed for c in found} == {1, 2, 3}
    made = {cell.setting: changed(config, cell.changes).student for cell in found if cell.seed == 2}
    told = {name: (s.schedule, s.training.loss, s.training.gamma) for name, s in made.items() if name != ZERO}
    assert told == {
        "sequential, reweighted": ("sequential", "reweighted", 4.0),
        "sequential, cross entropy": ("sequential", "cross_entropy", 4.0),
        "no English, reweighted": ("target_only", "reweighted", 4.0),
        "mixed, cross entropy": ("mixed", "cross_entropy", 4.0),
        "mixed, reweighted": ("mixed", "reweighted", 4.0),
    }
    assert made[ZERO].schedule == "source_only"
    for name, student in made.items():
        assert student.seeds == [2] and student.source_model_per_seed
        begins_bare = student.schedule in ("mixed", "target_only")
        training = config.teacher.training if begins_bare else config.student.training
        assert student.training.learning_rate == training.learning_rate, name
        assert student.training.num_frozen_layers == training.num_frozen_layers, name


def test_sizes_go_as_far_as_the_data():
    config = tiny("study.size.sizes=[1000, 2000, 4000, 8000]", "study.size.one_seed_above=2000")
    found = cells("size", config, {"de": {"a": (4000, 3000)}, "zh": {"a": (1700, 0)}})
    german = [(c.setting, c.seed) for c in found if c.language == "de" and c.setting != ZERO]
    # 4,000 with entities and a fifth without make 5,000, a quarter more than the last doubling.
    assert german == [*((n, s) for n in ("1000", "2000") for s in (1, 2, 3)), ("4000", 1), ("5000", 1)]
    assert settings(c for c in found if c.language == "zh") == [ZERO, "1000", "1700"]
    assert all(c.changes["dataset.max_sentences"] == int(c.setting) for c in found if c.setting != ZERO)


def test_no_size_of_its_own_for_little_more():
    found = cells("size", tiny(GERMAN, "study.size.sizes=[1000, 2000]"), {"de": {"a": (1200, 0)}})
    assert settings(found) == [ZERO, "1000"]


def test_paper_sizes_are_doublings():
    sizes = tiny().study.size.sizes
    assert sizes[0] == 1000 and sizes[-1] == 200_000
    assert all(b == 2 * a for a, b in itertools.pairwise(sizes[:-1]))


def test_domains_are_alike_in_size_and_empty_share():
    config = tiny("dataset.no_entity_ratio=0.25", GERMAN)
    found = cells("domain", config, STOCK)
    assert settings(found) == [ZERO, "news", "talks", ALL]
    chosen = {c.setting: c.changes for c in found if c.setting != ZERO}
    # SampleTalks has 800 with entities, so 1,066 sentences of which a quarter has none.
    assert {changes["dataset.max_sentences"] for changes in chosen.values()} == {1066}
    assert chosen["news"]["dataset.corpora"] == ["SampleNews"]
    assert chosen[ALL]["dataset.corpora"] == ["SampleNews", "SampleTalks"]


def test_a_domain_without_sentences_is_left_out():
    found = cells("domain", tiny(), STOCK)
    assert settings(c for c in found if c.language == "zh") == [ZERO, "news", ALL]


def test_domains_of_the_config():
    both = "study.domain.domains={spoken: [SampleTalks], written: [SampleNews]}"
    assert domains_of(tiny(both)) == {"spoken": ["SampleTalks"], "written": ["SampleNews"]}
    assert domains_of(tiny()) == {"news": ["SampleNews"], "talks": ["SampleTalks"]}
    for wrong, problem in (("{web: [Nope]}", "no corpus `Nope`"), ("{all: [SampleNews]}", "`all` is what all")):
        with pytest.raises(UserError, match=problem):
            domains_of(tiny(f"study.domain.domains={wrong}"))


def test_losses():
    config = tiny(GERMAN, "study.loss.frozen=[0, 1]")
    found = [c for c in cells("loss", config, STOCK) if c.setting != ZERO]
    trained = [changed(config, c.changes).student.training for c in found]
    assert {(t.gamma, t.num_frozen_layers) for t in trained} == {(float(g), n) for g in range(6) for n in (0, 1)}
    assert len(found) == 12 and {t.loss for t in trained} == {"reweighted"}


def test_options_narrow_a_study():
    found = cells("ablation", tiny("study.ablation.seeds=[7]", "study.ablation.languages=[zh]"), STOCK)
    assert {(c.language, c.seed) for c in found} == {("zh", 7)}
    with pytest.raises(UserError, match="no language `fr`"):
        cells("ablation", tiny("study.ablation.languages=[fr]"), STOCK)


def test_one_encoder():
    config = tiny("student.encoder=[tiny, embedded]", GERMAN)
    assert {c.changes["student.encoder"] for c in cells("loss", config, STOCK)} == {"tiny"}
    config = tiny("student.encoder=[tiny, embedded]", "study.encoder=embedded", GERMAN)
    assert {c.changes["student.encoder"] for c in cells("loss", config, STOCK)} == {"embedded"}


def test_only_what_keeps_the_labels_may_change():
    with pytest.raises(KeyError, match=r"teacher\.encoder"):
        changed(tiny(), {"teacher.encoder": "embedded"})


def test_an_override_of_the_study_goes_behind_the_command_line():
    told = "study.size.override={ingest.max_pairs_per_language: 20, dataset.max_sentences: 7}"
    config = tiny(told, "dataset.max_sentences=9", study="size")
    assert (config.ingest.max_pairs_per_language, config.dataset.max_sentences) == (20, 9)
    assert tiny(told, study="loss").ingest.max_pairs_per_language == 40


def test_stock_is_the_ledgers_kept():
    ledger = Ledger.from_rows(
        [{"language": "de", "corpus": "a", "domain": "x", "counts": {"read": 9, "kept": 4, "overlap": 5}}]
    )
    assert stock(ledger.to_rows()) == {"de": {"a": (4, 0)}}


@given(st.integers(0, 5000), st.integers(0, 5000), st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0]))
def test_sentences_that_are_promised_are_there(full, empty, share):
    equal, most = equal_sentences([(full, empty)], share), sentences_there([(full, empty)], share)
    assert equal <= most + 1 and most <= full + empty
    assert equal - round(equal * share) <= full and round(equal * share) <= empty
