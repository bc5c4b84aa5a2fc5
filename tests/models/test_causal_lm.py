"""Language models of Transformers, built from a configuration: as students, as teachers, and which are refused."""

import datasets
import pytest
import torch
from tests.models.llama import save_llama

from instar.config import ModelConfig
from instar.data import load_data
from instar.errors import ConfigError, MismatchError
from instar.models import CausalLM, Projected, build_network
from instar.procedures.distill import distill
from instar.procedures.evaluate import evaluate
from instar.procedures.label import label
from instar.procedures.train import train
from instar.runs.run import Run
from instar.teachers import as_teacher

transformers = pytest.importorskip("transformers", reason="needs the extra transformers")

WORDS = ["</s>", "?", "the", "cat", "dog", "sat", "ran"]
LINES = ["the cat sat", "the dog ran", "the dog sat", "the cat ran the dog"] * 6
SETTINGS = {"epochs": 2, "batch_size": 4, "learning_rate": 0.01, "log_every": 1}


def save_tokenizer(folder, words=WORDS):
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?", eos_token="</s>")
    fast.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def model_folder(tmp_path):
    """A model with eight rows for seven tokens, and its tokenizer."""
    save_tokenizer(tmp_path / "llama")
    return save_llama(tmp_path / "llama")


def text(tmp_path, **options):
    folder = tmp_path / "text"
    folder.mkdir(exist_ok=True)
    for split in ("train", "test"):
        rows = datasets.Dataset.from_dict({"text": LINES if split == "train" else LINES[:8]})
        rows.to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return load_data(str(folder), **{"length": 6, "stream": False, "validation": 0.2} | options)


def test_a_model_that_lacks_weights_is_refused_because_they_would_be_random(model_folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(f"{model_folder}/model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, f"{model_folder}/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(MismatchError, match=r"lacks weights of LlamaForCausalLM, such as 'lm_head\.weight'"):
        CausalLM(model_folder)
    assert CausalLM(model_folder, pretrained=False).head is not None


def test_logits_are_those_of_transformers_without_the_padding(model_folder):
    network = CausalLM(model_folder).eval()
    tokens = torch.tensor([[2, 3, 5, 0], [2, 4, 6, 1]], dtype=torch.int32)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(model_folder).eval()
    with torch.no_grad():
        expected = theirs(input_ids=tokens.long()).logits
        assert network(tokens).shape == (2, 4, 7)
        torch.testing.assert_close(network(tokens), expected[..., :7])
        projected = network(tokens, project=True)
    assert isinstance(projected, Projected)
    torch.testing.assert_close(projected.logits(), expected[..., :7])


def test_a_model_that_caps_its_logits_does_not_return_projected(tmp_path):
    config = transformers.Gemma2Config(
        vocab_size=7,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        final_logit_softcapping=30.0,
    )
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path / "gemma")
    network = CausalLM(str(tmp_path / "gemma")).eval()
    assert not network.projects
    tokens = torch.tensor([[2, 3, 5]])
    with torch.no_grad():
        torch.testing.assert_close(network(tokens), model.eval()(input_ids=tokens).logits)


def test_a_model_is_taught_by_another_live_and_from_a_store(tmp_path, model_folder):
    data = text(tmp_path, tokenizer=model_folder)
    teacher = train(data, f"transformers:{model_folder}", out=tmp_path / "teacher", **SETTINGS | {"epochs": 20})
    assert teacher.metrics["perplexity"] < 4
    student = {"name": f"transformers:{model_folder}", "arguments": {"pretrained": False}}
    shared = {"objective": "SoftTargets(2) + HardLabels()", "model": student, **SETTINGS}
    live = distill(teacher=teacher, data=data, out=tmp_path / "live", **shared)
    store = label(data, teacher, out=tmp_path / "store", dtype="float32")
    stored = distill(teacher=store.path, data=data, out=tmp_path / "stored", **shared)
    torch.testing.assert_close(live.metrics["nll"], stored.metrics["nll"])
    assert evaluate(live, data)["nll"] == pytest.approx(live.metrics["nll"])
    again = Run(live.path)
    assert torch.equal(as_teacher(again).network.network.head.weight, live.model.network.head.weight)


def test_a_folder_of_transformers_is_a_teacher(tmp_path, model_folder):
    data = text(tmp_path, tokenizer=model_folder)
    student = {"name": f"transformers:{model_folder}", "arguments": {"pretrained": False}}
    run = distill(
        data, f"transformers:{model_folder}", student, objective="SoftTargets(1)", out=tmp_path / "run", **SETTINGS
    )
    assert run.metrics["kl_to_teacher"] < 1


def test_padding_has_no_mass_and_learns_nothing(tmp_path, model_folder):
    data = text(tmp_path, tokenizer=model_folder)
    run = train(data, f"transformers:{model_folder}", out=tmp_path / "run", **SETTINGS | {"weight_decay": 0.0})
    before, after = CausalLM(model_folder).head.weight, run.model.network.head.weight
    assert torch.equal(before[7:], after[7:])
    assert not torch.equal(before[:7], after[:7])


def build(path, shape=(6,), classes=tuple(WORDS)):
    return build_network(ModelConfig(name=f"transformers:{path}"), shape, classes, trust=False)


def test_what_does_not_fit_is_refused_in_words(tmp_path, model_folder):
    with pytest.raises(MismatchError, match="allows 12 positions, but the data have 13"):
        build(model_folder, (13,))
    with pytest.raises(MismatchError, match=r"needs tokens \(positions,\), got inputs of shape \[1, 8, 8\]"):
        build(model_folder, (1, 8, 8))
    with pytest.raises(ConfigError, match=r"transformers cannot load model '.*nothing': "):
        build(tmp_path / "nothing")
    bare = save_llama(tmp_path / "bare", 5)
    with pytest.raises(MismatchError, match=r"model '.*bare' has 5 tokens, but the data have 7"):
        build(bare)


def test_another_tokenizer_is_refused_by_the_names_of_both(tmp_path, model_folder):
    other = [*WORDS[:3], "cow", *WORDS[4:]]
    message = (
        r"the tokenizer of model '.*llama' \(7 tokens\) differs from that of the data \(7 tokens\): token 3 is 'cat' "
    )
    with pytest.raises(MismatchError, match=message):
        build(model_folder, classes=tuple(other))
    data = text(tmp_path, tokenizer=save_tokenizer(tmp_path / "cow", other))
    plain = {"name": f"transformers:{save_llama(tmp_path / 'plain')}", "arguments": {"pretrained": False}}
    with pytest.raises(MismatchError, match=r"the tokenizer of the teacher \(7 tokens\) differs from that of '.*cow'"):
        distill(data, f"transformers:{model_folder}", plain, out=tmp_path / "run", **SETTINGS)
    assert not (tmp_path / "run").exists()
