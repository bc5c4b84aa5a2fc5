"""Whether torch.compile works on this machine."""

from __future__ import annotations

from functools import cache

import torch

from instar.errors import ConfigError


def require_compiler(device: torch.device) -> None:
    """Refuse `torch.compile` on a machine where it cannot compile one addition.

    Raises:
        ConfigError: when compiling fails, usually because there is no C++ compiler.
    """
    try:
        # tried, because no property of torch or of the machine tells whether a compiler works
        torch.compile(lambda inputs: inputs + 1, dynamic=False)(torch.zeros(2, device=device))
    except Exception as error:  # its class depends on what is missing: a compiler, headers or Triton
        reason = str(error).strip().split("\n")[0]
        raise ConfigError(
            f"compile needs a C++ compiler (g++, or the one in CXX) and, on a GPU, Triton: {reason}; "
            "install what is missing, or set compile to false."
        ) from None


@cache
def has_compiler(device: str) -> bool:
    """Return whether torch.compile works for a device type; cached, because the test takes seconds."""
    try:
        require_compiler(torch.device(device))
    except ConfigError:
        return False
    return True
