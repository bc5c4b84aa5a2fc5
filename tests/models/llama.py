"""A small language model of Transformers."""

from pathlib import Path

import torch


def save_llama(folder: Path, vocabulary: int = 8) -> str:
    """Save a model with new weights, and return its folder."""
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=12,
    )
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return str(folder)
