"""Explains why a format cannot hold a model, and names the operation."""

from __future__ import annotations

import re

_OPERATION = re.compile(r"\b((?:aten|prims|torch\.ops|quantized|ai\.onnx)(?:\.|::)[\w.]*\w)")
MAX_CAUSE_CHARACTERS = 120


def explain_refusal(to: str, name: str, error: BaseException) -> str:
    """Return a sentence with the format, the model, the unsupported operation, and the first words of the cause.

    >>> explain_refusal("onnx", "mlp", RuntimeError("nothing for aten.sort.stable"))
    "onnx cannot hold model 'mlp': operation aten.sort.stable (nothing for aten.sort.stable)."
    """
    chain = [error]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    # the innermost cause that names an operation: the outer ones speak of the exporter
    matches = [match for cause in reversed(chain) if (match := _OPERATION.search(str(cause)))]
    reason = " ".join(str(chain[-1]).split()).rstrip(".") or type(chain[-1]).__name__
    short = reason if len(reason) <= MAX_CAUSE_CHARACTERS else f"{reason[:MAX_CAUSE_CHARACTERS]}..."
    return f"{to} cannot hold model '{name}': " + (f"operation {matches[0][1]} ({short})." if matches else f"{short}.")
