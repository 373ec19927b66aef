"""The page about the networks in specs/ is up to date."""

import runpy

from tests.zoo.specs import SPECS


def test_page_says_what_the_compiler_finds():
    page = runpy.run_path(str(SPECS / "make_readme.py"))["page"]
    assert (SPECS / "README.md").read_text("utf-8") == page(), "run `python specs/make_readme.py`"
