"""How large batches are, and whether an error says that memory ran out."""

from __future__ import annotations

import pytest
import torch

from conftest import build_model
from promptpredict import hardware


def test_a_batch_has_no_more_tokens_than_a_cpu_profits_from():
    assert hardware.batch_tokens(build_model()) == 2_048


@pytest.mark.parametrize(
    ("kind", "memory", "expected"),
    [
        ("cpu", 0, 256),  # less than the weights
        ("cpu", 6_000_000, 512),
        ("cpu", 1 << 40, 2_048),
        ("cuda", 0, 256),
        ("cuda", 60_000_000, 5_300),
        ("cuda", 1 << 40, 32_768),
        ("mps", None, 32_768),
    ],
)
def test_a_batch_has_what_a_quarter_of_the_memory_holds(monkeypatch, kind, memory, expected):
    model = build_model()

    class Elsewhere:
        config, dtype = model.config, model.dtype
        device = torch.device(kind)
        parameters = model.parameters

    monkeypatch.setattr(hardware, "_memory", lambda device: memory)
    found = hardware.batch_tokens(Elsewhere)
    assert found == pytest.approx(expected, rel=0.03)
    if memory and 256 < found < expected:
        assert 4 * found * hardware.token_bytes(model.config, 4) <= memory


def test_a_model_that_does_not_say_how_wide_it_is_is_taken_as_four_times_its_states():
    class Plain:
        hidden_size = 10

        def get_text_config(self):
            return self

    assert hardware.token_bytes(Plain(), 2) == (3 * 40 + 16 * 10) * 2


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("memory"), False),
    ],
)
def test_what_says_that_memory_ran_out(error, expected):
    assert hardware.out_of_memory(error) == expected


def test_the_memory_of_this_machine_is_known_or_left_open():
    memory = hardware._memory(torch.device("cpu"))
    assert memory is None or memory > 1 << 28
    assert hardware._memory(torch.device("meta")) is None


@pytest.mark.parametrize(("kind", "expected"), [("cpu", 64), ("cuda", 1024), ("mps", 1024)])
def test_a_pass_costs_more_on_what_waits_for_its_kernels(kind, expected):
    assert hardware.pass_tokens(torch.device(kind)) == expected
