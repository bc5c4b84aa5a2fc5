"""A small image classifier of Transformers."""

from pathlib import Path
from typing import Any

import torch

NAMES = ("cat", "dog", "owl")


def write_model(folder: Path, names: tuple[str, ...] = NAMES, *, processor: Any = None, kind: str = "vit") -> Path:
    """Write a tiny classifier with random weights, as Transformers saves one."""
    import transformers

    labels = {"id2label": dict(enumerate(names)), "label2id": {name: at for at, name in enumerate(names)}}
    torch.manual_seed(len(names))
    if kind == "vit":
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        config = transformers.ViTConfig(image_size=32, patch_size=8, **sizes, **labels)
        model = transformers.ViTForImageClassification(config)
    else:
        config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], **labels)
        model = transformers.ResNetForImageClassification(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    model.save_pretrained(folder)
    processor = processor or transformers.ViTImageProcessorPil(size={"height": 32, "width": 32})
    processor.save_pretrained(folder)
    return folder
