"""Sentences: where they end in several scripts, and texts without some of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptpredict.sentences import sentences, without


def cut(text, most=None):
    return [text[first:end] for first, end in sentences(text, most)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The parcel was late. The box was open!", ["The parcel was late.", "The box was open!"]),
        ("awful. never again... too dear", ["awful.", "never again...", "too dear"]),
        ("Why?! Nobody knows.", ["Why?!", "Nobody knows."]),
        ('"Never again." she said. Bye.', ['"Never again."', "she said.", "Bye."]),
        ("one line\n\nanother line\n", ["one line", "another line"]),
        ("- late\n- broken", ["- late", "- broken"]),
        ("包裹两次都晚到，箱子也破了。客服没有回复！不会再买", ["包裹两次都晚到，箱子也破了。", "客服没有回复！", "不会再买"]),
        ("बहुत देर हुई। वापस नहीं आऊँगा।", ["बहुत देर हुई।", "वापस नहीं आऊँगा।"]),
        ("لماذا تأخر؟ لن أعود.", ["لماذا تأخر؟", "لن أعود."]),
        ("I paid 3.50 on shop.example. Fine.", ["I paid 3.50 on shop.example.", "Fine."]),
        ("Mr. Smith of No. 3, e.g. me, came.", ["Mr. Smith of No. 3, e.g. me, came."]),
        ("On the 3. of May. In 1999. Twice.", ["On the 3. of May.", "In 1999.", "Twice."]),
        ("1. Late. 2. Open.", ["1. Late.", "2. Open."]),
        ("No. The parcel was late. Order No. 7.", ["No.", "The parcel was late.", "Order No. 7."]),
        ("Late.<br />Bad box.<BR><br>Bye", ["Late.<br />", "Bad box.<BR><br>", "Bye"]),
        ("Late. <br/> Bad <br>box.", ["Late. <br/>", "Bad <br>", "box."]),
        ("Great!😀 Never again.👎🏽", ["Great!😀", "Never again.👎🏽"]),
        ("one\rtwo\r\nthree", ["one", "two", "three"]),
        ("နောက်ကျတယ်။ မဝယ်တော့ဘူး။", ["နောက်ကျတယ်။", "မဝယ်တော့ဘူး။"]),
        ("They didn't. I can’t. J. Smith can.", ["They didn't.", "I can’t.", "J. Smith can."]),
        ("Order 12345678901234567890123456. may.", ["Order 12345678901234567890123456.", "may."]),
        ("No end", ["No end"]),
        ("Dr.", ["Dr."]),
        (" \n ", []),
        ("", []),
    ],
)  # fmt: skip
def test_where_sentences_end(text, expected):
    assert cut(text) == expected


def test_of_more_than_so_many_neighbours_are_joined():
    text = " ".join(f"w{at}." for at in range(10))
    assert cut(text, 10) == text.split()
    assert cut(text, 4) == ["w0. w1.", "w2. w3. w4.", "w5. w6. w7.", "w8. w9."]
    assert cut(text, 1) == [text]


@pytest.mark.parametrize(
    ("text", "out", "expected"),
    [
        ("One. Two. Three.", [0], "Two. Three."),
        ("One. Two. Three.", [1], "One. Three."),
        ("One. Two. Three.", [2], "One. Two."),
        ("One. Two. Three.", [0, 2], "Two."),
        ("One. Two. Three.", [0, 1, 2], ""),
        ("One. Two. Three.", [], "One. Two. Three."),
        ("one\n\ntwo\nthree", [1], "one\nthree"),
        ("一。二。三。", [1], "一。三。"),
    ],
)
def test_a_text_without_some_of_its_sentences(text, out, expected):
    spans = sentences(text)
    assert without(text, [spans[at] for at in out]) == expected


@given(st.text(alphabet="ab. !\n。？3é\"'", max_size=40), st.integers(1, 4))
def test_spans_are_in_order_and_hold_every_letter(text, most):
    for spans in (sentences(text), sentences(text, most)):
        ends = [place for span in spans for place in span]
        assert ends == sorted(ends)
        assert all(text[first:end].strip() == text[first:end] != "" for first, end in spans)
        inside = "".join(text[first:end] for first, end in spans)
        assert "".join(inside.split()) == "".join(text.split())
    assert len(sentences(text, most)) <= most
    assert without(text, sentences(text)).strip() == ""


@pytest.mark.parametrize("many", ["a. ", "!", "1. ", "<br> ", "?! ", " \n", "e.g. "])
def test_hostile_texts_are_read_in_passing(many):
    """Each of these took time by its length squared, or would: minutes for as many."""
    text = many * 60_000 + "x"
    assert sentences(text, 20)[-1][1] == len(text)
