"""Grids: the cells of each study, and the config of each cell."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.study_tables import KEPT_SENTENCES, tiny
from xner_ray.errors import UserError
from xner_ray.projection.ledger import Ledger
from xner_ray.workflows.study import paper_results as paper
from xner_ray.workflows.study.grid import (
    ALL,
    ZERO_TRANSFER,
    cells,
    domains_of,
    kept_sentences,
    max_sentences,
    max_sentences_at_ratio,
    with_changes,
)

GERMAN = "languages=[de]"


def settings(of_cells):
    return list(dict.fromkeys(cell.setting for cell in of_cells))


def test_ablation_has_the_settings_of_the_paper():
    config = tiny(GERMAN)
    all_cells = cells("ablation", config, KEPT_SENTENCES)
    assert set(settings(all_cells)) == set(paper.ABLATION)
    assert len(all_cells) == 6 * 3 and {c.seed for c in all_cells} == {1, 2, 3}
    students = {cell.setting: with_changes(config, cell.changes).student for cell in all_cells if cell.seed == 2}
    trained = {
        name: (s.schedule, s.training.loss, s.training.gamma) for name, s in students.items() if name != ZERO_TRANSFER
    }
    assert trained == {
        "sequential, reweighted": ("sequential", "reweighted", 4.0),
        "sequential, cross entropy": ("sequential", "cross_entropy", 4.0),
        "no English, reweighted": ("target_only", "reweighted", 4.0),
        "mixed, cross entropy": ("mixed", "cross_entropy", 4.0),
        "mixed, reweighted": ("mixed", "reweighted", 4.0),
    }
    assert students[ZERO_TRANSFER].schedule == "source_only"
    for name, student in students.items():
        assert student.seeds == [2] and student.source_model_per_seed
        starts_from_encoder = student.schedule in ("mixed", "target_only")
        training = config.teacher.training if starts_from_encoder else config.student.training
        assert student.training.learning_rate == training.learning_rate, name
        assert student.training.num_frozen_layers == training.num_frozen_layers, name


def test_largest_size_is_all_sentences():
    config = tiny("study.size.sizes=[1000, 2000, 4000, 8000]", "study.size.one_seed_above=2000")
    all_cells = cells("size", config, {"de": {"a": (4000, 3000)}, "zh": {"a": (1700, 0)}})
    german = [(c.setting, c.seed) for c in all_cells if c.language == "de" and c.setting != ZERO_TRANSFER]
    # 4,000 sentences with entities are 5,000 with a fifth without: a quarter more than the last doubling.
    assert german == [*((n, s) for n in ("1000", "2000") for s in (1, 2, 3)), ("4000", 1), ("5000", 1)]
    assert settings(c for c in all_cells if c.language == "zh") == [ZERO_TRANSFER, "1000", "1700"]
    assert all(c.changes["dataset.max_sentences"] == int(c.setting) for c in all_cells if c.setting != ZERO_TRANSFER)


def test_few_more_sentences_are_no_further_size():
    all_cells = cells("size", tiny(GERMAN, "study.size.sizes=[1000, 2000]"), {"de": {"a": (1200, 0)}})
    assert settings(all_cells) == [ZERO_TRANSFER, "1000"]


def test_sizes_double():
    sizes = tiny().study.size.sizes
    assert sizes[0] == 1000 and sizes[-1] == 200_000
    assert all(b == 2 * a for a, b in itertools.pairwise(sizes[:-1]))


def test_domains_have_equal_size_and_ratio_without_entity():
    config = tiny("dataset.no_entity_ratio=0.25", GERMAN)
    all_cells = cells("domain", config, KEPT_SENTENCES)
    assert settings(all_cells) == [ZERO_TRANSFER, "news", "talks", ALL]
    changes_of = {c.setting: c.changes for c in all_cells if c.setting != ZERO_TRANSFER}
    # SampleTalks has 800 sentences with entities, so 1,066 sentences if a quarter has none.
    assert {changes["dataset.max_sentences"] for changes in changes_of.values()} == {1066}
    assert changes_of["news"]["dataset.corpora"] == ["SampleNews"]
    assert changes_of[ALL]["dataset.corpora"] == ["SampleNews", "SampleTalks"]
    assert changes_of[ALL]["dataset.balanced_domains"] == {"news": ["SampleNews"], "talks": ["SampleTalks"]}
    assert changes_of["news"]["dataset.balanced_domains"] == {}


def test_domain_without_sentences_has_no_cell():
    all_cells = cells("domain", tiny(), KEPT_SENTENCES)
    assert settings(c for c in all_cells if c.language == "zh") == [ZERO_TRANSFER, "news", ALL]


def test_domains_come_from_the_study_or_the_corpora():
    both = "study.domain.domains={spoken: [SampleTalks], written: [SampleNews]}"
    assert domains_of(tiny(both)) == {"spoken": ["SampleTalks"], "written": ["SampleNews"]}
    assert domains_of(tiny()) == {"news": ["SampleNews"], "talks": ["SampleTalks"]}
    for wrong, problem in (("{web: [Nope]}", "`Nope`"), ("{all: [SampleNews]}", "`all`")):
        with pytest.raises(UserError, match=problem) as e:
            domains_of(tiny(f"study.domain.domains={wrong}"))
        assert e.value.key == "study.domain.domains"


def test_loss_study_has_all_gammas_and_frozen_layers():
    config = tiny(GERMAN, "study.loss.frozen=[0, 1]")
    all_cells = [c for c in cells("loss", config, KEPT_SENTENCES) if c.setting != ZERO_TRANSFER]
    trained = [with_changes(config, c.changes).student.training for c in all_cells]
    assert {(t.gamma, t.num_frozen_layers) for t in trained} == {(float(g), n) for g in range(6) for n in (0, 1)}
    assert len(all_cells) == 12 and {t.loss for t in trained} == {"reweighted"}


def test_study_is_limited_to_given_seeds_and_languages():
    all_cells = cells("ablation", tiny("study.ablation.seeds=[7]", "study.ablation.languages=[zh]"), KEPT_SENTENCES)
    assert {(c.language, c.seed) for c in all_cells} == {("zh", 7)}
    with pytest.raises(UserError, match="`fr`"):
        cells("ablation", tiny("study.ablation.languages=[fr]"), KEPT_SENTENCES)


def test_study_has_one_encoder():
    config = tiny("student.encoder=[tiny, embedded]", GERMAN)
    assert {c.changes["student.encoder"] for c in cells("loss", config, KEPT_SENTENCES)} == {"tiny"}
    config = tiny("student.encoder=[tiny, embedded]", "study.encoder=embedded", GERMAN)
    assert {c.changes["student.encoder"] for c in cells("loss", config, KEPT_SENTENCES)} == {"embedded"}


def test_change_that_needs_other_labels_is_an_error():
    with pytest.raises(KeyError, match=r"teacher\.encoder"):
        with_changes(tiny(), {"teacher.encoder": "embedded"})


def test_command_line_takes_precedence_over_the_study():
    override = "study.size.override={ingest.max_pairs_per_language: 20, dataset.max_sentences: 7}"
    config = tiny(override, "dataset.max_sentences=9", study="size")
    assert (config.ingest.max_pairs_per_language, config.dataset.max_sentences) == (20, 9)
    assert tiny(override, study="loss").ingest.max_pairs_per_language == 40


def test_stock_counts_kept_sentences_of_the_ledger():
    ledger = Ledger.from_rows(
        [{"language": "de", "corpus": "a", "domain": "x", "counts": {"read": 9, "kept": 4, "overlap": 5}}]
    )
    assert kept_sentences(ledger.to_rows()) == {"de": {"a": (4, 0)}}


@given(st.integers(0, 5000), st.integers(0, 5000), st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0]))
def test_sizes_do_not_exceed_the_kept_sentences(with_entity, without, ratio):
    counts = [(with_entity, without)]
    equal, most = max_sentences_at_ratio(counts, ratio), max_sentences(counts, ratio)
    assert equal <= most + 1 and most <= with_entity + without
    assert equal - round(equal * ratio) <= with_entity and round(equal * ratio) <= without
