"""The memory check, with injected sizes, and how much memory there is, with injected system files."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from cnnspec.training.machine import available_memory
from cnnspec.training.memory import MemoryShortage, check_memory

GB = 10**9


@dataclass
class Plan:
    total_bytes: int
    bytes_by_node: dict[str, int]


def plan_for(batch: int) -> Plan:
    """A gigabyte of weights, and one for each image."""
    return Plan(GB + batch * GB, {"input": batch, "conv1": batch * GB, "dense1": GB})


def test_what_fits_is_let_through():
    check_memory(plan_for, 64, data_bytes=3 * GB, state_bytes=0, available=68 * GB)


def test_unknown_memory_is_let_through():
    check_memory(plan_for, 10**6, data_bytes=0, state_bytes=0, available=None)


def test_what_does_not_fit_is_refused_with_the_layer_and_a_batch_that_fits():
    with pytest.raises(MemoryShortage) as caught:
        check_memory(plan_for, 64, data_bytes=2 * GB, state_bytes=GB, available=12 * GB)
    assert caught.value.message == (
        "a batch of 64 needs 68.0 GB of memory, and 12.0 GB are available"
        " (network and optimizer 66.0 GB, data 2.0 GB)"
    )
    assert caught.value.help == ("the layer that needs most is `conv1`, 64.0 GB", "`--batch 8` fits")


def test_one_byte_too_many_is_refused():
    with pytest.raises(MemoryShortage):
        check_memory(plan_for, 1, data_bytes=0, state_bytes=0, available=2 * GB - 1)


def test_a_network_that_fits_at_no_batch_is_told():
    with pytest.raises(MemoryShortage) as caught:
        check_memory(plan_for, 4, data_bytes=0, state_bytes=0, available=GB)
    assert caught.value.help[-1] == "not even a batch of 1 fits: the network must become smaller"


def test_data_that_do_not_fit_alone_are_to_blame():
    with pytest.raises(MemoryShortage) as caught:
        check_memory(plan_for, 1, data_bytes=9 * GB, state_bytes=0, available=8 * GB)
    assert caught.value.help == ("the data alone do not fit: use a smaller data set, or a smaller `resize`",)


# --- how much there is ------------------------------------------------------------------------------------


def system(root: Path, **files: str) -> Path:
    """System files below `root`; `__` stands for `/` in their names."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MEMINFO = "MemTotal:       24000000 kB\nMemFree:  100 kB\nMemAvailable:    8000000 kB\n"


def test_the_machine_says_what_is_available(tmp_path: Path):
    assert available_memory(system(tmp_path, proc__meminfo=MEMINFO)) == 8_000_000 * 1024


def test_a_version_2_group_bounds_it_with_its_parents(tmp_path: Path):
    system(tmp_path, proc__meminfo=MEMINFO, proc__self__cgroup="0::/user/job\n")
    system(tmp_path / "sys/fs/cgroup/user/job", memory_dot_max="max\n", memory_dot_current="5\n")
    system(
        tmp_path / "sys/fs/cgroup/user",
        memory_dot_max="1000000\n",
        memory_dot_current="700000\n",
        memory_dot_stat="anon 500000\ninactive_file 200000\n",
    )
    assert available_memory(tmp_path) == 1_000_000 - 700_000 + 200_000


def test_a_version_1_group_bounds_it(tmp_path: Path):
    system(tmp_path, proc__meminfo=MEMINFO, proc__self__cgroup="5:cpu:/job\n4:memory:/job\n")
    group = tmp_path / "sys/fs/cgroup/memory"
    system(group / "job", memory_dot_limit_in_bytes="2000000\n", memory_dot_usage_in_bytes="500000\n")
    system(group, memory_dot_limit_in_bytes="9223372036854771712\n", memory_dot_usage_in_bytes="1\n")
    assert available_memory(tmp_path) == 1_500_000


def test_a_container_that_sees_only_its_own_group_is_bounded(tmp_path: Path):
    system(tmp_path, proc__meminfo=MEMINFO, proc__self__cgroup="0::/docker/abc\n")
    system(tmp_path / "sys/fs/cgroup", memory_dot_max="3000000\n", memory_dot_current="1000000\n")
    assert available_memory(tmp_path) == 2_000_000


def test_a_group_over_its_limit_leaves_nothing(tmp_path: Path):
    system(tmp_path, proc__meminfo=MEMINFO, proc__self__cgroup="0::/\n")
    system(tmp_path / "sys/fs/cgroup", memory_dot_max="10\n", memory_dot_current="20\n")
    assert available_memory(tmp_path) == 0


def test_the_limit_of_the_address_space_bounds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (10**9, 10**9))
    system(tmp_path, proc__meminfo=MEMINFO, proc__self__statm="1000 1 1 1 1 1 1\n")
    assert available_memory(tmp_path) == 10**9 - 1000 * resource.getpagesize()


def test_strange_system_files_are_passed_over(tmp_path: Path):
    system(tmp_path, proc__meminfo="MemAvailable: lots\n\n", proc__self__cgroup="nonsense\n::\n0\n")
    here = available_memory(tmp_path)
    assert here is None or here > 0


def test_this_machine_has_memory():
    here = available_memory()
    assert here is not None
    assert here > 10**7
