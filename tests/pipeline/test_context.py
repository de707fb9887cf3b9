from xner_ray.pipeline.context import _brief


def test_many_changes_below_one_key_are_one_line():
    shards = [f"shards.de-{i}: unset -> 1" for i in range(4)]
    few = ["aligner.training.epochs: 1 -> 3", "aligner.num_examples: 4 -> 5"]
    assert _brief([*few, *shards]) == [*few, "shards: 4 differences"]
    assert _brief(shards[:3]) == shards[:3]
    assert _brief([]) == []
    (held_out,) = _brief([f"held_out: unset -> {list(range(400))}"])
    assert held_out.startswith("held_out: unset -> [0, 1, 2") and len(held_out) < 200
