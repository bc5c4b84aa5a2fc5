"""A small tokenizer with a chat template, trained on the spot, and instructions for it."""

import json
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{% if message.role == 'assistant' %}"
    "{% generation %}{{ message.content }}</s>{% endgeneration %}{% else %}{{ message.content }}</s>{% endif %}\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIALS = ["</s>", "<|user|>", "<|assistant|>", "<|system|>"]
QUESTIONS = [f"What is {a} and {b}?" for a in ("one", "two", "three") for b in ("four", "five", "six", "seven")]
ROWS = [
    {"prompt": question, "completion": f" It is {'odd' if at % 2 else 'even, I think'}."}
    for at, question in enumerate(QUESTIONS)
]


def save_chat_tokenizer(folder: Path, **options: Any) -> str:
    """Save a byte-level tokenizer, whose words begin with their space, and return its folder."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=SPECIALS, show_progress=False)
    trainer.initial_alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator([row["prompt"] + row["completion"] for row in ROWS] * 4, trainer)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", additional_special_tokens=SPECIALS[1:], **options
    )
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    return str(folder)


def as_messages(row: dict[str, str]) -> list[dict[str, str]]:
    """Return a prompt and its completion as two turns."""
    return [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"].strip()}]


def write_rows(folder: Path, **splits: list[Any]) -> str:
    """Write rows by split as JSON lines, and return the folder."""
    folder.mkdir()
    for split, rows in splits.items():
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


def save_small_model(folder: Path, kind: str = "Llama", **settings: Any) -> str:
    """Save a model with new weights, large enough that attention shows in its logits, and return its folder."""
    import torch
    import transformers

    sizes = {"vocab_size": 330, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = getattr(transformers, f"{kind}Config")(**sizes | {"initializer_range": 0.4} | settings)
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return str(folder)
