"""The runner, with stages that write text files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from xner_ray.config import Config
from xner_ray.errors import UserError
from xner_ray.pipeline.context import Context, NotAvailableOffline
from xner_ray.pipeline.executors import InProcess
from xner_ray.pipeline.runner import Runner, brief
from xner_ray.pipeline.stage import Piece, Stage


class Words(Stage):
    """Writes one file for each word."""

    name, version = "words", 1

    def __init__(self, words=("a", "b"), fail_at=None):
        self.words, self.fail_at, self.ran = words, fail_at, []

    def pieces(self, ctx, inputs):
        return [Piece(word, {"word": word, "seed": ctx.config.seed}) for word in self.words]

    def run(self, ctx, inputs, todo):
        for piece in todo:
            if piece.key == self.fail_at:
                raise RuntimeError("killed")
            (piece.path / "word.txt").write_text(piece.key)
            self.ran.append(piece.key)
            piece.commit()

    def result(self, ctx, inputs, done):
        return {key: (dir.path / "word.txt").read_text() for key, dir in done.items()}


class Joined(Stage):
    """Joins the words, in a single piece that the runner commits."""

    name, version = "joined", 1
    needs = ("words",)

    def __init__(self):
        self.runs = 0

    def pieces(self, ctx, inputs):
        return [Piece("", {"words": inputs["words"]})]

    def run(self, ctx, inputs, todo):
        self.runs += 1
        (todo[0].path / "text").write_text("-".join(inputs["words"].values()))

    def result(self, ctx, inputs, done):
        return (done[""].path / "text").read_text()


@pytest.fixture
def ctx(tmp_path) -> Context:
    corpora = [{"name": "a", "format": "moses", "path": "a"}]
    config = Config(name="t", out=str(tmp_path / "out"), languages=["de"], gold=[{"path": "g"}], corpora=corpora)
    lines: list[str] = []
    made = Context.open(config, log=lines.append, executor=InProcess())
    made.lines = lines
    return made


def files(out: Path) -> list[str]:
    return sorted(p.name for p in out.rglob("*.txt"))


def test_needs_run_first_and_once(ctx):
    words, joined = Words(), Joined()
    runner = Runner(ctx, [words, joined])
    assert runner.result("joined") == "a-b" and runner.result("joined") == "a-b"
    assert words.ran == ["a", "b"] and joined.runs == 1
    assert set(ctx.seconds) == {"words", "joined"}


def test_complete_pieces_are_not_made_again(ctx):
    Runner(ctx, [Words(), Joined()]).result("joined")
    words, joined = Words(("a", "c")), Joined()
    assert Runner(ctx, [words, joined]).result("joined") == "a-c"
    assert words.ran == ["c"] and joined.runs == 1


def test_pieces_that_were_done_survive_a_stop(ctx):
    with pytest.raises(RuntimeError):
        Runner(ctx, [Words(fail_at="b")]).result("words")
    words = Words()
    Runner(ctx, [words]).result("words")
    assert words.ran == ["b"]


def test_a_damaged_piece_is_made_again_and_named(ctx):
    Runner(ctx, [Words()]).result("words")
    (file,) = (ctx.out / "words" / "a").glob("*/word.txt")
    file.write_text("")
    words = Words()
    assert Runner(ctx, [words]).result("words") == {"a": "a", "b": "b"}
    assert words.ran == ["a"] and any("damaged" in line and str(file) in line for line in ctx.lines)


def test_a_changed_key_is_logged(ctx):
    Runner(ctx, [Words()]).result("words")
    other = ctx.with_config(ctx.config.model_copy(update={"seed": 7}))
    Runner(other, [Words()]).result("words")
    assert "[words] changed: seed: 1 -> 7" in ctx.lines


def test_a_raised_version_makes_results_anew(ctx):
    Runner(ctx, [Words()]).result("words")
    words = Words()
    words.version = 2
    Runner(ctx, [words]).result("words")
    assert words.ran == ["a", "b"]


def test_an_unknown_stage_names_those_that_exist(ctx):
    with pytest.raises(UserError) as e:
        Runner(ctx, [Words()]).run(["dance"])
    assert "dance" in e.value.problem and "words" in e.value.remedy


def test_plan_says_what_is_done_and_why_not(ctx):
    first, second = Runner(ctx, [Words(), Joined()]).plan()
    assert (first.done, first.total, first.reasons) == (0, 2, ["a: not started", "b: not started"])
    assert second.reasons == ["needs words"] and not second.is_done
    assert not (ctx.out / "words").exists()
    Runner(ctx, [Words(), Joined()]).result("joined")
    assert [p.is_done for p in Runner(ctx, [Words(), Joined()]).plan()] == [True, True]
    other = ctx.with_config(ctx.config.model_copy(update={"seed": 7}))
    assert Runner(other, [Words(), Joined()]).plan()[0].reasons == ["a: seed: 1 -> 7", "b: seed: 1 -> 7"]


def test_the_share_to_do_counts_parts_of_a_piece_and_is_unknown_if_there_are_results_of_other_inputs(ctx):
    class Parts(Words):
        def part_done(self, ctx, piece):
            return {"a": 0.5, "b": 0.25, "c": None}[piece.key]

    assert [p.share_to_do for p in Runner(ctx, [Words(), Joined()]).plan()] == [1.0, 1.0]
    assert Runner(ctx, [Parts()]).plan()[0].share_to_do == 1 - 0.75 / 2
    assert Runner(ctx, [Parts(("a", "c"))]).plan()[0].share_to_do is None
    Runner(ctx, [Words(), Joined()]).result("joined")
    assert [p.share_to_do for p in Runner(ctx, [Words(), Joined()]).plan()] == [0.0, 0.0]
    assert [p.share_to_do for p in Runner(ctx, [Words(("a", "b", "c", "d")), Joined()]).plan()] == [0.5, None]


@pytest.mark.parametrize("error", [UserError("no such file", key="gold"), NotAvailableOffline("not cached")])
def test_plan_goes_on_after_a_problem(ctx, error):
    class Broken(Words):
        name = "broken"

        def pieces(self, ctx, inputs):
            raise error

    first, second = Runner(replace(ctx, offline=True), [Broken(), Words()]).plan()
    assert not first.is_done and (first.error is error or first.reasons == ["not cached"])
    assert second.total == 2


def test_many_changes_below_one_key_are_one_line():
    shards = [f"shards.de-{i}: unset -> 1" for i in range(4)]
    few = ["aligner.training.epochs: 1 -> 3", "aligner.num_examples: 4 -> 5"]
    assert brief([*few, *shards]) == [*few, "shards: 4 differences"]
    assert brief(shards[:3]) == shards[:3]
    assert brief([]) == []
    (held_out,) = brief([f"held_out: unset -> {list(range(400))}"])
    assert held_out.startswith("held_out: unset -> [0, 1, 2") and len(held_out) < 200
