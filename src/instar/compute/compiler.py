"""Whether torch can compile here."""

from __future__ import annotations

from functools import cache

import torch

from instar.errors import ConfigError


def require_compiler(device: torch.device) -> None:
    """Compile one addition.

    Raises:
        ConfigError: when that fails, most often because there is no compiler.
    """
    try:
        torch.compile(lambda inputs: inputs + 1, dynamic=False)(torch.zeros(2, device=device))
    except Exception as error:  # which one depends on what is missing: a compiler, headers, Triton
        reason = str(error).strip().split("\n")[0]
        raise ConfigError(
            f"compile needs a C++ compiler (g++, or the one that CXX names) and, on a GPU, Triton: {reason}; "
            "install what is missing, or set compile to false."
        ) from None


@cache
def has_compiler(device: str) -> bool:
    """Whether code can be compiled for a kind of device; found out once, because it takes seconds."""
    try:
        require_compiler(torch.device(device))
    except ConfigError:
        return False
    return True
