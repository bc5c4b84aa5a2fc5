"""Padding changes no logit of a text classifier of Transformers, whatever its architecture does with padding."""

import pytest
import torch

from instar.errors import MismatchError
from instar.models.hooks import keep_outputs
from instar.models.named_layers import Layers
from instar.models.sequence_classifier import SequenceClassifier, count_positions

transformers = pytest.importorskip("transformers", reason="needs the extra transformers")

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
BLOCK = {"n_layer": 1, "n_head": 2}
SETTINGS = {
    "bert": SIZES,
    "convbert": SIZES | {"embedding_size": 16},  # its convolutions reach over the end of a text
    "xlnet": BLOCK | {"d_model": 16, "d_inner": 16},  # it reads the last position
    "gpt2": BLOCK | {"n_embd": 16, "pad_token_id": 29, "eos_token_id": 28},  # it looks for a padding of its own
}
LENGTHS = torch.tensor([2, 9, 5, 9])
MASK = torch.arange(9) < LENGTHS[:, None]
IDS = torch.randint(1, 28, (4, 9), generator=torch.Generator().manual_seed(0)).masked_fill(~MASK, 0)


def write_model(folder, kind, **settings):
    torch.manual_seed(0)
    config = transformers.CONFIG_MAPPING[kind](vocab_size=30, num_labels=3, **SETTINGS[kind] | settings)
    transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_text_has_the_logits_in_a_batch_that_it_has_alone(tmp_path, kind):
    network = SequenceClassifier(write_model(tmp_path, kind)).eval()
    assert network.ignores_padding == (kind in ("bert", "gpt2"))
    with torch.no_grad():
        for weight in network.parameters():  # as training does after the trial
            weight.add_(0.3 * torch.randn_like(weight))
    found = network(input_ids=IDS, attention_mask=MASK)
    for row, length in enumerate(LENGTHS):
        alone = network.model(input_ids=IDS[row : row + 1, :length]).logits  # of Transformers itself
        torch.testing.assert_close(found[row : row + 1], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("padded_left", [False, True])
def test_layers_of_a_text_in_a_batch_are_those_that_it_has_alone(tmp_path, padded_left):
    network = SequenceClassifier(write_model(tmp_path, "convbert")).eval()
    names = ["model.convbert.encoder.layer.0", "model.classifier.dense"]
    ids, mask = (one.flip(1) if padded_left else one for one in (IDS, MASK))
    layers = Layers.of(network, "it").select(names)
    with keep_outputs(layers, "it") as found:
        logits = network(input_ids=ids, attention_mask=mask)
    for row in range(4):
        with keep_outputs(layers, "it") as alone:
            wanted = network.model(input_ids=ids[row : row + 1, mask[row]]).logits
        torch.testing.assert_close(logits[row : row + 1], wanted)
        torch.testing.assert_close(found[names[0]][row, mask[row]], alone[names[0]][0])
        assert not found[names[0]][row, ~mask[row]].any()
        torch.testing.assert_close(found[names[1]][row], alone[names[1]][0])
    assert torch.autograd.grad(found[names[0]].sum(), next(network.model.convbert.embeddings.parameters()))[0].any()


def test_layers_whose_shapes_depend_on_the_length_are_refused(tmp_path):
    network = SequenceClassifier(write_model(tmp_path, "xlnet")).eval()
    layers = Layers.of(network, "it").select(["model.transformer.layer.0.ff"])
    problem = r"the samples of each length by themselves, .* such as \[2, 1, 16\]"
    with pytest.raises(MismatchError, match=problem), keep_outputs(layers, "it"):
        network(input_ids=IDS, attention_mask=MASK)
    gradients = {"gradient of it": network.model.transformer.layer[0].ff}
    with (
        pytest.raises(MismatchError, match="so there are no gradients of its layer 'it'"),
        keep_outputs(gradients, "it"),
    ):
        network(input_ids=IDS, attention_mask=MASK)


def test_an_export_cannot_hold_a_model_that_padding_changes(tmp_path, monkeypatch):
    network = SequenceClassifier(write_model(tmp_path, "convbert")).eval()
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    with pytest.raises(MismatchError, match="padding changes its logits"):
        network(input_ids=IDS, attention_mask=MASK)
    assert count_positions(write_model(tmp_path / "xlnet", "xlnet")) is None


def test_what_a_model_refuses_is_a_sentence(tmp_path):
    network = SequenceClassifier(write_model(tmp_path, "gpt2", pad_token_id=None)).eval()
    with pytest.raises(MismatchError, match="cannot read texts: Cannot handle batch sizes > 1 if no padding token"):
        network(input_ids=IDS, attention_mask=MASK)
    with pytest.raises(MismatchError, match="tokenizer may have tokens that it lacks"):
        network(input_ids=torch.full((1, 2), 30))
