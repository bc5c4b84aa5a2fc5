"""Instructions: which tokens an example has, which of them have a loss, and what is refused."""

import itertools
from itertools import groupby

import datasets
import numpy as np
import pandas
import pytest
import torch
from tests.models.tiny_chat import ROWS, as_messages, save_chat_tokenizer, write_rows

from instar.analysis.scores import UNLABELLED
from instar.data import Loader, load_data
from instar.data.instructions.packing import pack
from instar.errors import ConfigError, DataError

transformers = pytest.importorskip("transformers", reason="needs the extra transformers")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return save_chat_tokenizer(tmp_path_factory.mktemp("chat") / "tokenizer")


def load(given, tokenizer, **settings):
    return load_data(given, **{"tokenizer": tokenizer, "length": 64, "validation": 0} | settings)


def examples(samples):
    """Return the tokens of each window, and those of them that have a loss."""
    source = samples.source
    found = []
    for inputs, labels, length, mask in zip(source.inputs, source.labels, source.lengths, source.mask, strict=True):
        tokens = [int(inputs[0]), *labels[:length].tolist()]
        assert inputs[1:length].tolist() == tokens[1:-1]
        assert (labels[length:] == UNLABELLED).all()
        assert not mask[length:].any()
        found.append((tokens, [tokens[at + 1] for at in mask.nonzero()[:, 0]]))
    return found


def test_the_loss_is_on_the_completion_and_the_token_behind_it(tmp_path, tokenizer):
    data = load(write_rows(tmp_path / "rows", train=ROWS, test=ROWS[:3]), tokenizer)
    words = transformers.AutoTokenizer.from_pretrained(tokenizer)
    expected = [
        ([*words.encode(row["prompt"] + row["completion"]), 0], [*words.encode(row["completion"]), 0]) for row in ROWS
    ]
    assert examples(data.train) == expected
    assert data.train.count_labels()[:-1].sum() == sum(len(completion) for _, completion in expected)
    assert "instructions of columns prompt, completion" in data.describe()
    assert f"{sum(len(a) - len(b) - 1 for a, b in expected):,} train positions without a loss" in data.describe()


def test_the_turns_of_the_assistant_have_the_loss_that_the_template_itself_marks(tmp_path, tokenizer):
    system = [{"role": "system", "content": "Be short."}]
    rows = [
        {"messages": as_messages(ROWS[0])},
        {"messages": [*system, *as_messages(ROWS[1]), *as_messages(ROWS[2])]},
        {"messages": [*as_messages(ROWS[3]), {"role": "user", "content": "Thanks."}]},
    ]
    data = load(write_rows(tmp_path / "rows", train=rows, test=rows), tokenizer)
    words = transformers.AutoTokenizer.from_pretrained(tokenizer)
    for (tokens, learnt), row in zip(examples(data.train), rows, strict=True):
        whole = words.apply_chat_template(row["messages"], return_dict=True, return_assistant_tokens_mask=True)
        marks = np.array(whole["assistant_masks"], bool)
        last = marks.nonzero()[0][-1] + 1  # what follows the last turn of the assistant is not read
        assert tokens == whole["input_ids"][:last]
        assert learnt == np.array(whole["input_ids"])[marks].tolist()


LLAMA = (
    "{% for m in messages %}"
    "{% set text = '<|start|>' + m['role'] + '<|stop|>\n\n' + m['content'] | trim + '<|eot|>' %}"
    "{% if loop.index0 == 0 %}{% set text = '<|begin|>' + text %}{% endif %}{{ text }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant<|stop|>\n\n' }}{% endif %}"
)
QWEN = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|start|>system\nYou are helpful.<|eot|>\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|start|>' + m['role'] + '\n' + m['content'] + '<|eot|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}"
)
MISTRAL = (
    "<|begin|>{% for m in messages %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('odd') }}{% endif %}"
    "{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]{% else %}{{ m['content'] + eos_token }}{% endif %}"
    "{% endfor %}"
)
PHI = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|eot|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
PLAIN = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


# the template, and what is written behind the first and behind the last answer
@pytest.mark.parametrize(
    ("template", "first", "last"),
    [
        pytest.param(LLAMA, "{}<|eot|>", "{}<|eot|>", id="Llama 3"),
        pytest.param(QWEN, "{}<|eot|>", "{}<|eot|>", id="Qwen 2.5"),
        pytest.param(MISTRAL, "{}</s>", "{}</s>", id="Mistral"),
        pytest.param(PHI, "{}<|eot|>", "{}<|eot|>\n</s>", id="Phi 3"),
        pytest.param(PLAIN, " {}\n", " {}\n</s>", id="without special tokens"),
    ],
)
def test_the_turns_of_common_chat_templates_are_told(tmp_path, tokenizer, template, first, last):
    words = transformers.AutoTokenizer.from_pretrained(tokenizer)
    words.add_special_tokens({"additional_special_tokens": ["<|begin|>", "<|start|>", "<|stop|>", "<|eot|>"]})
    words.chat_template = template
    words.save_pretrained(tmp_path / "words")
    turns = [*as_messages(ROWS[0]), *as_messages(ROWS[1])]
    rows = [{"messages": turns}]
    data = load((rows, rows), str(tmp_path / "words"), length=256)
    ((tokens, _),), source = examples(data.train), data.train.source
    has_loss = [False, *source.mask[0, : int(source.lengths[0])].tolist()]
    pairs = zip(tokens, has_loss, strict=True)
    runs = [list(run) for is_learnt, run in groupby(pairs, lambda pair: pair[1]) if is_learnt]
    written = [words.decode([token for token, _ in run]) for run in runs]
    answers = [turn["content"] for turn in turns if turn["role"] == "assistant"]
    assert written == [form.format(answer) for form, answer in zip((first, last), answers, strict=True)]
    assert words.decode(tokens).startswith(words.apply_chat_template(turns, tokenize=False).rstrip("\n"))


def test_a_template_that_writes_the_date_is_told_once_and_for_conversations_alone(tmp_path, tokenizer, capsys):
    words = transformers.AutoTokenizer.from_pretrained(tokenizer)
    words.chat_template = "{{ strftime_now('%Y') }}" + words.chat_template
    words.save_pretrained(tmp_path / "dated")
    for rows in (ROWS, [{"messages": as_messages(ROWS[0])}]):
        load((rows, rows), str(tmp_path / "dated"))
    assert capsys.readouterr().err.count("may write today's date into the conversations of 'arrays'") == 1


def test_messages_as_prompt_and_completion_have_a_loss_behind_the_prompt_alone(tokenizer):
    first, last = as_messages(ROWS[0]), as_messages(ROWS[1])
    rows = [{"prompt": [*first, last[0]], "completion": [last[1]]}]
    data = load((rows, rows), tokenizer)
    whole = load(([{"messages": [*first, *last]}],) * 2, tokenizer)
    ((tokens, learnt),), ((same, more),) = examples(data.train), examples(whole.train)
    assert tokens == same
    assert learnt == more[-len(learnt) :]
    assert len(learnt) < len(more)


def test_a_prompt_that_ends_within_a_token_is_tokenised_as_it_is_when_a_model_is_asked(tokenizer):
    rows = [{"prompt": "What is one ", "completion": "and four?"}]
    ((tokens, learnt),) = examples(load((rows, rows), tokenizer).train)
    words = transformers.AutoTokenizer.from_pretrained(tokenizer)
    assert tokens[: -len(learnt)] == words.encode("What is one ")
    assert words.encode("What is one and four?")[: len(tokens) - len(learnt)] != tokens[: -len(learnt)]
    assert words.decode(tokens) == "What is one and four?</s>"


def test_a_tokenizer_that_begins_texts_with_a_space_puts_none_before_completions(tmp_path):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = trainers.BpeTrainer(special_tokens=["</s>"], show_progress=False)
    tokenizer.train_from_iterator([f"{row['prompt']}{row['completion']} So(" for row in ROWS], trainer)
    words = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")
    words.save_pretrained(tmp_path / "words")
    rows = [{"prompt": "What is one", "completion": "(and four?"}, ROWS[0]]
    for (tokens, learnt), row in zip(examples(load((rows, rows), str(tmp_path / "words")).train), rows, strict=True):
        assert tokens[: -len(learnt)] == words.encode(row["prompt"])
        assert words.decode(tokens) == f"{row['prompt']}{row['completion']}</s>"


def test_all_forms_of_the_same_rows_are_the_same_data(tmp_path, tokenizer):
    frame = pandas.DataFrame(ROWS)
    folder = tmp_path / "rows.csv"
    frame.to_csv(folder, index=False)
    frame.to_parquet(tmp_path / "rows.parquet")
    forms = {
        "lists": (ROWS, ROWS),
        "one list": ROWS,
        "columns": {"train": frame.to_dict("list"), "test": frame.to_dict("list")},
        "frames": {"train": frame, "test": frame},
        "data sets": (datasets.Dataset.from_list(ROWS), datasets.Dataset.from_list(ROWS)),
        "JSON lines": write_rows(tmp_path / "json", train=ROWS, test=ROWS),
    }
    sources = {name: load(form, tokenizer, split_seed=0).train.source for name, form in forms.items()}
    assert len({source.fingerprint() for name, source in sources.items() if name != "one list"}) == 1
    drawn = [load(str(path), tokenizer, test=0.25) for path in (folder, tmp_path / "rows.parquet")]
    assert [len(drawn[0].train), len(drawn[0].test)] == [9, 3]
    assert drawn[0].fingerprints() == drawn[1].fingerprints()


def test_longer_examples_are_refused_cut_or_left_out_and_counted(tokenizer):
    short, long = ROWS[0], {"prompt": "Hm. " * 30, "completion": " Yes."}
    rows = [short, long]
    with pytest.raises(DataError, match=r"1 of 2 examples of .* are longer than data\.length=20 tokens, the longest"):
        load((rows, [short]), tokenizer, length=20)
    whole = dict(enumerate(examples(load((rows, [short]), tokenizer, length=200).train)))
    left = load((rows, [short]), tokenizer, length=20, truncation="left")
    assert examples(left.train)[1] == (whole[1][0][-21:], whole[1][1])
    assert "of 2 examples of 'arrays (train)', 1 cut on the left to 20 tokens" in left.describe()
    right = load((rows, [short]), tokenizer, length=20, truncation="right")
    assert len(right.train) == 1
    assert "1 cut on the right to 20 tokens and 1 left out because no completion remained" in right.describe()
    skipped = load((rows, [short]), tokenizer, length=20, on_error="skip")
    assert len(skipped.train) == 1
    assert "1 longer than 20 tokens left out" in skipped.describe()


def test_rows_without_a_completion_are_refused_or_counted(tmp_path, tokenizer):
    rows = [
        ROWS[0],
        {"prompt": "Why?", "completion": "  "},
        {"prompt": "Why?", "completion": None},
        {"prompt": "", "completion": "Because."},
    ]
    folder = write_rows(tmp_path / "rows", train=rows, test=ROWS[:1])
    with pytest.raises(DataError, match=r"3 rows of .*row 1 of train has an empty completion; row 2 of train has no c"):
        load(folder, tokenizer)
    data = load(folder, tokenizer, on_error="skip")
    assert len(data.train) == 1
    assert "without rows that have no completion (3 of train)" in data.describe()
    talk = [{"messages": [{"role": "user", "content": "Hi"}]}, {"messages": as_messages(ROWS[0])}]
    with pytest.raises(DataError, match="has no turn of the assistant"):
        load((talk, talk), tokenizer)
    empty = [{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": ""}]}]
    with pytest.raises(DataError, match="has an empty turn of the assistant"):
        load((empty, empty), tokenizer)


def test_what_cannot_be_read_is_refused_in_words(tmp_path, tokenizer):
    both = [{**ROWS[0], "messages": as_messages(ROWS[0])}]
    with pytest.raises(DataError, match=r"choose with data\.input_columns=\[prompt,completion\] or \[messages\]"):
        load((both, both), tokenizer)
    assert len(load((both, both), tokenizer, input_columns=["messages"]).train) == 1
    liked = [{**row, "label": at % 2 == 0} for at, row in enumerate(ROWS)]
    with pytest.raises(DataError, match=r"a column 'label' beside prompt, completion; to learn every completion, set"):
        load((liked, liked), tokenizer)
    assert len(load((liked, liked), tokenizer, input_columns=["prompt", "completion"]).train) == len(ROWS)
    with pytest.raises(DataError, match=r"need data\.tokenizer"):
        load((ROWS, ROWS), None)
    words = transformers.AutoTokenizer.from_pretrained(tokenizer)
    words.chat_template = None
    words.save_pretrained(tmp_path / "plain")
    talk = [{"messages": as_messages(ROWS[0])}]
    with pytest.raises(DataError, match=r"row 0 of .* has no chat template"):
        load((talk, talk), str(tmp_path / "plain"))
    # a template that shortens earlier turns, as some do with thoughts
    words.chat_template = (
        "{% for m in messages %}{% if loop.last or m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"
    )
    words.save_pretrained(tmp_path / "forgets")
    twice = [{"messages": [*as_messages(ROWS[0]), *as_messages(ROWS[1])]}]
    with pytest.raises(DataError, match="is changed by the chat template where other turns follow"):
        load((twice, twice), str(tmp_path / "forgets"))
    with pytest.raises(ConfigError, match="'packing' is a setting of instructions"):
        load_data((np.zeros((4, 3)), [0, 1, 0, 1]), packing=True)
    with pytest.raises(ConfigError, match="'truncation' is a setting of instructions"):
        load_data("digits", truncation="left")


def test_a_tokenizer_that_was_trained_again_in_its_folder_reads_the_data_again(tmp_path):
    folder = save_chat_tokenizer(tmp_path / "chat")
    before = examples(load((ROWS, ROWS), folder).train)
    save_chat_tokenizer(tmp_path / "chat", bos_token="<|system|>")
    words = transformers.AutoTokenizer.from_pretrained(folder)
    words.chat_template = "{{ messages[0].content }}"
    words.save_pretrained(folder)
    rows = [{"prompt": "", "completion": "Because."}]
    assert examples(load((rows, rows), folder).train)[0][0][0] == words.bos_token_id
    assert examples(load((ROWS, ROWS), folder).train) == before


def test_a_mask_of_the_users_never_gives_prompts_a_loss(tokenizer):
    mask = np.ones(len(ROWS), bool)
    mask[0] = False
    data = load_data((ROWS, ROWS), tokenizer=tokenizer, length=64, validation=0, mask={"train": mask})
    plain = load((ROWS, ROWS), tokenizer)
    assert not data.train.source.mask[0].any()
    assert torch.equal(data.train.source.mask[1:], plain.train.source.mask[1:])


def test_batches_have_examples_of_like_length_and_an_epoch_has_each_once(tokenizer):
    rows = [{"prompt": "What is " + "one and " * (at % 20), "completion": " four."} for at in range(200)]
    data = load((rows, ROWS), tokenizer, length=128)
    loader = Loader(data.train, 10, seed=0)
    epochs = [[loader.batch(epoch * loader.steps_per_epoch + step) for step in range(20)] for epoch in range(2)]
    for batches in epochs:
        assert sorted(number for batch in batches for number in batch.host_ids) == list(range(200))
    lengths = data.train.source.lengths
    padded = sum(batch.labels.numel() for batch in epochs[0])
    assert int(lengths.sum()) <= padded < 1.1 * int(lengths.sum())
    assert epochs[0][0].host_ids != epochs[1][0].host_ids


def test_packing_loses_no_token_and_fills_windows(tokenizer):
    plain, packed = (load((ROWS, ROWS), tokenizer, length=40, packing=packing).train for packing in (False, True))
    assert len(packed) < len(plain) / 2
    source = packed.source
    begins = (source.column("position_ids") == 0) & (torch.arange(source.positions) < source.lengths[:, None])
    found = []
    for row in range(len(source)):
        length = int(source.lengths[row])
        edges = [*begins[row].nonzero()[:, 0].tolist(), length]
        for start, stop in itertools.pairwise(edges):
            tokens = source.inputs[row, start:stop].tolist(), source.labels[row, start:stop].tolist()
            found.append((*tokens, source.mask[row, start:stop].tolist()))
    expected = [
        (inputs[:n].tolist(), labels[:n].tolist(), mask[:n].tolist())
        for inputs, labels, mask, n in zip(
            plain.source.inputs, plain.source.labels, plain.source.mask, plain.source.lengths.tolist(), strict=True
        )
    ]
    assert sorted(found) == sorted(expected)


def test_windows_are_filled_and_never_overfull():
    lengths = np.random.default_rng(0).integers(1, 50, 500)
    windows, offsets = pack(lengths, 64)
    used = np.bincount(windows, lengths)
    assert used.max() <= 64
    assert len(used) <= 1.03 * lengths.sum() / 64 + 1
    for window in range(len(used)):
        at = np.flatnonzero(windows == window)
        order = at[np.argsort(offsets[at])]
        assert offsets[order].tolist() == [0, *lengths[order].cumsum()[:-1]]
    assert np.unique(windows, return_index=True)[1].tolist() == sorted(np.unique(windows, return_index=True)[1])
