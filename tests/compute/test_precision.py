"""The matrix library and precision of each device, and that contexts restore the previous ones."""

import pytest
import torch

from instar.compute.precision import autocast, choose_fastest, use_matmul_library


@pytest.mark.parametrize(
    ("name", "inside"), [("float32", "highest"), ("float32-fast", "medium"), ("bfloat16", "medium")]
)
def test_the_library_is_used_inside_and_restored(name, inside: str) -> None:
    with use_matmul_library(name):
        assert torch.get_float32_matmul_precision() == inside
    assert torch.get_float32_matmul_precision() == "highest"


def test_the_inner_choice_wins_and_the_outer_comes_back() -> None:
    with use_matmul_library("float32-fast"):
        with use_matmul_library("float32"):
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"


def test_the_library_is_restored_after_an_error() -> None:
    with pytest.raises(KeyError), use_matmul_library("float32-fast"):
        raise KeyError
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize(
    ("name", "dtype"), [("float32", torch.float32), ("float32-fast", torch.float32), ("bfloat16", torch.bfloat16)]
)
def test_autocast_decides_the_type_of_products(name, dtype: torch.dtype) -> None:
    with autocast(name, torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


@pytest.mark.parametrize(
    ("unit", "name"), [("amx_bf16", "bfloat16"), ("avx512_bf16", "bfloat16"), ("avx2", "float32-fast")]
)
def test_the_fastest_of_a_processor_is_that_of_its_units(monkeypatch, unit: str, name) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": False, unit: True}, raising=False)
    assert choose_fastest(torch.device("cpu")) == name


@pytest.mark.parametrize(("native", "name"), [(True, "bfloat16"), (False, "float32-fast")])
def test_the_fastest_of_a_gpu_is_not_what_it_emulates(monkeypatch, native: bool, name) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation or native)
    assert choose_fastest(torch.device("cuda")) == name


def test_of_other_devices_nothing_is_known() -> None:
    assert choose_fastest(torch.device("mps")) == "float32-fast"
