"""What a language model is asked to score: the words of each label, as a list of words."""

from __future__ import annotations

import pytest

from promptpredict.scores import Labels, each_labels


def test_a_text_for_the_words_of_a_label_is_refused():
    """Its letters would be scored as words."""
    with pytest.raises(TypeError) as error:
        Labels({"1": ["angry"], "0": "happy"})
    assert str(error.value) == "the words of '0' are the text 'happy', not a list"


@pytest.mark.parametrize("kind", [list, tuple])
def test_words_are_a_list_or_a_tuple(kind):
    labels = Labels({"1": kind(["angry", "mad"]), "0": kind(["happy"])}, join="")
    assert [list(words) for words in labels.words.values()] == [["angry", "mad"], ["happy"]]


def test_one_labels_is_that_of_every_prompt():
    one = Labels({"1": ["angry"], "0": ["happy"]})
    assert each_labels(one, 3) == [one, one, one]
    assert each_labels([one, one], 2) == [one, one]
