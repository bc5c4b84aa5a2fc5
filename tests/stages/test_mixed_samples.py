"""Runs with views that mix samples: stores, stops, parts and processes change nothing, and evaluation is not mixed."""

import pytest
import torch
from tests.same_runs import assert_same, same_weights
from torch import nn

from instar.data import Loader, Samples, Source, as_view, load_data
from instar.errors import ConfigError, MismatchError
from instar.models import CNN, MLP
from instar.procedures.distill import distill
from instar.procedures.label import label
from instar.procedures.target_stores import verify_targets
from instar.procedures.train import train
from instar.runs.predictions import read_predictions
from instar.runs.run import Run
from instar.targets import TargetStore
from instar.teachers import Module, Stored
from instar.training.diagnosis import explain_nan

DIGITS = load_data("digits", subset=150, validation=0.2)
SETTINGS = {"epochs": 3, "batch_size": 32, "log_every": 1, "checkpoint_seconds": 0, "show": False}
SUMS = ["Shift(1) + Mixup(1)", "CutMix() + Flip()"]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()


def student(out, **changes):
    return distill(DIGITS, network(), MLP([8], 0.5), out=out, **SETTINGS | {"num_views": 2} | changes)


@pytest.mark.parametrize("views", SUMS)
def test_a_store_trains_the_bits_of_the_live_teacher_who_sees_the_mixture(tmp_path, views):
    exact = {"store": {"dtype": "float32"}}
    # one batch for all samples, because matrix products of another size round otherwise
    live = student(tmp_path / "live", views=views, batch_size=150)
    stored = student(tmp_path / "store", views=views, batch_size=150, targets="store", **exact)
    in_memory = student(tmp_path / "memory", views=views, batch_size=150, targets="memory")
    assert same_weights(live, in_memory)
    assert same_weights(live, stored)
    assert not same_weights(live, student(tmp_path / "plain", batch_size=150))


@pytest.mark.parametrize("views", SUMS)
def test_a_store_holds_the_answers_about_the_mixtures(tmp_path, views):
    teacher = Module(network())
    label(
        DIGITS, teacher, out=tmp_path / "store", views=views, num_views=2, seed=3, dtype="float32", batch_size=150,
        show=False, held_out=False,
    )  # fmt: skip
    stored = Stored(TargetStore(tmp_path / "store"))
    loader = Loader(DIGITS.train, 150, seed=3, views=as_view(views), num_views=2)
    for view in range(2):
        for batch in loader.in_order(view):
            assert torch.equal(stored.targets(batch).logits(), teacher.targets(batch).logits())
    assert verify_targets(tmp_path / "store", teacher=teacher, data=DIGITS, rows=50).difference == 0
    fewer = Loader(DIGITS.train.select(torch.arange(20)), 20, seed=3, views=as_view(views), num_views=2)
    with pytest.raises(MismatchError, match=r"holds mixtures of 150 samples .* and the run mixes 20; select the same"):
        stored.targets(fewer.batch(0))


@pytest.mark.parametrize("step", [0, 5, 11])
def test_a_stopped_run_ends_alike(tmp_path, stop_before, step):
    settings = SETTINGS | {"views": "Shift(1) + CutMix(1, 0.5)"}
    straight = train(DIGITS, CNN([4, 6], 8, 0.5), out=tmp_path / "straight", **settings)
    stopped = stop_before(step)
    with pytest.raises(stopped):
        train(DIGITS, CNN([4, 6], 8, 0.5), out=tmp_path / "stopped", **settings)
    assert_same(straight, train(DIGITS, CNN([4, 6], 8, 0.5), out=tmp_path / "stopped", **settings))


def test_micro_batches_add_up_to_the_loss_of_the_whole_batch(tmp_path):
    runs = [
        train(DIGITS, MLP([8]), out=tmp_path / str(parts), views="Mixup(1)", micro_batches=parts, **SETTINGS)
        for parts in (1, 3)
    ]
    losses = [[line["loss"] for line in run.history() if line["kind"] == "train"] for run in runs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_evaluation_is_never_mixed(tmp_path):
    run = train(DIGITS, MLP([8]), out=tmp_path / "run", views="Mixup(1)", **SETTINGS)
    found = read_predictions(run)
    with torch.no_grad():
        expected = run.model(DIGITS.test.inputs())
    torch.testing.assert_close(found["test.logits"], expected, rtol=1e-4, atol=1e-5)


def test_a_store_is_looked_at_with_its_mixtures_and_claims_no_error(tmp_path, capsys):
    label(DIGITS, network(), out=tmp_path / "store", views="Mixup(1)", num_views=1, show=False, held_out=False)
    run = distill(DIGITS, tmp_path / "store", MLP([8]), out=tmp_path / "run", **SETTINGS | {"show": True})
    assert "the teacher's error is not known" in capsys.readouterr().err
    assert Run(run.path).config["views"] == "Mixup(alpha=1, probability=1.0)"
    others = SETTINGS | {"views": "Mixup(0.5)", "num_views": 1}
    with pytest.raises(MismatchError, match=r"the run shows .*Mixup\(alpha=0.5"):
        distill(DIGITS, tmp_path / "store", MLP([8]), out=tmp_path / "other", **others)


def test_what_takes_one_label_is_refused_before_there_is_a_folder(tmp_path):
    with pytest.raises(MismatchError, match="DecoupledKD is not defined for a sample with two labels"):
        student(tmp_path / "run", views="Mixup()", objective="DecoupledKD()")
    with pytest.raises(ConfigError, match=r"'training.gradients_every' splits gradients at the label, and Mixup\("):
        student(tmp_path / "run", views="Mixup()", gradients_every=2)
    with pytest.raises(ConfigError, match="only one view of a sum may mix samples"):
        student(tmp_path / "run", views="Mixup() + CutMix()")
    assert not (tmp_path / "run").exists()


def test_a_sample_that_is_nan_is_named_where_it_is_the_partner():
    inputs = torch.randn(60, 5)
    inputs[17, 2] = torch.nan
    samples = Samples.all_of(Source("rows", inputs, torch.arange(60) % 2, ("a", "b")))
    batch = Loader(samples, 60, seed=0, views=as_view("Mixup(1)")).batch(0)
    assert "The inputs of sample 17 of 'rows' are NaN or infinite; mend" in explain_nan(batch, None, True)
