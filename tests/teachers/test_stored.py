"""A store returns the bits of its teacher for the samples and views that it was made from, and refuses others."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from instar.data import Data, Loader, Samples, Source, as_view, load_data
from instar.errors import MismatchError, StoreError
from instar.models import CNN, MLP, Normalised, statistics
from instar.procedures.label import label
from instar.targets import TargetStore
from instar.teachers import Ensemble, Module, Stored, as_teacher

WHOLE = load_data("digits", validation=0.0)
SUBSET = load_data("digits", subset=300)
SEED = 7
PLAIN = {"out": None, "seed": SEED, "dtype": "float32", "batch_size": 64, "show": False}


def network(kind: str = "mlp", seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    made = MLP([12], input_shape=(1, 8, 8), num_classes=10)
    if kind == "cnn":
        made = CNN([3, 4], 8, input_shape=(1, 8, 8), num_classes=10)
    return Normalised(made, *statistics(WHOLE.train)).eval()


def written(out: Path, teacher: object, data: Data = SUBSET, **changes: object) -> TargetStore:
    return label(data, teacher, **PLAIN | {"out": out, "views": "Shift(1)", "num_views": 3} | changes)


def loader(samples: Samples, views: str = "Shift(1)", num_views: int | None = 3, **changes: object) -> Loader:
    settings = {"batch_size": 64, "seed": SEED, "views": as_view(views), "num_views": num_views} | changes
    return Loader(samples, **settings)


@pytest.mark.parametrize("data", [WHOLE, SUBSET], ids=["whole", "subset"])
@pytest.mark.parametrize("views", ["Crop(1) + Flip()", "Shift(1)"])
@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_every_sample_and_view_has_the_bits_of_the_live_teacher(tmp_path, kind: str, views: str, data: Data) -> None:
    live = Module(network(kind))
    store = written(tmp_path / "store", live, data, views=views)
    assert (tmp_path / "store" / "train.ids.safetensors").exists() == (data is SUBSET)
    assert len(store.pieces()) == len(store.manifest.parts)  # one shard each: batches are cut alike
    stored = Stored(TargetStore(tmp_path / "store"))
    seen = {}
    for view in range(3):
        for batch in loader(data.train, views).in_order(view):
            answers, said = stored.targets(batch), live.targets(batch)
            assert torch.equal(answers.logits(), said.logits())
            assert torch.equal(store.part("train").targets(batch.ids, view).logits(), said.logits())
            seen[view] = said.logits()
    assert not torch.equal(seen[0], seen[1])
    for samples in filter(None, (data.validation, data.test)):
        for batch in Loader(samples, 64, seed=0).in_order():
            assert torch.equal(stored.targets(batch).logits(), live.targets(batch).logits())


def test_shards_that_end_inside_a_view_hold_the_same_targets(tmp_path) -> None:
    live = Module(network())
    store = written(tmp_path / "store", live, num_views=40, shard_rows=1)
    pieces = [piece for piece in store.pieces() if piece.part == "train"]
    assert len(pieces) == 2
    assert store.manifest.parts["train"].rows_per_shard % len(SUBSET.train)  # the first ends within a view
    for view in (0, 26, 27, 28, 39):
        for batch in loader(SUBSET.train, num_views=40).in_order(view):
            torch.testing.assert_close(Stored(store).targets(batch).logits(), live.targets(batch).logits())


@pytest.mark.parametrize("micro_batches", [1, 3])
@pytest.mark.parametrize("ahead", [None, 40 * 64 * 2, 1])
def test_batches_of_training_get_their_targets_in_every_order(tmp_path, micro_batches, ahead) -> None:
    live = Module(network())
    stored = Stored(written(tmp_path / "store", live), lookahead_bytes=ahead)
    # two students with orders of their own, and held-out samples, ask by turns over more epochs than there are views
    first, second = loader(SUBSET.train, seed=1, view_seed=SEED), loader(SUBSET.train, seed=2, view_seed=SEED)
    test = list(Loader(SUBSET.test, 256, seed=0).in_order())
    answers: dict[tuple[int, int], Tensor] = {}
    for step in [*range(4 * first.steps_per_epoch), 3, 0, 17, 2, 7]:
        for batch in (first.batch(step), second.batch(step), test[step % len(test)]):
            for part in batch.parts(micro_batches):
                found = stored.targets(part).logits()
                torch.testing.assert_close(found, live.targets(part).logits())
                if batch is not test[step % len(test)]:
                    for number, row in zip(part.ids.tolist(), found, strict=True):
                        assert torch.equal(answers.setdefault((number, part.view), row), row)
    assert len(answers) == 3 * 300


def test_the_next_epoch_does_not_get_targets_in_the_order_of_the_one_before(tmp_path) -> None:
    live = Module(network())
    stored, found = Stored(written(tmp_path / "store", live)), loader(SUBSET.train, num_views=1)
    for step in (
        *range(3 * found.steps_per_epoch),
        1,
        found.steps_per_epoch + 1,
        2,
    ):  # the same view, at the same place
        batch = found.batch(step)
        torch.testing.assert_close(stored.targets(batch).logits(), live.targets(batch).logits())


def test_the_next_view_does_not_get_the_targets_of_the_one_before(tmp_path) -> None:
    live = Module(network())
    stored, found = Stored(written(tmp_path / "store", live)), loader(SUBSET.train)
    batches = zip(*(found.in_order(view) for view in range(3)), strict=True)  # one order, and three views by turns
    for batch in (batch for views in batches for batch in views):
        assert torch.equal(stored.targets(batch).logits(), live.targets(batch).logits())


def test_a_student_may_use_some_of_the_samples_and_views(tmp_path) -> None:
    live = Module(network())
    stored = Stored(written(tmp_path / "store", live, WHOLE))
    for batch in loader(SUBSET.train, num_views=2, seed=3, view_seed=SEED).in_order(1):
        torch.testing.assert_close(stored.targets(batch).logits(), live.targets(batch).logits())


REFUSED = {
    "endless views": (
        {"num_views": None},
        r"holds 3 views 'Shift\(pixels=1\)' of seed 7.*shows endless views .* of seed 7",
    ),
    "more views": ({"num_views": 4}, r"holds 3 views 'Shift\(pixels=1\)' of seed 7.*shows 4 views"),
    "other views": ({"views": "Shift(2)"}, r"holds 3 views 'Shift\(pixels=1\)'.*shows 3 views 'Shift\(pixels=2\)'"),
    "another view seed": ({"view_seed": 8}, r"of seed 7 of .*shows 3 views 'Shift\(pixels=1\)' of seed 8"),
    "no views": ({"views": "Identity()"}, r"holds 3 views 'Shift\(pixels=1\)'.*the run shows the samples as they are"),
}


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("name", REFUSED)
def test_other_views_than_those_stored_are_refused_with_both_named(tmp_path, name: str, held_out: bool) -> None:
    changes, sentence = REFUSED[name]
    stored = Stored(written(tmp_path / "store", network(), held_out=held_out))
    with pytest.raises(MismatchError, match=sentence):
        stored.targets(loader(SUBSET.train, **changes).batch(0))


def test_other_samples_and_data_and_classes_are_refused_with_both_named(tmp_path) -> None:
    stored = Stored(written(tmp_path / "store", network(), held_out=False))
    first = int(WHOLE.train.ids[~torch.isin(WHOLE.train.ids, SUBSET.train.ids)][0])
    with pytest.raises(
        MismatchError,
        match=rf"holds 300 samples .*and 900 of the run's 1,200 .*not among them, the first with id {first}\.",
    ):
        stored.targets(loader(WHOLE.train).batch(0))
    mine, theirs = SUBSET.train.source.fingerprint()[:8], SUBSET.test.source.fingerprint()[:8]
    with pytest.raises(MismatchError, match=rf"fingerprint {mine}\), and the data are 'digits \(test\)' \({theirs}"):
        stored.targets(loader(SUBSET.test).batch(0))
    old = SUBSET.train.source
    names = ("zero", *old.classes[1:])
    renamed = Samples.all_of(Source("renamed", old.inputs, old.labels, names))
    with pytest.raises(MismatchError, match=r"has 10 classes \(0, 1, .*and 'renamed' has 10 classes \(zero, 1, "):
        stored.targets(loader(renamed).batch(0))
    assert not stored.knows(SUBSET.test)
    assert not stored.knows(SUBSET.train)  # which it holds in views


def test_views_that_are_replayed_are_those_of_the_training_samples(tmp_path) -> None:
    expected = {"views": "Shift(pixels=1)", "num_views": 2, "view_seed": SEED}
    tiny = load_data("digits", subset=100)  # fewer rows than the test samples have
    for name, data in (("tiny", tiny), ("whole", WHOLE)):
        assert as_teacher(written(tmp_path / name, network(), data, num_views=2)).settings() == expected


def test_an_ensemble_of_stores_is_that_of_their_teachers_where_they_hold_the_same_views(tmp_path) -> None:
    networks = [network(seed=0), network(seed=1)]
    folders = [str(tmp_path / f"store-{k}") for k in range(2)]
    for folder, member in zip(folders, networks, strict=True):
        written(Path(folder), member)
    other = written(tmp_path / "other", networks[0], num_views=2)
    for combine in ("geometric", "arithmetic"):
        stored, live = Ensemble(folders, combine), Ensemble(networks, combine)
        assert stored.settings() == {"views": "Shift(pixels=1)", "num_views": 3, "view_seed": SEED}
        assert stored.knows(SUBSET.test)
        for batch in loader(SUBSET.train).in_order(2):
            for temperature in (1.0, 4.0):
                expected = live.targets(batch).log_probs(temperature)
                assert torch.equal(stored.targets(batch).log_probs(temperature), expected)
        mixed = Ensemble([folders[0], networks[1]], combine)
        batch = loader(SUBSET.train).batch(0)
        torch.testing.assert_close(mixed.targets(batch).log_probs(2.0), live.targets(batch).log_probs(2.0))
    with pytest.raises(MismatchError, match=r"must hold the same views; they hold .*'num_views': 3.*'num_views': 2"):
        Ensemble([folders[0], other.path]).settings()


def test_a_fingerprint_names_the_teacher_and_not_the_folder(tmp_path) -> None:
    stores = [written(tmp_path / str(k), network(seed=k // 2)) for k in range(3)]
    prints = [as_teacher(store).fingerprint() for store in stores]
    assert prints[0] == prints[1] != prints[2]
    stores[0].path.rename(tmp_path / "moved")
    assert as_teacher(str(tmp_path / "moved")).fingerprint() == prints[0]


def test_an_incomplete_store_is_no_teacher(tmp_path) -> None:
    begun = written(tmp_path / "begun", network(), share=(1, 2))
    with pytest.raises(StoreError, match=r"begun' is not complete: 1 of 3 shards are missing; run its label command"):
        as_teacher(begun)
    batch = loader(SUBSET.train).batch(0)
    stored = as_teacher(written(tmp_path / "whole", network()))
    with pytest.raises(MismatchError, match="can only be queried with batches of a Loader"):
        stored.targets(replace(batch, origin=None))
