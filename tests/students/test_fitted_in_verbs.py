"""Students without gradients where a network may stand: specialists, and graphs that are traced."""

import pytest
import torch

import instar
from instar.errors import InstarError
from instar.models import Forest, Nearest, Tree


@pytest.mark.parametrize("description", [Tree(leaves=20, smoothing=0.0, prune=False), Forest(5, depth=6)])
def test_specialists_without_gradients_know_the_true_shares(tmp_path, description):
    data = instar.load_data("digits", subset=300)
    generalist = instar.train(data, description, out=tmp_path / "generalist", show=False)
    sets = instar.specialists.Clusters((("3", "8"), ("4", "9")))
    runs = instar.specialists.train(generalist, sets, out=tmp_path / "specialists", show=False)
    assert runs[0].classes == ("3", "8", "(all others)")
    assert (runs[0].config["start"], runs[0].config["correct_prior"]) == (None, False)
    x, labels = data.train.inputs(), data.train.labels
    shares = [float((labels == digit).double().mean()) for digit in (3, 8)]
    found = runs[0].model(x).double().softmax(1).mean(0).tolist()
    # means of leaves are those of all samples; a forest drew its own
    assert found == pytest.approx([*shares, 1 - sum(shares)], abs=1e-6 if isinstance(description, Tree) else 0.03)
    whole = instar.specialists.combine(generalist, tmp_path / "specialists", out=tmp_path / "whole")
    assert whole.metrics["error"] <= generalist.metrics["error"] + 0.02
    settings = {"data.special_classes": ["3"], "data.rest": "dustbin", "correct_prior": True}
    with pytest.raises(InstarError, match="fitted to each sample once, so its classes have their true shares"):
        instar.train("digits", description, out=tmp_path / "no", settings=settings, show=False)


@pytest.mark.filterwarnings("ignore:.*torch.jit.load.* is deprecated")
@pytest.mark.parametrize("model", [Forest(3, depth=4), Nearest(2)])
def test_a_traced_model_takes_batches_of_any_size(tmp_path, model):
    data = instar.load_data("digits", subset=200)
    run = instar.train(data, model, out=tmp_path / "run", show=False)
    traced = torch.jit.load(instar.export(run, "torchscript", out=tmp_path / "model.pt", data=data).path)
    many = data.test.inputs().repeat(40, 1, 1, 1)
    for rows in (many, many[:1]):
        torch.testing.assert_close(traced(rows), run.model(rows), rtol=0, atol=0)
