"""Plain encoders: a padded batch gives the vectors that one text after another gives, by hand."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer

from compared import PROMPT, customers
from promptpredict.baselines import EmbeddingClassifier, FusionClassifier
from promptpredict.comparing import BenchmarkOptions, benchmark_table
from promptpredict.encoders import Embedder
from promptpredict.errors import ModelError
from promptpredict.loading import check_encoder, load_sentence_encoder
from promptpredict.models import Source
from promptpredict.plans import Plan
from promptpredict.pooling import own_pooling

WORDS = ["the", "parcel", "came", "late", "again", "never", "good", "shop", "thank", "##s"]
POSITIONS = 18
TINY = {
    "vocab_size": 5 + len(WORDS), "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 32, "initializer_range": 0.5, "max_position_embeddings": POSITIONS,
    "pad_token_id": 0,
}  # fmt: skip
FAMILIES = {
    "bert": (transformers.BertConfig, transformers.BertModel),
    "roberta": (transformers.RobertaConfig, transformers.RobertaModel),
    "distilbert": (transformers.DistilBertConfig, transformers.DistilBertModel),
}
TEXTS = ["never again", "good", "the parcel came late again never good shop thanks", "", "Thanks shop"]  # fmt: skip
LONG = "late " * 30


def wordpiece(*, front=True):
    """A WordPiece tokenizer of ten words; without ``front`` nothing stands around a text."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: number for number, word in enumerate(special + WORDS)}
    core = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer()
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if front:
        core.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]",
    )  # fmt: skip


def encoder_folder(folder, family="bert", *, tokenizer=None):
    """Save a tiny random encoder as transformers does; return the model and its tokenizer."""
    config, kind = FAMILIES[family]
    torch.manual_seed(0)
    given = dict(TINY)
    if family == "distilbert":
        given = {"vocab_size": TINY["vocab_size"], "dim": 16, "n_layers": 2, "n_heads": 2,
                 "hidden_dim": 32, "initializer_range": 0.5, "max_position_embeddings": POSITIONS}  # fmt: skip
    model = kind(config(**given)).eval()
    tokenizer = tokenizer or wordpiece()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model, tokenizer


def by_hand(model, tokenizer, texts, pooling, *, most=POSITIONS):
    """Pool each text of a padded batch by a loop over its tokens; unit vectors (n, 16)."""
    batch = tokenizer(texts, padding=True, truncation=True, max_length=most, return_tensors="pt")
    with torch.no_grad():
        states = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask)[0].numpy()
    found = []
    for row, mask in enumerate(batch.attention_mask.tolist()):
        total, count = np.zeros(16), 0
        for place, kept in enumerate(mask):
            if kept:
                total, count = total + states[row, place], count + 1
        found.append(states[row, 0] if pooling == "cls" else total / count)
    vectors = np.array(found)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def one_by_one(model, tokenizer, texts, pooling, **given):
    return np.concatenate([by_hand(model, tokenizer, [text], pooling, **given) for text in texts])


def embedder(folder, pooling="auto"):
    return Embedder(str(folder), device="cpu", pooling=pooling)


# -- vectors -----------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["auto", "mean", "cls"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_gives_what_each_text_gives_alone(tmp_path, family, pooling):
    made = encoder_folder(tmp_path, family)
    found = embedder(tmp_path, pooling)(TEXTS)
    for reference in (by_hand, one_by_one):
        expected = reference(*made, TEXTS, pooling)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    alone = np.concatenate([embedder(tmp_path, pooling)([text]) for text in TEXTS])
    np.testing.assert_allclose(found, alone, atol=1e-5)
    # and the two are not the same thing
    other = "mean" if pooling == "cls" else "cls"
    assert np.abs(found - by_hand(*made, TEXTS, other)).max() > 0.05


def test_padding_would_be_seen_if_it_entered_the_mean(tmp_path):
    """The reference is worth something: with all tokens of the batch it gives other vectors."""
    model, tokenizer = encoder_folder(tmp_path)
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = model(**batch)[0].numpy()
    wrong = states.mean(axis=1)
    wrong /= np.linalg.norm(wrong, axis=1, keepdims=True)
    assert np.abs(wrong - embedder(tmp_path, "mean")(TEXTS)).max() > 0.05


@pytest.mark.parametrize(("family", "window"), [("bert", POSITIONS), ("roberta", POSITIONS - 1)])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_text_longer_than_the_positions_is_cut_and_counted(tmp_path, family, window, pooling):
    """RoBERTa's first position stands behind that of the padding, here 0: one is lost."""
    made = encoder_folder(tmp_path, family)
    embed = embedder(tmp_path, pooling)
    found = embed(["good", LONG])
    assert (embed.window, embed.truncated) == (window, 1)
    assert embed.describe() == (
        f"1 of 2 texts are longer than the {window} tokens that the sentence encoder {tmp_path} "
        "reads, and were cut by it"
    )
    np.testing.assert_allclose(
        found, one_by_one(*made, ["good", LONG], pooling, most=window), atol=1e-5
    )
    np.testing.assert_allclose(found[1], embedder(tmp_path, pooling)(["late " * 29])[0], atol=1e-5)


# -- a folder that says itself how it pools ----------------------------------------------------


@pytest.fixture
def sentences(tmp_path):
    """A folder that sentence-transformers wrote, which pools by cls."""
    encoder_folder(tmp_path / "plain")
    loaded = load_sentence_encoder(Source("plain", tmp_path / "plain"), device="cpu", pooling="cls")
    loaded.save(str(tmp_path / "own"))
    return tmp_path / "own"


def refused(call, *given, kind=ModelError, **named):
    with pytest.raises(kind) as error:
        call(*given, **named)
    return str(error.value)


def test_a_folder_pools_as_it_says(sentences):
    assert own_pooling(sentences) == "cls"
    assert own_pooling(sentences.parent / "plain") is None
    expected = embedder(sentences.parent / "plain", "cls")(TEXTS)
    for pooling in ("auto", "cls"):
        np.testing.assert_allclose(embedder(sentences, pooling)(TEXTS), expected, atol=1e-6)
    for check in (check_encoder, load_sentence_encoder):
        assert refused(check, Source("mine", sentences), pooling="mean") == (
            "the sentence encoder mine pools by cls, as its modules.json says, and mean is asked "
            "for; possible: auto, or a folder without modules.json"
        )


@pytest.mark.parametrize(
    ("config", "own"),
    [
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode": ["cls", "max"]}, "cls+max"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, "max+mean"),
        ({"pooling_mode_mean_tokens": False}, "mean"),
    ],
)
def test_old_and_new_spellings_of_a_pooling(sentences, config, own):
    (place,) = sentences.glob("*Pooling/config.json")
    place.write_text(json.dumps({"embedding_dimension": 16} | config), encoding="utf-8")
    assert own_pooling(sentences) == own
    made = SentenceTransformer(str(sentences), device="cpu")[1].pooling_mode
    assert "+".join([made] if isinstance(made, str) else made) == own  # as the library reads it


def test_a_folder_whose_modules_have_no_pooling_pools_its_own_way(sentences):
    place = sentences / "modules.json"
    modules = json.loads(place.read_text(encoding="utf-8"))
    place.write_text(json.dumps(modules[:1]), encoding="utf-8")
    assert refused(check_encoder, Source("mine", sentences), pooling="cls") == (
        "the sentence encoder mine pools by modules of its own, as its modules.json says, and cls "
        "is asked for; possible: auto, or a folder without modules.json"
    )
    place.write_text("{", encoding="utf-8")
    assert refused(check_encoder, Source("mine", sentences), pooling="cls") == (
        f"{place} is no JSON, so it does not say how the encoder pools"
    )


# -- faults ------------------------------------------------------------------------------------

NO_CLS = (
    "the tokenizer of {} puts no cls token in front of a text, and pooling by cls reads nothing "
    "else; possible: mean"
)


@pytest.mark.parametrize("kind", ["has none", "puts none"])
def test_a_tokenizer_without_a_cls_token_cannot_pool_by_it(tmp_path, tokenizers, kind):
    tokenizer = tokenizers["plain"] if kind == "has none" else wordpiece(front=False)
    encoder_folder(tmp_path, tokenizer=tokenizer)
    source = Source("mine", tmp_path)
    for check in (check_encoder, load_sentence_encoder):
        assert refused(check, source, pooling="cls") == NO_CLS.format("mine")
    check_encoder(source, "mean")
    check_encoder(source, "auto")


def test_a_pooling_that_cannot_be_is_told_before_the_language_model_is_loaded(
    tmp_path, monkeypatch
):
    encoder_folder(tmp_path / "encoder", tokenizer=wordpiece(front=False))
    (tmp_path / "p.jinja").write_text(PROMPT, encoding="utf-8")
    lines = ["id,plan,price,feedback,outcome"]
    for one in customers(60):
        cells = (one.values[name] for name in ("id", "plan", "price", "feedback"))
        lines.append(",".join([*map(str, cells), str(one.label)]))
    (tmp_path / "labelled.csv").write_text("\n".join(lines), encoding="utf-8")

    def load(*_, **__):
        raise AssertionError("a model was loaded")

    for name in ("load_language_model", "load_sentence_encoder"):
        monkeypatch.setattr(f"promptpredict.loading.{name}", load)
    asked = BenchmarkOptions(
        labelled=str(tmp_path / "labelled.csv"),
        prompts=[str(tmp_path / "p.jinja")],
        out=tmp_path / "out",
        plan=Plan(approaches=("zero-shot", "embedding"), seeds=1, budgets=(16,)),
        encoder=str(tmp_path / "encoder"),
        pooling="cls",
    )
    found = refused(benchmark_table, asked, lambda _: None)
    assert found == NO_CLS.format(tmp_path / "encoder")


def test_a_pooling_that_nothing_can_have_is_refused():
    class Mine:
        def encode(self, sentences, **_):
            return np.ones((len(sentences), 2))

    assert refused(Embedder, "minilm", pooling="max", kind=ValueError) == (
        "pooling is 'auto', 'mean' or 'cls', not 'max'"
    )
    assert refused(Embedder, Mine(), pooling="cls", kind=ValueError) == (
        "pooling is of encoders that are loaded by name; Mine pools by itself, and 'auto' leaves "
        "it to it"
    )
    made = Embedder("minilm", pooling="cls")
    assert Embedder.of(made, "cls") is Embedder.of(made) is made
    assert refused(Embedder.of, made, "mean", kind=ValueError) == (
        "the embedder pools by 'cls', not by 'mean'"
    )


@pytest.mark.parametrize("kind", [EmbeddingClassifier, FusionClassifier])
def test_estimators_pool_as_they_are_told(tmp_path, kind):
    model, tokenizer = encoder_folder(tmp_path)
    rows = customers(20)
    y = [row.label for row in rows]
    for pooling in ("mean", "cls"):
        fitted = kind(encoder=str(tmp_path), pooling=pooling).fit(rows, y)
        expected = one_by_one(model, tokenizer, ["never again"], pooling)
        np.testing.assert_allclose(fitted.embedder_(["never again"]), expected, atol=1e-5)
    shutil.rmtree(tmp_path)
    assert fitted.predict_proba(rows).shape == (20, 2)  # what is loaded stays
