"""The whole text of every kind of message, and that none is missing."""

import re

import pytest

from cnnspec.language.rendering import render_all
from cnnspec.language.source import Source
from cnnspec.network.check import check_source
from tests.support import golden
from tests.support.codes import declared_codes

CODE = re.compile(r"^(?:error|warning)\[([a-z-]+)\]", re.MULTILINE)

# raised where files are read or parameters set; their texts are held by tests/language/test_reading.py,
# tests/language/test_rendering.py, tests/network/test_use.py and tests/network/test_parameters.py; or where
# networks are exported and imported, see tests/bridges
ELSEWHERE = {"cannot-read", "file-not-found", "file-too-large", "not-a-file", "not-utf8"}
ELSEWHERE |= {"too-many-findings", "use-cycle", "unknown-parameter", "not-covered"}


def findings(text):
    return render_all(check_source(Source("net.cnn", text)).diagnostics)


@pytest.mark.parametrize("path", golden.cases("diagnostics"), ids=golden.name)
def test_diagnostics_match_the_golden_text(path, update_golden):
    golden.check(path, findings, update_golden)


def test_every_code_has_a_case():
    paths = [*golden.cases("diagnostics"), *golden.cases("lint")]
    shown = {code for path in paths for code in CODE.findall(path.read_text("utf-8"))}
    assert declared_codes() - ELSEWHERE - shown == set()
