"""Which calibration a run gets, what is said of those that it does not get, and what a saved one fits."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fakes import FakeEncoder, FakeLM
from promptpredict import calibration
from promptpredict.calibrating import (
    MAX_LABELLED,
    MIN_LABELLED,
    find_calibration,
    fingerprints,
    load_saved,
)
from promptpredict.checking import ScoreOptions, check
from promptpredict.encoders import Embedder
from promptpredict.errors import DataError
from promptpredict.models import EMBEDDED, Source
from promptpredict.shots import Shots

PROMPT = """---
task: binary
target: left
labels: {1: angry, 0: happy}
positive: 1
id: id
text: [feedback]
---
{% block system %}You judge.{% endblock %}
{% block customer %}{{ customer.feedback }}{% endblock %}
{% block question %}How does the customer feel?{% endblock %}
"""
THREE = PROMPT.replace("binary", "multiclass").replace(
    "labels: {1: angry, 0: happy}\npositive: 1", "labels: {2: angry, 1: fine, 0: happy}"
)
WITH_RATE = PROMPT.replace("id: id", "id: id\nbase_rate: 0.2")
LABELLED_ROWS = [(f"c{n}", f"told {n} {'angry' if n % 3 else 'happy'}", n % 2) for n in range(20)]
MODEL = Source("model", None)
TOO_FEW = (
    "not calibrated on labels: at least 8 labelled records that are no shots, every label among "
    "them, are needed; there are {}{}"
)
TOO_SMALL = (
    "not calibrated to the base rate {}: {} scored rows are too few to find a shift on (200 are "
    "needed); possible: --calibration FILE, from a larger run with --save-calibration FILE"
)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("customers.csv", "id,feedback\n1,fine\n")


def write(name, text):
    Path(name).write_text(text, encoding="utf-8")


def table(rows):
    return "".join(f"{','.join(map(str, row))}\n" for row in [("id", "feedback", "left"), *rows])


def given(prompt=PROMPT, rows=(), **options):
    """Return what a run with these labelled rows is given."""
    write("p.jinja", prompt)
    if rows:
        write("train.csv", table(rows))
        options["train"] = "train.csv"
    return check(ScoreOptions(customers="customers.csv", prompt="p.jinja", **options))


def logprobs(rows, missing=0):
    """Return log-probabilities of a run in which some rows could not be scored."""
    odds = np.random.default_rng(0).normal(1, 2, rows)
    found = np.column_stack([odds / 2 - 3, -odds / 2 - 3]).astype(np.float32)
    return np.vstack([found, np.full((missing, 2), np.nan, np.float32)])


def shots_of(found, count, select="balanced"):
    embed = Embedder(FakeEncoder()) if select == "nearest" else None
    return Shots(found.prompt_file, found.labelled, count, select, found.options.seed, embed)


NOT_USED = "--train is not used: --base-rate gives the level; possible: --shots, or one of them"


def find(found, scores, *, shots=None, lm=None):
    said = []
    parts = [SimpleNamespace(logprobs=scores[:5]), SimpleNamespace(logprobs=scores[5:])]
    return find_calibration(found, lm or FakeLM(), shots, parts, said.append), said


# --------------------------------------------------------------------------- order of preference


@pytest.mark.parametrize(
    ("rate", "rows", "prompt", "method", "base_rate"),
    [
        (0.1, LABELLED_ROWS, WITH_RATE, "base_rate", 0.1),
        (0.1, LABELLED_ROWS, PROMPT, "base_rate", 0.1),
        (0.1, (), WITH_RATE, "base_rate", 0.1),
        (None, LABELLED_ROWS, WITH_RATE, "platt", None),
        (None, LABELLED_ROWS, PROMPT, "platt", None),
        (None, (), WITH_RATE, "base_rate", 0.2),
        (None, (), PROMPT, "none", None),
    ],
)
def test_the_base_rate_comes_before_labels_before_that_of_the_file(
    rate, rows, prompt, method, base_rate
):
    found, said = find(given(prompt, rows, base_rate=rate), logprobs(300))
    assert (found.method, found.base_rate) == (method, base_rate)
    unused = (
        "the base_rate of p.jinja is not used: labelled records calibrate, and probabilities follow "
        "their shares; possible: --base-rate"
    )
    not_used = [NOT_USED] if rate and rows else []
    assert said == not_used + [unused] * (method == "platt" and prompt == WITH_RATE)


def test_three_labels_get_a_slope_and_a_shift_each():
    rows = [(f"c{n}", "angry fine happy", n % 3) for n in range(9)]
    found, said = find(given(THREE, rows), np.zeros((5, 3), np.float32))
    assert (found.method, found.labels, found.positive) == ("vector", ("2", "1", "0"), None)
    assert (found.rows, found.shares, said) == (9, (), [])


def test_three_labels_behind_balanced_shots_are_at_the_level_of_all_records():
    rows = [(f"c{n}", f"told {n}", 0 if n < 14 else 1 + n % 2) for n in range(24)]
    ours = given(THREE, rows, shots=3)
    found, _ = find(ours, np.zeros((5, 3), np.float32), shots=shots_of(ours, 3))
    assert (found.method, found.rows) == ("vector", 21)
    assert found.shares == (5 / 24, 5 / 24, 14 / 24)


SHARES = {"2": 0.5, "1": 0.125, "0": 0.375}
THREE_RATE = "2 0.5, 1 0.125, 0 0.375"


@pytest.mark.parametrize("where", ["option", "file"])
def test_three_labels_get_their_known_shares_over_the_run(where):
    in_file = "base_rate: {0: 0.375, 1.0: 0.125, 2: 0.5}\nid: id"
    prompt = THREE.replace("id: id", in_file) if where == "file" else THREE
    options = {"base_rate": SHARES} if where == "option" else {}
    scores = np.random.default_rng(0).normal(-4, 3, (300, 3)).astype(np.float32)
    scores = np.vstack([scores, np.full((9, 3), np.nan, np.float32)])
    found, said = find(given(prompt, **options), scores)
    assert (found.method, found.rows, said) == ("base_rate", 300, [])
    means = np.nanmean(found.apply(scores), axis=0)
    np.testing.assert_allclose(means, list(SHARES.values()), rtol=1e-9)


def test_known_shares_of_three_labels_need_200_scored_rows():
    found, said = find(given(THREE, base_rate=SHARES), np.zeros((199, 3), np.float32))
    assert (found.method, said) == ("none", [TOO_SMALL.format(THREE_RATE, 199)])


def test_three_labels_without_labelled_records_are_not_calibrated():
    found, said = find(given(THREE), np.zeros((300, 3), np.float32))
    assert (found.method, found.labels, said) == ("none", ("2", "1", "0"), [])


# ---------------------------------------------------------------------------------- base rates


@pytest.mark.parametrize(
    ("scored", "missing", "said"),
    [(200, 0, None), (200, 9, None), (199, 0, 199), (199, 9, 199), (1, 0, 1), (0, 0, 0)],
)
def test_a_base_rate_needs_200_scored_rows(scored, missing, said):
    found, lines = find(given(base_rate=0.125), logprobs(scored, missing))
    if said is None:
        assert (found.method, found.rows, lines) == ("base_rate", scored, [])
        level = found.apply(logprobs(scored))[:, 0].mean()
        assert level == pytest.approx(0.125, abs=1e-6)
    else:
        assert found == calibration.none(["1", "0"], "1")
        assert lines == [TOO_SMALL.format("0.125", said)]


def test_the_rate_of_the_file_needs_as_many_rows():
    found, lines = find(given(WITH_RATE), logprobs(7))
    assert (found.method, lines) == ("none", [TOO_SMALL.format("0.2", 7)])


def test_a_base_rate_that_cannot_be_met_is_not_exchanged_for_labels():
    lm = FakeLM()
    found, lines = find(given(WITH_RATE, LABELLED_ROWS, base_rate=0.1), logprobs(7), lm=lm)
    assert (found.method, lm.asked) == ("none", [])
    assert lines == [NOT_USED, TOO_SMALL.format("0.1", 7)]


# ------------------------------------------------------------------------------ labelled records


@pytest.mark.parametrize(
    ("rows", "count", "none"),
    [
        (LABELLED_ROWS[: MIN_LABELLED - 1], 7, ""),
        (LABELLED_ROWS[:1], 1, ", none with the label '1'"),
        ([(f"c{n}", "angry", 1) for n in range(12)], 12, ", none with the label '0'"),
    ],
    ids=["seven", "one", "one label"],
)
def test_too_few_labelled_records_are_said_and_nothing_is_asked(rows, count, none):
    lm = FakeLM()
    found, said = find(given(rows=rows), logprobs(9), lm=lm)
    assert (found.method, said, lm.asked) == ("none", [TOO_FEW.format(count, none)], [])


def test_eight_labelled_records_are_enough():
    found, said = find(given(rows=LABELLED_ROWS[:MIN_LABELLED]), logprobs(9))
    assert (found.method, found.rows, said) == ("platt", 8, [])


def test_too_few_labelled_records_leave_the_rate_of_the_file():
    found, said = find(given(WITH_RATE, LABELLED_ROWS[:3]), logprobs(300))
    assert (found.method, found.base_rate, said) == ("base_rate", 0.2, [TOO_FEW.format(3, "")])
    found, said = find(given(WITH_RATE, LABELLED_ROWS[:3]), logprobs(30))
    assert (found.method, said) == ("none", [TOO_FEW.format(3, ""), TOO_SMALL.format("0.2", 30)])


@pytest.mark.parametrize(
    ("unscorable", "method", "said"),
    [
        (1, "platt", []),
        (13, "none", [TOO_FEW.format(7, "")]),
        (20, "none", [TOO_FEW.format(0, "")]),
    ],
)
def test_labelled_records_that_cannot_be_scored_do_not_count(unscorable, method, said):
    rows = [
        (id, f"{text}{' [unscorable]' if at < unscorable else ''}", left)
        for at, (id, text, left) in enumerate(LABELLED_ROWS)
    ]
    found, lines = find(given(rows=rows), logprobs(9))
    assert (found.method, lines) == (method, said)
    assert found.rows == (20 - unscorable if method == "platt" else 0)


def test_the_fit_is_that_of_the_labelled_records_scores():
    found, _ = find(given(rows=LABELLED_ROWS), logprobs(9))
    # FakeLM adds a nat for each word of a label.
    expected = [(-5.0, -6.0) if "angry" in text else (-6.0, -5.0) for _, text, _ in LABELLED_ROWS]
    y = [str(left) for *_, left in LABELLED_ROWS]
    assert found == calibration.fit_platt(expected, y, labels=["1", "0"], positive="1")


@pytest.mark.parametrize(("wrong", "auc"), [(20, "0.000"), (16, "0.200"), (14, None), (0, None)])
def test_labelled_records_that_rank_the_wrong_way_round_are_said(wrong, auc):
    rows = [
        (f"c{n}", "angry" if (n % 2 == 1) == (n >= wrong) else "happy", n % 2) for n in range(20)
    ]
    found, said = find(given(rows=rows), logprobs(9))
    assert found.method == "platt"
    warning = (
        f"warning: p.jinja ranks 20 labelled records the wrong way round (ROC AUC {auc}), and "
        "calibration does not turn it; possible: another wording, or other words for the labels"
    )
    assert said == ([warning] if auc else [])


def test_three_labels_have_no_wrong_way_round():
    rows = [(f"c{n}", ("angry", "fine", "happy")[n % 3], n % 3) for n in range(30)]
    assert find(given(THREE, rows), np.zeros((5, 3), np.float32))[1] == []


@pytest.mark.parametrize("select", ["balanced", "random"])
def test_records_that_are_shots_do_not_calibrate(select):
    ours = given(rows=LABELLED_ROWS, shots=4, select=select)
    shots, lm = shots_of(ours, 4, select), FakeLM()
    found, said = find(ours, logprobs(9), shots=shots, lm=lm)
    assert (found.method, found.rows, said) == ("platt", 16, [])
    texts = {record.id: record.values["feedback"] for record in ours.labelled}
    shown = {texts[id] for id in shots.used}
    asked = {prompt.user.split("\n")[0] for prompt in lm.asked}
    assert (len(shown), len(asked), shown & asked) == (4, 16, set())


@pytest.mark.parametrize(("shots", "left"), [(13, 7), (12, 8)])
def test_too_few_are_left_beside_the_shots(shots, left):
    ours = given(rows=LABELLED_ROWS, shots=shots)
    found, said = find(ours, logprobs(9), shots=shots_of(ours, shots))
    enough = left >= MIN_LABELLED
    assert found.method == ("platt" if enough else "none")
    assert said == ([] if enough else [TOO_FEW.format(left, "")])


def test_with_nearest_shots_all_records_calibrate_and_none_sees_itself(monkeypatch):
    # a stand-in serves as the encoder, so the real one need not be on this machine
    monkeypatch.setattr("promptpredict.checking.find", lambda *_: None)
    ours = given(rows=LABELLED_ROWS, shots=4, select="nearest")
    lm = FakeLM()
    found, _ = find(ours, logprobs(9), shots=shots_of(ours, 4, "nearest"), lm=lm)
    assert (found.method, found.rows, len(lm.asked)) == ("platt", 20, 20)
    for prompt in lm.asked:
        assert len(prompt.shots) == 4
        assert prompt.user not in [turn.user for turn in prompt.shots]


def test_many_labelled_records_are_drawn_from_the_whole_table():
    # A table sorted by its outcome: its first records would all have one label.
    rows = [(f"c{n}", f"told {n} angry", int(n >= 300)) for n in range(600)]
    drawn = []
    for seed in (0, 0, 1):
        lm = FakeLM()
        found, said = find(given(rows=rows, seed=seed), logprobs(9), lm=lm)
        assert (found.method, found.rows, said) == ("platt", MAX_LABELLED, [])
        drawn.append([int(prompt.user.split()[1]) for prompt in lm.asked])
    assert drawn[0] == sorted(set(drawn[0]))
    assert 90 < sum(number >= 300 for number in drawn[0]) < 166
    assert drawn[0] == drawn[1] != drawn[2]


def test_256_labelled_records_are_all_taken():
    rows = [(f"c{n}", f"told {n}", n % 2) for n in range(MAX_LABELLED)]
    lm = FakeLM()
    find(given(rows=rows), logprobs(9), lm=lm)
    assert [int(prompt.user.split()[1]) for prompt in lm.asked] == list(range(MAX_LABELLED))


# -------------------------------------------------------------------------- saved calibrations


def save(found, source=MODEL, **changes):
    """Save a calibration as a run would."""
    own = calibration.none(found.labels, found.positive).model_copy(
        update=fingerprints(found, source) | changes
    )
    own.save("c.json")


def refused(found, source=MODEL):
    with pytest.raises(DataError) as caught:
        load_saved("c.json", [found.prompt_file], fingerprints(found, source))
    return str(caught.value)


def test_a_saved_calibration_is_loaded_by_the_run_that_it_fits():
    first = given(rows=LABELLED_ROWS, shots=4)
    save(first)
    again = given(rows=LABELLED_ROWS, shots=4)
    loaded = load_saved("c.json", [again.prompt_file], fingerprints(again, MODEL))
    assert loaded == calibration.none(["1", "0"], "1").model_copy(update=fingerprints(first, MODEL))


def test_a_saved_calibration_serves_whatever_is_no_part_of_the_prompts():
    save(given(rows=LABELLED_ROWS, seed=0))
    other = given(rows=LABELLED_ROWS[:9], seed=1, threshold=0.3, limit=1)
    assert load_saved("c.json", [other.prompt_file], fingerprints(other, MODEL)).method == "none"


def test_a_saved_calibration_of_another_prompt_file_is_refused():
    before = given()
    save(before)
    now = given(PROMPT.replace("feel?", "feel now?"))
    assert refused(now) == (
        f"c.json was found with another prompt (file or shots): {before.prompt_file.fingerprint}, "
        f"and this run has {now.prompt_file.fingerprint}; possible: a new one with "
        "--save-calibration"
    )


def test_a_saved_calibration_of_another_model_is_refused():
    save(given())
    assert refused(given(), Source("./tuned", None)) == (
        "c.json was found with another model: model, and this run has ./tuned; possible: a new one "
        "with --save-calibration"
    )


def test_a_saved_calibration_that_does_not_say_where_it_comes_from_is_refused():
    found = given()
    save(found, prompt="")
    assert refused(found) == (
        "c.json was found with another prompt (file or shots): unknown, and this run has "
        f"{found.prompt_file.fingerprint}; possible: a new one with --save-calibration"
    )


@pytest.mark.parametrize("labels", [("0", "1"), ("yes", "no")])
def test_a_saved_calibration_of_other_labels_is_refused(labels):
    found = given()
    save(found, labels=labels, positive=labels[0])
    assert refused(found) == (f"c.json has the labels {', '.join(labels)}, and this run has 1, 0")


OTHER_TEXTS = [(id, f"{text} indeed", left) for id, text, left in LABELLED_ROWS]
OTHER_LABELS = [(id, text, 1 - left) for id, text, left in LABELLED_ROWS]


@pytest.mark.parametrize(
    ("rows", "changes"),
    [
        (LABELLED_ROWS, {"shots": 0}),
        (LABELLED_ROWS, {"shots": 5}),
        (LABELLED_ROWS, {"select": "random"}),
        (LABELLED_ROWS, {"seed": 1}),
        (LABELLED_ROWS[1:], {}),
        (OTHER_LABELS, {}),
        # The same customers have written something else since: other shots, other prompts.
        (OTHER_TEXTS, {}),
    ],
    ids=["none", "more", "select", "seed", "fewer records", "other labels", "other texts"],
)
def test_a_saved_calibration_of_other_shots_is_refused(rows, changes):
    before = given(rows=LABELLED_ROWS, shots=4)
    save(before)
    now = given(rows=rows, **{"shots": 4} | changes)
    assert refused(now) == (
        f"c.json was found with another prompt (file or shots): "
        f"{fingerprints(before, MODEL)['prompt']}, and this run has "
        f"{fingerprints(now, MODEL)['prompt']}; possible: a new one with --save-calibration"
    )


def test_nearest_shots_of_another_encoder_are_other_shots():
    for folder in ("one", "two"):
        Path(folder).mkdir()
        write(f"{folder}/config.json", "{}")
        write(f"{folder}/model.safetensors", "")
    nearest = {"rows": LABELLED_ROWS, "shots": 4, "select": "nearest"}
    one, two = (fingerprints(given(**nearest, encoder=each), MODEL) for each in ("one", "two"))
    assert one["prompt"] != two["prompt"]
    assert fingerprints(given(**nearest, encoder="one"), MODEL) == one


def test_the_pinned_digest_stands_for_an_embedded_model():
    package = EMBEDDED["smollm2-135m"]
    found = fingerprints(given(), Source("smollm2-135m", Path("x"), package))
    assert found == {
        "prompt": given().prompt_file.fingerprint,
        "model": f"smollm2-135m@{package.weights_sha256[:12]}",
    }
