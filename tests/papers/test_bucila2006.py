"""Model compression at the smallest scale: the table is whole, and its teacher is the ensemble that it says."""

import json

import pytest
import torch

from instar.papers import run_paper
from instar.papers.bucila2006 import GENERATORS, SCALES, load_problem
from instar.papers.model_library import Library, select_members
from instar.runs.run import Run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    run_paper("bucila2006-model-compression", scale="smoke", seeds=1, out=folder)
    return folder


def test_the_table_has_a_loss_for_each_arm(rows):
    (problem,), (most,) = SCALES["smoke"].names, SCALES["smoke"].rows
    for arm in ("best single model", "ensemble", "labels", "real", *(f"{name}-{most}" for name in GENERATORS)):
        assert 0 < rows[f"{problem}: {arm}", "loss"]["mean"] < 60, arm
    over = f"{problem}: ensemble over munge-{most}"
    assert rows[over, "bytes"]["mean"] > 10
    assert rows[over, "seconds for one row"]["mean"] > 1


def test_all_students_see_the_same_number_of_samples_and_record_their_rows(folder):
    (problem,), (most,), seen = SCALES["smoke"].names, SCALES["smoke"].rows, SCALES["smoke"].samples_seen
    for arm, made in (("real", 0), *((f"{name}-{most}", most) for name in GENERATORS)):
        config = Run(folder / "runs" / problem / arm / "0").config
        rows = 1020 + made  # of 1,200, a share of 0.15 is validation
        assert abs(config["training"]["epochs"] * rows - seen) <= rows / 2
        assert config["data"]["transfer_rows"] == (made or None)
    assert json.loads((folder / "origin.json").read_text())["training_seconds"] > 0


def test_the_ensemble_is_the_mean_of_its_members_and_no_worse_on_validation_than_the_best():
    data = load_problem("digits.p1", "", 0)
    library = Library.fit(data, 4)
    held_out = data.split("validation")
    best, ensemble = library.predict(held_out)
    truth = torch.nn.functional.one_hot(held_out.labels, 2)
    assert (ensemble - truth).square().mean() <= (best - truth).square().mean() + 1e-12
    by_hand = sum(
        count * torch.from_numpy(model.predict_proba(held_out.inputs().flatten(1).numpy()))
        for count, model in zip(library.counts.tolist(), library.models.values(), strict=True)
    )
    torch.testing.assert_close(ensemble, by_hand / library.counts.sum())
    one = torch.rand(3, 20, 2, generator=torch.Generator().manual_seed(0))
    assert select_members(one, torch.zeros(20, dtype=torch.int64), rounds=1).sum() == 1
