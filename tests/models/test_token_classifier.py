"""Token classifiers of several families of Transformers: each is its own pipeline, and padding changes nothing."""

import pytest
import torch
from tests.models.tiny_tags import LENGTH, TAGS
from tests.models.tiny_texts import WORDS, write_tokenizer

from instar.models.readers.encoded import WORD_STARTS
from instar.models.transformers_kinds import choose_transformers_kind
from instar.teachers import as_teacher

transformers = pytest.importorskip("transformers", reason="needs the extra transformers")

SENTENCES = ["the warm film was good", "never!", "it is the very dull loud film"]
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 16}
SETTINGS = {
    "Roberta": {**SMALL, "num_attention_heads": 2, "max_position_embeddings": 40, "pad_token_id": 0},
    "DistilBert": {"dim": 16, "hidden_dim": 16, "n_layers": 1, "n_heads": 2},
    # padding would change its convolutions
    "ConvBert": {**SMALL, "num_attention_heads": 4, "embedding_size": 16, "conv_kernel_size": 3},
    # it has padding in front of a text by itself
    "XLNet": {"d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 16},
}


@pytest.mark.parametrize("family", SETTINGS)
def test_a_family_is_its_own_pipeline_and_padding_changes_nothing(tmp_path, family):
    torch.manual_seed(0)
    labels = {"id2label": dict(enumerate(TAGS)), "label2id": {name: at for at, name in enumerate(TAGS)}}
    config = getattr(transformers, f"{family}Config")(vocab_size=5 + len(WORDS), **SETTINGS[family], **labels)
    model = getattr(transformers, f"{family}ForTokenClassification")(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    model.save_pretrained(tmp_path)
    write_tokenizer(tmp_path, limit=LENGTH, has_types=family not in ("Roberta", "DistilBert"))
    assert choose_transformers_kind(str(tmp_path)).__name__ == "TokenClassifier"
    network = as_teacher(f"transformers:{tmp_path}").network.eval()
    pipeline = transformers.pipeline("token-classification", str(tmp_path), ignore_labels=[])
    with torch.no_grad():
        together = network(SENTENCES)
        assert network.reader(SENTENCES)[WORD_STARTS].shape == together.shape[:2]
        for row, text in enumerate(SENTENCES):
            words = text.split()
            torch.testing.assert_close(together[row, : len(words)], network([text])[0], rtol=1e-5, atol=1e-5)
            places = pipeline.tokenizer(words, is_split_into_words=True).word_ids()
            found = {one["index"]: one["score"] for one in pipeline(text)}
            expected = torch.tensor([float(found[places.index(at)]) for at in range(len(words))])
            best = together[row, : len(words)].softmax(-1).amax(-1)
            torch.testing.assert_close(best, expected, rtol=0, atol=1e-5)
