"""What stands between the steps of the compiler, held by golden files."""

import pytest

from cnnspec.language.dumping import dump
from cnnspec.language.source import Source
from cnnspec.network.check import check_source
from tests.support import golden


@pytest.mark.parametrize("stage", ["tree", "graph", "facts"])
def test_stage_matches_the_golden_text(stage, update_golden):
    for path in golden.cases(stage):
        golden.check(
            path, lambda text: dump(getattr(check_source(Source("net.cnn", text)), stage)), update_golden
        )


def test_every_stage_has_cases():
    assert all(golden.cases(stage) for stage in ("tree", "graph", "facts"))
