"""The public names: what is promised can be imported, and importing costs nothing."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.metadata import version

import pytest

import promptpredict

# what takes a noticeable time to import
HEAVY = {
    "torch", "transformers", "sentence_transformers", "sklearn", "scipy", "pandas", "pyarrow",
    "numpy", "pydantic", "jinja2", "yaml", "typer", "rich",
}  # fmt: skip


def loaded_after(code):
    """Return the modules that a fresh Python has loaded after running some code."""
    shown = f"{code}\nimport sys\nprint(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", shown], capture_output=True, text=True, check=True
    )  # fmt: skip
    return set(done.stdout.split())


def test_all_names_what_can_be_imported_and_nothing_else():
    names: dict[str, object] = {}
    exec("from promptpredict import *", names)
    names.pop("__builtins__")
    assert sorted(names) == sorted(promptpredict.__all__)
    assert dir(promptpredict) == sorted(promptpredict.__all__)
    assert len(set(promptpredict.__all__)) == len(promptpredict.__all__)


def test_a_name_is_the_object_of_its_module():
    """A name that a type checker sees and one that is imported late must be the same."""
    for name, home in promptpredict._HOMES.items():
        module = importlib.import_module(f"promptpredict.{home}")
        assert getattr(promptpredict, name) is getattr(module, name)
        assert getattr(promptpredict, name).__module__ == module.__name__
    assert {*promptpredict._HOMES, "__version__"} == {*promptpredict.__all__}


def test_importing_the_package_imports_nothing_heavy():
    loaded = loaded_after("import promptpredict")
    assert "promptpredict" in loaded
    assert {name.split(".")[0] for name in loaded} & HEAVY == set()
    assert {name for name in loaded if name.startswith("promptpredict.")} == set()


def test_a_prompt_file_is_checked_without_a_model_or_a_table_library():
    loaded = loaded_after("from promptpredict import PromptFile, PromptError")
    assert {name.split(".")[0] for name in loaded} & {
        "torch", "transformers", "sentence_transformers", "sklearn", "pandas", "pyarrow", "numpy",
    } == set()  # fmt: skip


def test_a_classifier_is_imported_without_torch():
    loaded = loaded_after("from promptpredict import EmbeddingClassifier, PromptClassifier")
    assert "sklearn" in loaded
    assert loaded & {"torch", "transformers", "sentence_transformers"} == set()


@pytest.mark.parametrize("name", sorted(promptpredict.__all__))
def test_every_public_name_says_what_it_is(name):
    value = getattr(promptpredict, name)
    if name == "__version__":
        assert value == version("promptpredict")
        return
    # Its own, not its parent's.
    text = vars(value)["__doc__"] if isinstance(value, type) else value.__doc__
    assert text.strip()
    for method, function in vars(value).items():
        if not method.startswith("_") and callable(function):
            assert function.__doc__, f"{name}.{method}"


def test_errors_have_one_parent_that_is_a_value_error():
    """So that one `except` catches what a user can mend, and scikit-learn's tools know it."""
    for name in ("DataError", "ModelError", "PromptError"):
        assert issubclass(getattr(promptpredict, name), promptpredict.PromptPredictError)
    assert issubclass(promptpredict.PromptPredictError, ValueError)


def test_a_name_that_there_is_not_is_an_attribute_error():
    with pytest.raises(AttributeError) as error:
        _ = promptpredict.PromptClasifier
    assert str(error.value) == "module 'promptpredict' has no attribute 'PromptClasifier'"
