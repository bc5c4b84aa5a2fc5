"""Why a format cannot hold a model, in a sentence that names the operation."""

from __future__ import annotations

import re
from collections.abc import Iterator

_OPERATION = re.compile(r"\b((?:aten|prims|torch\.ops|quantized|ai\.onnx)(?:\.|::)[\w.]*\w)")
_WORDS = 120


def refused(to: str, name: str, error: BaseException) -> str:
    """Return a sentence: the format, the model, the operation that the causes of an error name, and its first words.

    >>> refused("onnx", "mlp", RuntimeError("nothing for aten.sort.stable"))
    "onnx cannot hold model 'mlp': operation aten.sort.stable (nothing for aten.sort.stable)."
    """
    chain = list(_causes(error))
    matches = [match for cause in reversed(chain) if (match := _OPERATION.search(str(cause)))]
    reason = " ".join(str(chain[-1]).split()).rstrip(".") or type(chain[-1]).__name__
    short = reason if len(reason) <= _WORDS else f"{reason[:_WORDS]}..."
    return f"{to} cannot hold model '{name}': " + (f"operation {matches[0][1]} ({short})." if matches else f"{short}.")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, what caused it, what caused that, ..."""
    while error is not None:
        yield error
        error = error.__cause__
