"""Several texts in a window: each gets the logits that it gets alone, or the model is refused before it trains."""

import itertools

import pytest
import torch
from tests.models.tiny_chat import ROWS, save_chat_tokenizer, save_small_model
from torch import nn

from instar.compute.packed import PACKED_INPUTS
from instar.data import Loader, load_data
from instar.errors import MismatchError
from instar.models import CausalLM
from instar.models.packing_probe import refuse_mixed_texts
from instar.procedures.distill import distill
from instar.procedures.train import train
from instar.teachers import Module

transformers = pytest.importorskip("transformers", reason="needs the extra transformers")

FAMILIES = {
    "Llama": {"intermediate_size": 24},
    "GPT2": {"n_positions": 64},
    "GPTNeoX": {"intermediate_size": 24},
    # sees the last three tokens alone, fewer than a text has
    "Mistral": {"intermediate_size": 24, "num_key_value_heads": 1, "sliding_window": 3},
    "Qwen3": {"intermediate_size": 24, "num_key_value_heads": 1, "head_dim": 12},
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return save_chat_tokenizer(tmp_path_factory.mktemp("chat") / "tokenizer")


def load(tokenizer, **settings):
    return load_data(
        (ROWS, ROWS), **{"tokenizer": tokenizer, "length": 40, "validation": 0, "packing": True} | settings
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_the_logits_of_packed_texts_are_those_of_each_text_alone(tmp_path, tokenizer, family):
    data = load(tokenizer)
    network = CausalLM(save_small_model(tmp_path / family, family, **FAMILIES[family])).eval()
    (batch,) = Loader(data.train, 99, seed=0).in_order()
    assert (batch.mask.sum(1) < batch.mask.shape[1]).all(), "there is padding, and prompts"
    with torch.no_grad():
        packed = network(**batch.column("inputs"))
        source, compared = data.train.source, 0
        for row in range(len(source)):
            length = int(source.lengths[row])
            edges = [*(source.column("position_ids")[row, :length] == 0).nonzero()[:, 0].tolist(), length]
            for start, stop in itertools.pairwise(edges):
                alone = network(source.inputs[row : row + 1, start:stop])[0]
                torch.testing.assert_close(
                    packed[row, start:stop], alone, rtol=1e-5, atol=1e-5 * alone.abs().max().item()
                )
                compared += stop - start
    assert compared == int(source.lengths.sum())


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("Bloom", {"n_head": 2, "n_layer": 2}),  # counts positions by itself
        ("Mamba", {"state_size": 4}),  # carries a state through the window
    ],
)
def test_a_model_that_mixes_texts_is_refused_before_the_run_folder_exists(tmp_path, tokenizer, family, settings):
    folder = save_small_model(tmp_path / family, family, **settings)
    with pytest.raises(MismatchError, match=r"the student (mixes the texts of a window|does not take input_ids and)"):
        train(load(tokenizer), f"transformers:{folder}", out=tmp_path / "run", epochs=1)
    assert not (tmp_path / "run").exists()
    small = save_small_model(tmp_path / "small", intermediate_size=24)
    with pytest.raises(MismatchError, match=r"the model (mixes the texts of a window|does not take input_ids and)"):
        distill(load(tokenizer), f"transformers:{folder}", f"transformers:{small}", out=tmp_path / "run", epochs=1)
    assert not (tmp_path / "run").exists()


def test_a_network_of_the_users_is_held_to_it_too():
    class Apart(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(7, 7)

        def forward(self, input_ids: torch.Tensor, position_ids: torch.Tensor) -> torch.Tensor:
            return self.embedding(input_ids)

    class Mixing(Apart):
        def forward(self, input_ids: torch.Tensor, position_ids: torch.Tensor) -> torch.Tensor:
            return self.embedding(input_ids).cumsum(1)

    inputs = dict.fromkeys(PACKED_INPUTS, torch.zeros(1, 2))
    refuse_mixed_texts(Apart(), inputs, "student", 7)
    with pytest.raises(MismatchError, match="the student mixes the texts of a window: a logit differs by"):
        refuse_mixed_texts(Mixing(), inputs, "student", 7)


def test_a_model_that_cannot_tell_texts_apart_is_refused(tmp_path, tokenizer):
    with pytest.raises(MismatchError, match=r"'lstm' reads one text per sample, and the data have several; leave out"):
        train(load(tokenizer), "lstm", out=tmp_path / "run", epochs=1)
    folder = save_small_model(tmp_path / "model", intermediate_size=24)
    teacher = Module(CausalLM(folder), reader="AsIs('input_ids')")
    with pytest.raises(MismatchError, match="reads only a part of input_ids and position_ids"):
        distill(load(tokenizer), teacher, f"transformers:{folder}", out=tmp_path / "run", epochs=1)
    with pytest.raises(MismatchError, match="reads only a part of input_ids and position_ids"):
        train(load(tokenizer), f"transformers:{folder}", reader="AsIs('input_ids')", out=tmp_path / "run", epochs=1)
    assert not (tmp_path / "run").exists()


def test_a_packed_run_is_that_of_single_examples_and_either_teaches_the_other(tmp_path, tokenizer):
    folder = save_small_model(tmp_path / "model", intermediate_size=24)
    data = {name: load(tokenizer, packing=name == "packed") for name in ("single", "packed")}
    # all examples in one batch, so that both take the same step
    training = {"epochs": 2, "batch_size": 99, "learning_rate": 0.01, "seed": 0}
    runs = {
        name: train(data[name], f"transformers:{folder}", out=tmp_path / name, **training)
        for name in ("single", "packed")
    }
    for metric in ("perplexity", "nll", "error"):
        assert runs["packed"].metrics[metric] == pytest.approx(runs["single"].metrics[metric], rel=1e-4)
    tokens = data["single"].train.source.inputs[:2]
    torch.testing.assert_close(runs["packed"].model(tokens), runs["single"].model(tokens), rtol=1e-3, atol=1e-3)
    for name, teacher in (("single", "packed"), ("packed", "single")):
        out = tmp_path / f"{name} of {teacher}"
        taught = distill(data[name], runs[teacher], f"transformers:{folder}", out=out, **training)
        assert taught.metrics["kl_to_teacher"] < 1
        assert set(PACKED_INPUTS) <= set(data["packed"].train.source.column_names)
