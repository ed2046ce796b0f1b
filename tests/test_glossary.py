"""Names in results have a meaning, the README's the same one."""

from pathlib import Path

import pytest

from promptpredict.glossary import APPROACHES, FIGURES, OF_AMOUNTS, meanings
from promptpredict.plans import APPROACHES as NAMES
from promptpredict.plans import CHOICES
from promptpredict.reporttables import FIGURES as SHOWN

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_every_name_of_an_approach_has_a_meaning():
    assert set(APPROACHES) == {*NAMES, *CHOICES}


def test_figures_are_named_as_they_are_shown():
    assert set(FIGURES) <= {head for head, _, _ in SHOWN.values()}


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_says_the_same(name):
    rows = [line.split("|") for line in README.splitlines() if line.startswith(f"| `{name}` |")]
    (said,) = [row[3].strip() for row in rows if len(row) == 5]  # approach, labels used, is
    assert said == APPROACHES[name]


def test_only_approaches_of_a_report_stand_in_it_once_for_several_models():
    found = meanings(["probe @ a", "probe @ b", "embedding", "something else"])
    assert list(found) == ["probe", "embedding", *FIGURES]


def test_amounts_have_figures_of_their_own():
    found = meanings(["probe", "prior", "embedding"], amounts=True)
    assert found["embedding"] == "sentence embedding of the same customer and ridge regression"
    assert found["prior"] == "the median, for everybody"
    assert {*found} == {"probe", "prior", "embedding", *OF_AMOUNTS}
