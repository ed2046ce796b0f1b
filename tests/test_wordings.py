"""Wordings: their file, their prompts, and how a language model scores them all."""

import numpy as np
import pytest

from fakes import FakeLM
from promptpredict.errors import PromptError
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.scores import Labels
from promptpredict.scoring import score_records
from promptpredict.wordings import (
    Wording,
    label_keys,
    load_wordings,
    own_wording,
    try_wordings,
    wording_text,
)

PROMPT = """---
task: binary
target: left
labels: {0: [happy, glad], 1: angry}
positive: 1
text: [feedback]
---
{% block system %}You judge.{% endblock %}
{% block customer %}{{ customer.feedback }}{% endblock %}
{% block question %}How does the customer feel?{% endblock %}
{% block answer %}The customer feels{% endblock %}
"""
FILE = """\
words:
  moods:
    - [upset, pleased]
    - [[sad, bitter], [glad, calm]]
  plain:
    - ["No", "Yes"]
questions:
  mood:
    question: Which mood?
    answers: ["The mood is ", "In a word:"]
    words: [moods]
  again:
    question: Will the customer come again?
    answers: ""
    words: [plain]
"""
WORDINGS = [
    Wording("mood", "Which mood?", "The mood is", ("upset",), ("pleased",)),
    Wording("mood", "Which mood?", "The mood is", ("sad", "bitter"), ("glad", "calm")),
    Wording("mood", "Which mood?", "In a word:", ("upset",), ("pleased",)),
    Wording("mood", "Which mood?", "In a word:", ("sad", "bitter"), ("glad", "calm")),
    Wording("again", "Will the customer come again?", "", ("No",), ("Yes",)),
]


@pytest.fixture
def prompt_file(tmp_path):
    (tmp_path / "mine.jinja").write_text(PROMPT)
    return PromptFile.load(tmp_path / "mine.jinja")


def written(tmp_path, text):
    path = tmp_path / "try.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def records(*texts):
    return [Record(row, str(row), {"feedback": text}) for row, text in enumerate(texts, 1)]


# ------------------------------------------------------------------------------------- the file


def test_a_file_is_every_answer_of_a_question_with_every_pair_of_its_words(tmp_path):
    assert load_wordings(written(tmp_path, FILE)) == WORDINGS
    assert WORDINGS[3].pair == "sad+bitter / glad+calm"


def test_a_wording_that_a_file_holds_twice_is_tried_once(tmp_path):
    twice = FILE.replace("words: [moods]", "words: [moods, moods]")
    assert load_wordings(written(tmp_path, twice)) == WORDINGS


def test_about_100_wordings_are_shipped():
    shipped = load_wordings()
    assert len(shipped) == 99
    assert len({(each.question, each.answer) for each in shipped}) == 22
    # the same words mean the same outcome wherever they stand
    sides = {word: "bad" for each in shipped for word in each.bad if word not in ("Yes", "No")}
    assert not [word for each in shipped for word in each.good if word in sides]


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("words:\n  moods", "word:\n  moods",
         "try.yaml, line 1: unknown key 'word' (nearest: 'words'); possible: words, questions"),
        ("    answers: \"\"", "    answer: \"\"",
         "try.yaml, line 14: unknown key 'questions.again.answer' (nearest: 'answers'); "
         "possible: question, answers, words"),
        ("    question: Which mood?\n", "", "try.yaml, line 8: 'questions.mood.question' is missing"),
        ("Which mood?", "", "try.yaml, line 9: 'questions.mood.question' is empty or of another form; "
         "see the shipped wordings.yaml"),
        ("[upset, pleased]", "[upset]",
         "try.yaml, line 2: 'words.moods' must hold pairs of words, as '- [angry, happy]'"),
        ("[upset, pleased]", "upset",
         "try.yaml, line 2: 'words.moods' must hold pairs of words, as '- [angry, happy]'"),
        ("[upset, pleased]", "[upset, Upset]",
         "try.yaml, line 2: a word stands twice in a pair of 'moods' (in any case)"),
        ("[moods]", "[mood]",
         "try.yaml, line 11: the question 'mood' names the words 'mood', which are not in 'words' "
         "(nearest: 'moods')"),
        ("  again:", "  mood:", "try.yaml, line 12: duplicate key 'mood' (first on line 8)"),
        (FILE, "", "try.yaml: 'words' is missing"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_one_line(tmp_path, old, new, text):
    assert old in FILE
    with pytest.raises(PromptError) as error:
        load_wordings(written(tmp_path, FILE.replace(old, new, 1)))
    assert str(error.value) == text


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(PromptError) as error:
        load_wordings(tmp_path / "none.yaml")
    assert (
        str(error.value) == f"{tmp_path / 'none.yaml'} cannot be read (No such file or directory)"
    )
    (tmp_path / "try.yaml").write_bytes(b"words: \xff")
    with pytest.raises(PromptError) as error:
        load_wordings(tmp_path / "try.yaml")
    assert str(error.value) == f"{tmp_path / 'try.yaml'} is not UTF-8 text (byte 8)"


# ------------------------------------------------------------------------------ the prompt files


def test_a_wording_as_a_prompt_file(prompt_file):
    wording = Wording("odd", "Is {{ it }} fine?", "So:", ("no",), ("yes",))
    assert wording_text(prompt_file, wording, front="positive: 0", head="Why.") == (
        "{# Why. #}\n"
        "---\n"
        "positive: 0\n"
        "---\n"
        '{% extends "mine.jinja" %}\n'
        '{% block question %}{{ "Is {{ it }} fine?" }}{% endblock %}\n'
        "{% block answer %}So:{% endblock %}\n"
    )
    assert wording_text(prompt_file, own_wording(prompt_file)) == '{% extends "mine.jinja" %}\n'


def test_a_prompt_file_that_is_no_file_cannot_be_extended():
    with pytest.raises(PromptError) as error:
        wording_text(PromptFile.from_text(PROMPT), WORDINGS[0])
    assert str(error.value) == "<text> is no file, so no other can extend it"


def test_the_own_wording_is_of_the_positive_label(prompt_file):
    assert label_keys(prompt_file) == ("1", "0")
    assert own_wording(prompt_file) == Wording("own", "", "", ("angry",), ("happy", "glad"))


def test_only_two_labels_can_be_tried():
    text = PROMPT.replace("binary", "multiclass").replace("positive: 1\n", "")
    three = PromptFile.from_text(text.replace("1: angry", "1: angry, 2: calm"), name="three")
    with pytest.raises(PromptError) as error:
        label_keys(three)
    assert str(error.value) == (
        "three has task: multiclass, whose wordings cannot be tried yet; possible: binary"
    )


# ------------------------------------------------------------------------------------- the scores


def test_every_record_is_asked_every_wording_one_customer_behind_the_other(prompt_file):
    lm, done = FakeLM(), []
    tried = try_wordings(
        lm, prompt_file, WORDINGS, records("upset upset", "yes"), progress=done.append
    )
    questions = ["Which mood?"] * 4 + [
        "Will the customer come again?",
        "How does the customer feel?",
    ]
    assert [prompt.user for prompt in lm.asked] == [
        f"{text}\n{question}" for text in ("upset upset", "yes") for question in questions
    ]
    answers = ["The mood is"] * 2 + ["In a word:"] * 2 + ["", "The customer feels"]
    assert [prompt.answer for prompt in lm.asked] == answers * 2
    assert {prompt.system for prompt in lm.asked} == {"You judge."}
    assert tried.wordings == (*WORDINGS, own_wording(prompt_file))
    # FakeLM: 1 nat for each of a label's words in the user's turn
    assert tried.log_odds.tolist() == [[2, 0, 2, 0, 0, 0], [0, 0, 0, 0, -1, 0]]
    assert tried.mass[0] == pytest.approx(
        [np.exp(-4) + np.exp(-6), *[2 * np.exp(-6)]] * 2 + [2 * np.exp(-6)] * 2
    )
    assert (tried.kept, tried.faults, tried.dropped, done) == ((0, 1), {}, {}, [2])


def test_calls_hold_whole_customers(prompt_file, monkeypatch):
    monkeypatch.setattr("promptpredict.wordings._AT_ONCE", 13)  # 6 prompts a customer
    calls, done = [], []

    class Counting(FakeLM):
        def score(self, prompts, labels, **given):
            calls.append(len(prompts))
            return super().score(prompts, labels, **given)

    texts = ["upset", "", "yes", "[unscorable]", "no", "upset upset"]
    tried = try_wordings(Counting(), prompt_file, WORDINGS, records(*texts), progress=done.append)
    assert (calls, done) == ([12, 12, 12], [2, 2, 2])
    assert (tried.faults, tried.kept) == ({3: "it cannot be scored"}, (0, 1, 2, 4, 5))
    assert tried.log_odds[:, 0].tolist() == [1, 0, 0, 0, 2]
    assert tried.log_odds[:, 4].tolist() == [0, 0, -1, 1, 0]


class Failing(FakeLM):
    """Cannot score behind an answer start that ends in ':', but for those who say yes."""

    def score(self, prompts, labels, **given):
        found = super().score(prompts, labels, **given)
        for index, prompt in enumerate(prompts):
            if prompt.answer.endswith(":") and "yes" not in prompt.user:
                found.logprobs[index] = np.nan
                found.faults[index] = "no colons"
        return found


def test_wordings_and_records_that_cannot_be_scored_are_left_out_with_the_reason(prompt_file):
    some = records("upset", "[unscorable]", "yes")
    tried = try_wordings(Failing(), prompt_file, WORDINGS, some)
    assert tried.wordings == (*WORDINGS[:2], WORDINGS[4], own_wording(prompt_file))
    assert tried.log_odds.tolist() == [[1, 0, 0, 0], [0, 0, -1, 0]]
    assert tried.kept == (0, 2)
    assert tried.faults == {1: "it cannot be scored"}
    assert tried.dropped == {
        "mood, In a word:, upset / pleased": "no colons",
        "mood, In a word:, sad+bitter / glad+calm": "no colons",
    }


def test_where_nothing_can_be_scored_the_reason_is_said(prompt_file):
    with pytest.raises(PromptError) as error:
        try_wordings(FakeLM(), prompt_file, WORDINGS, records("[unscorable]"))
    assert str(error.value) == (
        "no record can be scored under the prompt file's own wording: it cannot be scored"
    )


def test_where_no_other_wording_can_be_scored_the_reason_is_said(prompt_file):
    with pytest.raises(PromptError) as error:
        try_wordings(Failing(), prompt_file, WORDINGS[2:4], records("upset", "sad"))
    assert str(error.value) == "no other wording can be scored on most records: no colons"


def test_a_wording_scores_as_the_prompt_file_that_is_written_of_it(prompt_file, tiny_lm, tmp_path):
    some = records("The delivery was late and slow.", "never again")
    tried = try_wordings(tiny_lm, prompt_file, WORDINGS, some)
    for column, wording in enumerate(WORDINGS):
        labels = f"labels: {{1: [{', '.join(wording.bad)}], 0: [{', '.join(wording.good)}]}}"
        (tmp_path / "best.jinja").write_text(wording_text(prompt_file, wording, front=labels))
        alone = score_records(tiny_lm, PromptFile.load(tmp_path / "best.jinja"), some)
        odds = alone.logprobs[:, 0] - alone.logprobs[:, 1]
        assert tried.log_odds[:, column] == pytest.approx(odds, abs=1e-4)
        assert tried.mass[:, column] == pytest.approx(alone.mass, rel=1e-3)
    own = score_records(tiny_lm, prompt_file, some).logprobs
    assert tried.log_odds[:, -1] == pytest.approx(own[:, 1] - own[:, 0], abs=1e-4)


def test_a_customer_is_read_once(prompt_file, tiny_lm):
    long = records("slow " * 200)
    prompts = [prompt_file.render(long[0])] * 2
    once = tiny_lm.score(prompts[:1], Labels(prompt_file.words)).tokens
    tried = try_wordings(tiny_lm, prompt_file, WORDINGS, long)
    assert once > 200
    assert once < tried.tokens < 2 * once  # six prompts
