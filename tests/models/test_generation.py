"""Language models write text: from a run, from its exports, and in Transformers' own pipeline."""

import shutil

import pytest
import torch
from tests.models.tiny_chat import ROWS, as_messages, save_chat_tokenizer, save_small_model

import instar
from instar.errors import MismatchError, RunError
from instar.models import CausalLM
from instar.models.saved_tokenizer import write_tokenizer

transformers = pytest.importorskip("transformers", reason="needs the extra transformers")

# both halves of the rows, so that a tiny model has learnt them by heart
CHATS = [{"messages": as_messages(row)} for row in ROWS[:4]]
PROMPTS = [chat["messages"][:1] for chat in CHATS]
ANSWERS = [chat["messages"][1]["content"] for chat in CHATS]


@pytest.fixture(scope="module")
def chat_run(tmp_path_factory):
    """A packed run that has learnt four conversations, whose folders of tokenizer and student have gone."""
    folder = tmp_path_factory.mktemp("chat")
    tokenizer = save_chat_tokenizer(folder / "tokenizer")
    student = save_small_model(folder / "student", intermediate_size=24, initializer_range=0.1)
    data = instar.load_data((CHATS * 8, CHATS), tokenizer=tokenizer, length=48, packing=True, validation=0)
    model = {"name": f"transformers:{student}", "arguments": {"pretrained": False}}
    run = instar.train(data, model, out=folder / "run", epochs=30, batch_size=4, learning_rate=0.02)
    assert run.metrics["error"] == 0
    shutil.rmtree(folder / "tokenizer")
    return run, data


def test_a_loaded_run_answers_prompts_one_by_one_and_together(chat_run):
    run, _ = chat_run
    model = instar.load(run.path)
    assert model.generate(PROMPTS[0]) == ANSWERS[0]
    assert model.generate(PROMPTS, max_new_tokens=20) == ANSWERS
    words = "<|user|>What is one and four?</s>\n<|assistant|>"
    assert model.generate(words) == ANSWERS[0]
    assert len(model.generate(words, max_new_tokens=1)) < len(ANSWERS[0])
    tokens = torch.tensor([[5, 6, 7]])
    theirs = model.network.model.generate(tokens, max_new_tokens=2)
    assert torch.equal(model.generate(tokens, max_new_tokens=2), theirs)


@pytest.mark.parametrize("to", ["safetensors", "hub"])
def test_an_export_answers_with_the_tokenizer_inside(tmp_path, chat_run, to):
    run, data = chat_run
    written = instar.export(run, to, data=data, out=tmp_path / f"student.{to}")
    assert written.inputs == "int32 [batch, positions]"
    model = instar.load(written.path)
    assert model.generate(PROMPTS) == ANSWERS
    if to == "hub":
        words = transformers.AutoTokenizer.from_pretrained(written.path)
        assert words.apply_chat_template(PROMPTS[0], tokenize=False).startswith("<|user|>What is one and four?</s>")


def test_the_folder_of_transformers_opens_with_its_pipeline_and_chat_template(tmp_path, chat_run):
    run, data = chat_run
    written = instar.export(run, "transformers", data=data, out=tmp_path / "student")
    assert written.difference < 1e-5
    model = transformers.AutoModelForCausalLM.from_pretrained(written.path)
    words = transformers.AutoTokenizer.from_pretrained(written.path)
    pipeline = transformers.pipeline("text-generation", model=model, tokenizer=words)
    for prompt, answer in zip(PROMPTS, ANSWERS, strict=True):
        assert pipeline(prompt, return_full_text=False)[0]["generated_text"] == answer
    # the configuration of a new model names the end of another tokenizer, and rows beyond the vocabulary have no text
    assert model.generation_config.eos_token_id in (0, [0])
    assert model.generation_config.suppress_tokens == list(range(len(words), 330))


def test_what_writes_no_text_says_so(tmp_path):
    bare = CausalLM(save_small_model(tmp_path / "bare", intermediate_size=24))
    with pytest.raises(MismatchError, match=r"has no tokenizer; train it with data\.tokenizer"):
        bare.generate("What?")
    digits = instar.train("digits", instar.models.MLP([4]), out=tmp_path / "digits", epochs=1)
    with pytest.raises(MismatchError, match="'MLP' writes no text"):
        digits.model.generate("What?")


@pytest.mark.parametrize("name", ["../evil.json", "/evil.json", ".hidden", "a/b"])
def test_a_stranger_cannot_write_files_elsewhere_through_a_tokenizer(tmp_path, name):
    with pytest.raises(RunError, match="no name of a file in one folder"):
        write_tokenizer({name: "{}"}, tmp_path / "tokenizer")
