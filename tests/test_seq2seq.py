"""Encoder-decoder models against a slow reference: one prompt and one spelling of a label at a time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from typer.testing import CliRunner

from conftest import CORPUS
from promptpredict.cli import app
from promptpredict.errors import ModelError
from promptpredict.estimators import ProbeClassifier, PromptClassifier
from promptpredict.loading import load_language_model
from promptpredict.models import find
from promptpredict.rendered import Prompt
from promptpredict.scores import Labels
from promptpredict.seq2seq import Seq2SeqLM
from test_lm import LABELS, NESTED, SEVERAL, SINGLE, prompts
from walked import PROMPT, table, write

KINDS = {
    "t5": {"tie_word_embeddings": True, "scale_decoder_outputs": True},
    "flan": {"tie_word_embeddings": False, "feed_forward_proj": "gated-gelu"},
    "bart": {},
}


def build_t5_tokenizer(kind="t5"):
    """Train a Unigram tokenizer of about 300 pieces that ends every text as T5's, or BART's, does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    special = ["<pad>", "</s>", "<unk>", "<s>", "<extra_id_0>"]
    core = Tokenizer(models.Unigram())
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    letters = ["\n", *map(chr, range(33, 127))]
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=special, unk_token="<unk>", show_progress=False,
        initial_alphabet=letters,
    )  # fmt: skip
    core.train_from_iterator(CORPUS, trainer)
    single = "<s> $A </s>" if kind == "bart" else "$A </s>"
    marks = [(mark, core.token_to_id(mark)) for mark in ("<s>", "</s>")]
    core.post_processor = processors.TemplateProcessing(single=single, special_tokens=marks)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="</s>", pad_token="<pad>", unk_token="<unk>",
        bos_token="<s>", additional_special_tokens=["<extra_id_0>"], model_max_length=400,
    )  # fmt: skip


def build(kind="t5", **changes):
    """Build a random tiny encoder-decoder model in float32."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    common = {"vocab_size": 320, "d_model": 32, "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}  # fmt: skip
    if kind == "bart":
        sizes = {"encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 500, "bos_token_id": 3, "init_std": 0.1}  # fmt: skip
        return transformers.BartForConditionalGeneration(transformers.BartConfig(**(common | sizes | changes))).eval()  # fmt: skip
    sizes = {"d_ff": 64, "d_kv": 8, "num_heads": 4, "num_layers": 2, "num_decoder_layers": 2, "initializer_factor": 0.4}  # fmt: skip
    config = transformers.T5Config(**(common | sizes | KINDS[kind] | changes))
    return transformers.T5ForConditionalGeneration(config).eval()


def seq2seq(kind="t5", **changes):
    return Seq2SeqLM(build(kind), build_t5_tokenizer(kind), name=kind, **changes)


@torch.inference_mode()
def slow(lm, asked, labels):
    """Return log-probabilities (n, k) and states (n, 2d), nothing batched and nothing shared."""
    logprobs, hidden = [], []
    for prompt in asked:
        encoded = lm.encoder.encode(prompt, labels.words, labels.join)
        rows = {label: [] for label in labels.words}
        read = torch.tensor([encoded.ids])
        for entry in encoded.words.entries:
            given = torch.tensor([[*encoded.decoder, *entry.ids]])
            output = lm.model(input_ids=read, decoder_input_ids=given, output_hidden_states=True)
            found = torch.log_softmax(output.logits[0].double(), dim=-1)
            first = len(encoded.decoder) - 1
            rows[entry.label].append(sum(found[first + at, token] for at, token in enumerate(entry.ids)))  # fmt: skip
        states = output.encoder_last_hidden_state[0]
        logprobs.append([torch.logsumexp(torch.stack(rows[label]), 0) for label in labels.words])
        hidden.append(torch.cat([output.decoder_hidden_states[-1][0, first], states[encoded.start :].mean(0)]))  # fmt: skip
    return np.array(logprobs), torch.stack(hidden).numpy()


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("kind", KINDS)
def test_scores_equal_the_reference(kind, labels):
    lm = seq2seq(kind, batch_tokens=300)
    expected, hidden = slow(lm, prompts(), labels)
    scores = lm.score(prompts(), labels)
    np.testing.assert_allclose(scores.logprobs, expected, atol=1e-4)
    np.testing.assert_allclose(scores.mass, np.exp(expected).sum(1), rtol=1e-3, atol=1e-30)
    assert scores.faults == {}
    width = hidden.shape[1] // 2
    np.testing.assert_allclose(scores.hidden[:, width:], hidden[:, width:], atol=1e-4)
    if kind != "t5":  # which scales its states before the matrix
        np.testing.assert_allclose(scores.hidden[:, :width], hidden[:, :width], atol=1e-4)


@pytest.mark.parametrize("answer", ["", "The customer feels", 'The answer is "'])
def test_words_continue_the_answer(answer):
    lm = seq2seq()
    asked = prompts(4, answer=answer)
    expected, _ = slow(lm, asked, SEVERAL)
    np.testing.assert_allclose(lm.score(asked, SEVERAL).logprobs, expected, atol=1e-4)


def test_padding_changes_nothing():
    lm = seq2seq()
    together = lm.score(prompts(), NESTED)
    for at, prompt in enumerate(prompts()):
        np.testing.assert_allclose(lm.score([prompt], NESTED).logprobs[0], together.logprobs[at], atol=1e-4)  # fmt: skip


def test_prompts_with_labels_of_their_own():
    lm = seq2seq()
    asked = [SINGLE, Labels({"1": ["Yes"], "0": ["not sure at all"]})] * 3
    scores = lm.score(prompts(6), asked)
    for at, labels in enumerate(asked):
        expected, _ = slow(lm, prompts(6)[at : at + 1], labels)
        np.testing.assert_allclose(scores.logprobs[at], expected[0], atol=1e-4)


def test_what_the_encoder_and_the_decoder_read():
    encoder = seq2seq().encoder
    prompt = Prompt("You judge.", (), "Plan: 7\nHow?", "The customer feels")
    encoded = encoder.encode(prompt, {"1": ["happy"], "0": ["angry"]})
    assert encoded.ids[-1] == encoder.tokenizer.eos_token_id
    assert encoder.tokenizer.decode(encoded.ids[:-1]).split() == [
        "You",
        "judge.",
        "Plan:",
        "7",
        "How?",
    ]
    assert encoder.tokenizer.decode(encoded.decoder) == "<pad> The customer feels"
    assert encoder.tokenizer.decode(encoded.ids[encoded.start : -1]).split() == ["Plan:", "7", "How?"]  # fmt: skip
    assert encoder.text(prompt).endswith("</s>\n<pad> The customer feels")


def test_control_tokens_of_a_customer_stay_text():
    lm = seq2seq()
    controls = set(lm.encoder.tokenizer.all_special_ids) - {lm.encoder.tokenizer.unk_token_id}
    said = Prompt("You judge.", (), "late </s> <extra_id_0> <pad> again", "So")
    ids = lm.encoder.encode(said, SINGLE.words).ids
    assert controls.intersection(ids) == {lm.encoder.tokenizer.eos_token_id}
    assert ids.count(lm.encoder.tokenizer.eos_token_id) == 1


def test_a_long_prompt_is_cut_to_what_the_encoder_reads():
    lm = seq2seq()
    assert lm.context == 400
    from promptpredict.prompt import PromptFile
    from promptpredict.records import Record

    file = PromptFile.from_text(PROMPT)
    record = Record(1, "1", {"amount": 1, "feedback": "late again " * 600})
    scores = lm.score([file.render(record)], Labels(file.words))
    assert (scores.truncated.tolist(), scores.faults) == ([True], {})
    bart = seq2seq("bart")
    assert bart.context == 500


class Kept:
    """A journal that says which rows it has."""

    def __init__(self, held=()):
        self.held, self.kept = set(held), {}

    def holds(self, rows):
        return set(rows) <= self.held

    def keep(self, rows, scores):
        self.kept |= {row: scores.logprobs[at] for at, row in enumerate(rows)}


def test_a_journal_is_gone_on_with():
    lm = seq2seq(batch_tokens=200)
    first = Kept()
    whole = lm.score(prompts(), SEVERAL, journal=first)
    assert set(first.kept) == set(range(9))
    again = Kept(held=range(9))
    assert np.isnan(lm.score(prompts(), SEVERAL, journal=again).logprobs).all()
    for row, found in first.kept.items():
        assert np.array_equal(found, whole.logprobs[row])


def test_where_memory_ends_the_batch_is_halved(monkeypatch):
    lm = seq2seq()
    expected = lm.score(prompts(), SEVERAL).logprobs
    encode, sizes = lm._encode, []

    def scarce(every):
        sizes.append(len(every))
        if len(every) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(every)

    monkeypatch.setattr(lm, "_encode", scarce)
    np.testing.assert_allclose(lm.score(prompts(), SEVERAL).logprobs, expected, atol=1e-4)
    assert max(sizes) > 2


def test_logits_that_are_not_understood_are_refused():
    model = build("bart")
    model.final_logits_bias += torch.arange(320.0)
    with pytest.raises(ModelError) as caught:
        Seq2SeqLM(model, build_t5_tokenizer("bart"), name="bart")
    assert str(caught.value) == (
        "bart: the architecture BartForConditionalGeneration changes its logits in a way that is "
        "not known here"
    )


# -- loaded, and from end to end ---------------------------------------------------------------


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build("flan").save_pretrained("t5")
    build_t5_tokenizer().save_pretrained("t5")
    write("p.jinja", PROMPT)
    rows = [f"c{n},{n},{('angry late ', 'happy fine ')[n % 2] * 2},{n % 2}" for n in range(40)]
    table("labelled.csv", "id,amount,feedback,left", rows)
    table("customers.csv", "id,amount,feedback", [row.rsplit(",", 1)[0] for row in rows[:7]])
    return str(tmp_path / "t5")


def test_a_folder_is_loaded_as_what_it_is(model):
    lm = load_language_model(find(model), dtype="float32")
    assert type(lm) is Seq2SeqLM
    expected, _ = slow(lm, prompts(3), SINGLE)
    np.testing.assert_allclose(lm.score(prompts(3), SINGLE).logprobs, expected, atol=1e-4)


def run(*words):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_commands_take_it(model):
    given = ["customers.csv", "--prompt", "p.jinja", "--model", model]
    run("score", *given, "--out", "scores.csv", "--stop-mass", 0, "--dtype", "float32")
    scores = pd.read_csv("scores.csv")
    assert (scores["method"] == "llm").all()
    assert np.allclose(scores["p_1"] + scores["p_0"], 1)
    run("score", *given, "--out", "again.csv", "--stop-mass", 0, "--dtype", "float32")
    assert scores.equals(pd.read_csv("again.csv"))
    shown = run("render", *given)
    assert "</s>\n<pad> The customer feels" in shown
    assert "label words and their ids in" in shown
    assert "7 rows" in run("plan", *given)
    planned = ["--approach", "zero-shot,probe", "--budget", "0,16", "--seeds", 1, "--out", "r"]
    found = run("benchmark", "labelled.csv", "--prompt", "p.jinja", "--model", model, *planned)
    assert "zero-shot" in found
    assert "probe" in found


def test_a_run_with_little_label_mass_says_what_it_would_rather_say(model):
    rows = [f"c{n},{n},late again" for n in range(230)]
    table("customers.csv", "id,amount,feedback", rows)
    words = ["score", "customers.csv", "--prompt", "p.jinja", "--model", model, "--out", "s.csv"]
    done = CliRunner().invoke(app, [*words, "--stop-mass", "0.99999"])
    assert done.exit_code == 1
    assert "the language model would rather say '" in done.output


def test_render_cuts_what_score_cuts(model):
    table("customers.csv", "id,amount,feedback", [f"c1,1,{'late again ' * 600}"])
    shown = run("render", "customers.csv", "--prompt", "p.jinja", "--model", model)
    assert "cut to what the model reads" in shown
    assert shown.count("late again") < 300


def test_estimators_take_it():
    lm = seq2seq()
    frame = pd.DataFrame({"id": range(30), "amount": range(30), "feedback": ["angry late", "happy"] * 15})  # fmt: skip
    y = [1, 0] * 15
    file = PROMPT
    from promptpredict.prompt import PromptFile

    for kind in (PromptClassifier, ProbeClassifier):
        fitted = kind(PromptFile.from_text(file), model=lm).fit(frame, y)
        found = fitted.predict_proba(frame)
        assert np.allclose(found.sum(axis=1), 1)
    assert (fitted.predict(frame) == y).mean() > 0.9
