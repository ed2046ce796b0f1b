"""The encoding of a text: marked, found, or asked for; never guessed for another script."""

from __future__ import annotations

import pytest

from promptpredict.charset import encoding_of
from promptpredict.errors import DataError
from promptpredict.records import Reading, read_header

CHINESE, JAPANESE = (
    "编号,留言\n1,包裹两次都晚到，箱子也破了。\n",
    "番号,声\n1,荷物が二回も遅れました。\n",
)
OTHERS = {
    "gb18030": CHINESE,
    "gbk": CHINESE,
    "big5": "編號,留言\n1,包裹兩次都晚到，箱子也破了。\n",
    "shift_jis": JAPANESE,
    "euc-jp": JAPANESE,
    "euc-kr": "번호,말\n1,택배가 두 번이나 늦었습니다.\n",
    "cp1251": "номер,отзыв\n1,Посылка дважды опоздала.\n",
    "cp1253": "αριθμός,σχόλιο\n1,Το δέμα άργησε δύο φορές.\n",
    "cp1255": "id,text\n1,החבילה איחרה פעמיים.\n",
    "cp1256": "id,text\n1,تأخر الطرد مرتين.\n",
    "cp874": "id,text\n1,พัสดุมาช้าสองครั้ง\n",
}
WESTERN = [
    "id,text\n1,créée à l’été, déjà reçue\n",
    "id,text\n1,„schön“, größer, Öl für Äpfel\n",
    "id,text\n1,¿Qué pasó? ¡Ñandú, año, señal!\n",
    "id,text\n1,“late…” “again…” – no, ‘never’\n",
    "id,text\n1,20 £ – 30 € ½ ½ ½\n",
]


@pytest.mark.parametrize("encoding", OTHERS)
def test_another_script_is_read_only_in_an_encoding_that_is_given(encoding, tmp_path):
    """As cp1252 it would be signs without sense, in every prompt."""
    path = tmp_path / "t.csv"
    path.write_bytes(OTHERS[encoding].encode(encoding))
    with pytest.raises(DataError) as caught:
        read_header(path)
    assert str(caught.value) == (
        f"{path} is text in neither utf-8 nor cp1252; give its encoding: "
        "gb18030, big5, shift_jis, euc-kr, cp1251 or another"
    )
    header = OTHERS[encoding].partition("\n")[0]
    assert read_header(path, Reading(encoding=encoding)) == header.split(",")


@pytest.mark.parametrize("text", WESTERN)
def test_accents_and_signs_stand_apart(text):
    assert encoding_of(text.encode("cp1252"), "t.csv") == "cp1252"
    assert encoding_of(text.encode(), "t.csv") == "utf-8"


def test_a_few_bytes_say_nothing_yet():
    assert encoding_of(b"id,text\n1,\xe9\xe9\xe9\xe9\xe9\xe9\xe9\n", "t.csv") == "cp1252"
    with pytest.raises(DataError):
        encoding_of(b"id,text\n1,\xe9\xe9\xe9\xe9\xe9\xe9\xe9\xe9\n", "t.csv")
