"""Label words as token ids: found in context, kept prefix-free, read as a tree."""

from __future__ import annotations

import random

import pytest

from promptpredict.encoding import Encoder
from promptpredict.errors import ModelError, PromptError
from promptpredict.rendered import Prompt
from promptpredict.words import Entry, Word, WordIds, WordTree, begin_alike, find_words

END = ("<end>",)


def reader(context, *pieces):
    """Encode text behind a context: the longest piece first, else single characters.

    Tokens are their own texts here, so that what is expected can be read.
    """

    def encode(text):
        text, tokens = context + text, []
        while text:
            found = max((piece for piece in pieces if text.startswith(piece)), key=len, default="")
            tokens.append(found or text[0])
            text = text[len(tokens[-1]) :]
        return tokens

    return encode


def find(encode, *words, answer="So", join=None, terminator=END):
    """Find words, each given as (label, text)."""
    return find_words(
        encode,
        [Word(label, text) for label, text in words],
        answer=answer,
        join=join,
        terminator=terminator,
        name="m",
    )


def written(found, label):
    """The texts of a label's entries, the declared ones first."""
    return [entry.text for entry in found.entries if entry.label == label]


def test_a_word_is_found_as_it_is_written_behind_its_context():
    """Alone "Yes" would be one token, and behind a space it is another."""
    encode = reader("So", "So", "Yes", " Yes", "No", " No", "yes", " no")
    assert find(encode, ("1", "Yes"), ("0", "No")) == WordIds(
        entries=(
            Entry("1", " Yes", (" Yes",)),
            Entry("0", " No", (" No",)),
            Entry("1", "Yes", ("Yes",)),
            Entry("1", "yes", ("yes",)),
            Entry("1", " yes", (" ", "yes")),
            Entry("0", "No", ("No",)),
            Entry("0", "no", ("n", "o")),
            Entry("0", " no", (" no",)),
        ),
        cut=0,
    )


@pytest.mark.parametrize(
    ("answer", "word", "join", "declared"),
    [
        ("So", "Yes", None, " Yes"),
        ("So  ", "Yes", None, " Yes"),
        ("", "Yes", None, "Yes"),
        ('So "', "Yes", None, "Yes"),
        ("So (", "Yes", None, "Yes"),
        ("So €", "5", None, "5"),
        ("客户感到", "满意", None, "满意"),
        ("客户感到", "happy", None, " happy"),
        ("So", "Yes", "", "Yes"),
        ("", "Yes", " ", " Yes"),
    ],
)
def test_what_stands_between_answer_and_word(answer, word, join, declared):
    encode = reader(answer.rstrip())
    found = find(encode, ("1", word), ("0", "@"), answer=answer, join=join)
    assert found.entries[0] == Entry("1", declared, tuple(declared))


@pytest.mark.parametrize(
    ("word", "variants"),
    [
        ("Yes", ["Yes", "yes", " yes"]),
        ("yes", ["yes", "Yes", " Yes"]),
        ("YES", ["YES", "yes", " yes"]),
        ("not sure", ["not sure", "Not sure", " Not sure"]),
        ("McDonald", ["McDonald", "mcdonald", " mcdonald"]),
        ("iPhone", ["iPhone", "iphone", "IPhone", " iphone", " IPhone"]),
        ("5", ["5"]),
        ("满意", ["满意"]),
    ],
)
def test_variants_are_with_and_without_the_space_lower_and_capitalised(word, variants):
    found = find(reader("So", "So"), ("1", word), ("0", "@"))
    assert written(found, "1") == [f" {word}", *variants]


def test_a_variant_that_is_declared_for_another_label_stays_there():
    found = find(reader("So"), ("1", "Yes"), ("0", "yes"))
    assert written(found, "1")[0] == " Yes"
    assert written(found, "0")[0] == " yes"
    assert " yes" not in written(found, "1")
    assert " Yes" not in written(found, "0")


@pytest.mark.parametrize(
    "words", [[("1", "May"), ("0", "may")], [("1", "in"), ("0", "inside"), ("2", "insight")]]
)
def test_the_order_of_labels_does_not_change_what_counts_for_them(words):
    """Where two labels could be written alike, the one declared first must not have it."""
    encode = reader("So", "So", " in", " inside", " insight")
    forth, back = find(encode, *words), find(encode, *reversed(words))
    assert set(forth.entries) == set(back.entries)


def test_variants_of_two_labels_that_begin_one_another_count_for_neither():
    """ "no" is also how "nothing" begins here, and a model that writes it may mean either."""
    encode = reader("So", " No", "No", "Nothing", " Nothing")
    found = find(encode, ("1", "No"), ("0", "Nothing"), join="")
    assert found.entries == (
        Entry("1", "No", ("No",)),
        Entry("0", "Nothing", ("Nothing",)),
        Entry("1", " No", (" No",)),
        Entry("0", " Nothing", (" Nothing",)),
    )


@pytest.mark.parametrize(
    "words",
    [
        [("1", "no"), ("0", "not sure")],
        [("1", "1"), ("0", "14")],
        [("1", "not"), ("1", "not at all"), ("0", "yes")],
        [("1", "not sure"), ("0", "yes"), ("2", "not")],
    ],
)
def test_where_one_word_begins_another_every_entry_ends_the_turn(words):
    found = find(reader("So", "So"), *words)
    assert [entry.ids for entry in found.entries] == [
        (*entry.text, *END) for entry in found.entries
    ]
    declared = [f" {text}" for _, text in words]
    assert [entry.text for entry in found.entries][: len(words)] == declared


def test_words_that_only_look_alike_in_letters_are_not_ended():
    """ "in" does not begin "inside" where each is a token."""
    found = find(reader("So", " in", " inside"), ("1", "in"), ("0", "inside"))
    assert not any("<end>" in entry.ids for entry in found.entries)


def test_one_word_begins_another_and_nothing_ends_them():
    with pytest.raises(ModelError) as error:
        find(reader("So"), ("1", "no"), ("0", "not sure"), terminator=())
    assert (
        str(error.value)
        == "m: one label word begins another, and no end-of-turn token is known to end them"
    )


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([("1", "no"), ("0", "no")], "the label words 'no' and 'no' are the same tokens"),
        ([("1", "no"), ("1", "no")], "the label words 'no' and 'no' are the same tokens"),
        (
            [("1", "naïve"), ("0", "naive")],
            "the label words 'naïve' and 'naive' are the same tokens",
        ),
    ],
)
def test_words_of_the_same_tokens_cannot_be_told_apart(words, text):
    encode = reader("So")
    with pytest.raises(PromptError) as error:
        find(lambda each: encode(each.replace("ï", "i")), *words)
    assert str(error.value) == text


def test_a_word_without_tokens_is_a_fault():
    encode = reader("So")
    with pytest.raises(ModelError) as error:
        find(lambda text: encode(text.replace(" ☃", "")), ("1", "yes"), ("0", "☃"))
    assert str(error.value) == "m: the label word '☃' has no tokens of its own behind the answer"


def test_a_word_that_merges_with_its_context_moves_the_boundary_back():
    """ "\\n" and "yes" are one token here: the prompt ends before the line break for all words."""
    encode = reader("model\n", "model", "\nyes", "No")
    found = find(encode, ("1", "yes"), ("0", "No"), answer="")
    assert found == WordIds(
        entries=(
            Entry("1", "yes", ("\nyes",)),
            Entry("0", "No", ("\n", "No")),
            Entry("1", "Yes", ("\n", "Y", "e", "s")),
            Entry("1", " yes", ("\n", " ", "y", "e", "s")),
            Entry("1", " Yes", ("\n", " ", "Y", "e", "s")),
            Entry("0", "no", ("\n", "n", "o")),
            Entry("0", " No", ("\n", " ", "No")),
            Entry("0", " no", ("\n", " ", "n", "o")),
        ),
        cut=1,
    )


def test_a_variant_that_merges_further_back_than_the_words_is_left_out():
    """Its ids do not continue the prompt that the words continue."""
    encode = reader("model\n", "model", "\nyes")
    found = find(encode, ("1", "No"), ("0", "YES it"), answer="")
    assert found.cut == 0
    assert written(found, "0") == ["YES it", " YES it", " yes it"]


@pytest.mark.parametrize("family", ["chatml", "llama3", "gemma", "plain"])
@pytest.mark.parametrize("answer", ["", "The customer feels", 'They say "', "客户感到"])
def test_prompt_and_entry_are_the_ids_of_the_whole_text(tokenizers, family, answer):
    encoder = Encoder(tokenizers[family], name=family)
    prompt = Prompt("", (), "Plan: a", answer)
    words = {"1": ["disappointed", "very angry"], "0": ["Yes", "不满意"], "2": ["no\nmore"]}
    encoded = encoder.encode(prompt, words)
    text = encoder.text(prompt)
    for entry in encoded.words.entries:
        whole = tokenizers[family](text + entry.text, add_special_tokens=False).input_ids
        assert [*encoded.ids, *entry.ids] == whole


@pytest.mark.parametrize("family", ["chatml", "plain"])
def test_entries_are_prefix_free_and_hold_no_control_token_but_the_end(tokenizers, family):
    encoder = Encoder(tokenizers[family], name=family)
    words = {"1": ["no", "No"], "0": ["not sure", "not"], "2": ["Yes", "yes it is"]}
    entries = encoder.encode(Prompt("", (), "q", "So:"), words).words.entries
    every = [entry.ids for entry in entries]
    assert len(set(every)) == len(every) > 6
    for one in every:
        assert not any(other[: len(one)] == one for other in every if other is not one)
        assert set(one) & set(tokenizers[family].all_special_ids) <= {one[-1]}


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [((), (1,), 0), ((1, 2), (1, 2), 2), ((1, 2), (1, 2, 3), 2), ((1, 2, 3), (1, 5, 3), 1)],
)
def test_begin_alike_counts_the_common_beginning(one, other, alike):
    assert begin_alike(one, other) == begin_alike(other, one) == alike


# -- the tree ------------------------------------------------------------------------------


def path(tree, node):
    """The tokens from the answer position down to a node."""
    tokens = []
    while node >= 0:
        tokens.insert(0, tree.tokens[node])
        node = tree.parents[node]
    return tuple(tokens)


def test_a_tree_of_words_that_begin_alike():
    assert WordTree.build([(1, 2, 3), (1, 2, 4), (1, 5), (6,)]) == WordTree(
        tokens=(1, 2),
        parents=(-1, 0),
        steps=(
            ((-1, 1), (0, 2), (1, 3)),
            ((-1, 1), (0, 2), (1, 4)),
            ((-1, 1), (0, 5)),
            ((-1, 6),),
        ),
    )


def test_words_of_one_token_need_no_node():
    assert WordTree.build([(1,), (2,)]) == WordTree((), (), (((-1, 1),), ((-1, 2),)))


@pytest.mark.parametrize("seed", range(20))
def test_a_tree_against_brute_force(seed):
    """Every proper prefix is read once, behind its parent; every step stands where it should."""
    rng = random.Random(seed)
    entries = [tuple(rng.choices(range(3), k=rng.randint(1, 5))) for _ in range(rng.randint(1, 12))]
    tree = WordTree.build(entries)
    paths = [path(tree, node) for node in range(len(tree.tokens))]
    prefixes = {ids[:end] for ids in entries for end in range(1, len(ids))}
    assert len(paths) == len(prefixes)
    assert set(paths) == prefixes
    assert all(parent < node for node, parent in enumerate(tree.parents))
    for ids, steps in zip(entries, tree.steps, strict=True):
        walked = [(path(tree, node), token) for node, token in steps]
        assert walked == [(ids[:at], ids[at]) for at in range(len(ids))]
