"""A small classifier of texts of Transformers with a tokenizer of its own."""

from pathlib import Path

import torch

WORDS = (
    "the",
    "a",
    "film",
    "was",
    "very",
    "good",
    "bad",
    "dull",
    "warm",
    "and",
    "not",
    "never",
    "is",
    "it",
    "funny",
    "loud",
    "你",
    "好",
    "мир",
    "!",
    ".",
    ",",
)
POSITIONS = 12


def write_tokenizer(folder: Path, *, limit: int | None = POSITIONS, has_types: bool = True) -> Path:
    """Write a WordPiece tokenizer as BERT has one."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: at for at, word in enumerate([*special, *WORDS])}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = ["input_ids", *(["token_type_ids"] if has_types else []), "attention_mask"]
    given = {} if limit is None else {"model_max_length": limit}
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_input_names=names, **given,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def write_classifier(
    folder: Path, names: tuple[str, ...] = ("good", "bad"), *, kind: str = "bert", positions=12
) -> Path:
    """Write a tiny classifier with random weights and its tokenizer, as Transformers saves them."""
    import transformers

    torch.manual_seed(len(names))
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: at for at, name in enumerate(names)}}
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    classes = {"bert": ("BertConfig", "BertForSequenceClassification"),
               "roberta": ("RobertaConfig", "RobertaForSequenceClassification")}[kind]  # fmt: skip
    config = getattr(transformers, classes[0])(
        vocab_size=5 + len(WORDS), max_position_embeddings=POSITIONS, pad_token_id=0, **sizes, **labels
    )
    model = getattr(transformers, classes[1])(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    model.save_pretrained(folder)
    return write_tokenizer(folder, limit=None if kind == "roberta" else POSITIONS, has_types=kind == "bert")
