"""Which GPU is taken, seen without one: PyTorch is told to see some, and none of them computes."""

import warnings

import pytest

pytest.importorskip("torch")

import torch

from cnnspec.torch_backend.gpus import find_gpu
from cnnspec.torch_backend.placement import choose_placement
from cnnspec.training.errors import TrainingError


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch):
    """A machine with so many GPUs, for as long as nothing is computed on them."""

    def pretend(count: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "set_device", lambda place: None)
        monkeypatch.setattr(torch, "ones", lambda size, device: torch.zeros(size))

    return pretend


@pytest.mark.parametrize(
    ("number", "local_rank", "turn", "expected"),
    [("", None, None, 0), ("3", None, None, 3), ("", 2, None, 2), ("", None, 6, 2), ("1", None, 6, 1)],
)
def test_each_process_has_its_own(gpus, number, local_rank, turn, expected):
    gpus(4)
    assert find_gpu(number, local_rank, turn) == torch.device("cuda", expected)


def test_a_gpu_that_is_not_there(gpus):
    gpus(2)
    with pytest.raises(TrainingError, match="there is no GPU 2: this machine has 2 GPUs") as found:
        find_gpu("2", None, None)
    assert found.value.help == ("they are counted from 0",)
    with pytest.raises(TrainingError, match="there is no GPU 3") as found:
        find_gpu("", 3, None)
    assert found.value.help == ("start at most 2 with --nproc-per-node",)
    with pytest.raises(TrainingError, match="--device cuda:1 is one GPU, and torchrun starts several"):
        find_gpu("1", 0, None)


def test_a_gpu_that_cannot_be_used_is_one_line(gpus, monkeypatch):
    gpus(1)

    def busy(size, device):
        raise RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable\nCompile with ...")

    monkeypatch.setattr(torch, "ones", busy)
    with pytest.raises(TrainingError) as found:
        choose_placement("cuda")
    assert found.value.message == (
        "GPU 0 cannot be used: CUDA error: all CUDA-capable devices are busy or unavailable"
    )


def test_a_driver_that_is_too_old_is_the_reason(monkeypatch):
    def too_old():
        warnings.warn(
            "CUDA initialization: The NVIDIA driver on your system is too old (found 11040).", stacklevel=1
        )
        return False

    monkeypatch.setattr(torch.cuda, "is_available", too_old)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(TrainingError, match="--device cuda: CUDA initialization: The NVIDIA driver"):
        choose_placement("cuda")


@pytest.mark.parametrize(("units", "usual"), [(True, "bfloat16"), (False, "float16")])
def test_the_usual_precision_is_what_the_gpu_has_units_for(gpus, monkeypatch, units, usual):
    """And not what it can only imitate."""
    gpus(1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: units)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    placement = choose_placement("cuda")
    assert (placement.precision, placement.channels_last) == (usual, True)
    assert torch.backends.cudnn.allow_tf32
    assert choose_placement("cuda", "float32").precision == "float32"
    assert not torch.backends.cudnn.allow_tf32
