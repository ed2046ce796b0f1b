"""Feedback in any script: rendered as it was written, scored, and shown without a broken character."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from conftest import build_model, build_tokenizer
from promptpredict.comparing import BenchmarkOptions, benchmark_table
from promptpredict.plans import Plan
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.shipped import folder
from promptpredict.spacing import joiner
from walked import read, score

SAID = {
    "Chinese": "包裹两次都晚到，箱子也破了。",
    "Japanese": "荷物が二回も遅れました。がっかりです。",
    "Korean": "택배가 두 번이나 늦었습니다.",
    "Arabic": "تأخر الطرد مرتين وكان الصندوق مفتوحًا.",
    "Hebrew": "החבילה איחרה פעמיים.",
    "Thai": "พัสดุมาช้าสองครั้งและกล่องแตก",
    "Hindi": "पार्सल दो बार देर से आया।",
    "Russian": "Посылка дважды опоздала.",
    "emoji": "😡📦👎🏽 again 👨‍👩‍👧",
    "accents": "Le colis est arrivé en retard à Çanakkale, naïvement.",
}
HEADER = "customer_id,order_amount,num_purchases,last_purchase_time,feedback_text"


def table(path, *, encoding="utf-8", labelled=False, texts=SAID, times=1):
    rows = [HEADER + (",is_churn" if labelled else "")]
    for at, text in enumerate(list(texts.values()) * times):
        text = f"{text} {'失望' if at % 2 else '满意'}" if labelled else text
        rows.append(
            f'c{at},{at}.5,{at},2026-01-0{at % 9 + 1},"{text}"' + (f",{at % 2}" if labelled else "")
        )
    Path(path).write_text("\n".join([*rows, ""]), encoding=encoding)


@pytest.mark.parametrize("name", ["churn-shop", "churn-shop-zh"])
@pytest.mark.parametrize("script", SAID)
def test_feedback_goes_through_untouched(name, script):
    file = PromptFile.load(name)
    values = {"order_amount": 1, "num_purchases": 2, "last_purchase_time": None}
    prompt = file.render(Record(1, "", values | {"feedback_text": SAID[script]}))
    assert SAID[script] in prompt.user


CHINESE = {
    "流失": ("包裹两次都晚到，箱子也破了。", "再也不来了，客服没人回。"),
    "留存": ("很好，下次再买。", "送货快，价格也合理。"),
}


def chinese_files():
    """Write a prompt file, a table and a model here whose names, columns and labels are Chinese."""
    text = (folder() / "churn-shop-zh.jinja").read_text(encoding="utf-8")
    for old, new in (("  1: [", "  流失: ["), ("  0: [", "  留存: ["), ("positive: 1", "positive: 流失"),
                     ("target: is_churn", "target: 结果"), ("feedback_text", "留言")):  # fmt: skip
        text = text.replace(old, new)
    Path("网店流失.jinja").write_text(
        text.replace("customer.留言", 'customer["留言"]'), encoding="utf-8"
    )
    header = "customer_id,order_amount,num_purchases,last_purchase_time,留言,结果"
    rows = [
        f"客{at},{at}.5,{at % 7},2026-01-0{at % 9 + 1},{said[at % 2]}{at},{label}"
        for at in range(24)
        for label, said in CHINESE.items()
    ]
    Path("顾客.csv").write_text("\n".join([header, *rows, ""]), encoding="gb18030")
    build_tokenizer("chatml").save_pretrained("模型")
    build_model().save_pretrained("模型")


def redirected(*words, **environment):
    """Run the command with its output in a file; return exit code, and both streams as UTF-8."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHON"))}  # fmt: skip
    source = {"PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    with open("out.txt", "wb") as out, open("err.txt", "wb") as err:
        command = [sys.executable, "-m", "promptpredict", *words]
        done = subprocess.run(command, stdout=out, stderr=err, env=kept | source | environment, check=False)  # fmt: skip
    return done.returncode, *(Path(name).read_bytes().decode() for name in ("out.txt", "err.txt"))


@pytest.mark.slow
def test_all_is_chinese_and_the_locale_knows_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chinese_files()
    given = ["--prompt", "网店流失.jinja", "--encoding", "gb18030", "--model", "模型"]
    code, out, err = redirected("score", "顾客.csv", *given, "--stop-mass", "0", LANG="C")
    assert code == 0, err
    rows = list(csv.DictReader(out.splitlines()))
    assert list(rows[0])[:4] == ["customer_id", "prediction", "p_流失", "p_留存"]
    assert [row["customer_id"] for row in rows[:4]] == ["客0", "客0", "客1", "客1"]
    assert {row["prediction"] for row in rows} <= {"流失", "留存"}
    plan = ["--approach", "zero-shot,text", "--budget", "0,16", "--seeds", "1", "--out", "结果"]
    code, out, err = redirected("benchmark", "顾客.csv", *given, *plan, LANG="C")
    assert code == 0, err
    assert "report: 结果/report.html\n" in err
    page = Path("结果/report.html").read_bytes().decode("utf-8")
    assert '<meta charset="utf-8">' in page
    for text in (
        "顾客.csv",
        "网店流失.jinja",
        "流失: 失望, 生气; 留存: 满意, 高兴",
        "这位客户感到",
        "留言：",
    ):
        assert text in page
    for broken in ("�", "\\u", "\\x"):
        assert broken not in page + out + err


def test_a_name_that_the_locale_cannot_read_is_written_as_it_came(tmp_path, monkeypatch):
    """Where Python is told to believe a locale that knows nothing but ASCII."""
    monkeypatch.chdir(tmp_path)
    chinese_files()
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code, out, err = redirected("check", "网店流失.jinja", **ascii_only)
    assert (code, err) == (0, "")
    assert out == (
        "网店流失.jinja: binary, target 结果\nlabels: 流失: 失望, 生气; 留存: 满意, 高兴\n"
        "columns: 留言 and all others as fields\nok\n"
    )
    Path("p.jinja").write_bytes(Path("网店流失.jinja").read_bytes())
    Path("t.csv").write_text("customer_id\n1\n", encoding="utf-8")
    assert redirected("check", "p.jinja", "t.csv", **ascii_only) == (
        1, "", "error: p.jinja needs column '留言'; t.csv has no such column; it has customer_id\n",
    )  # fmt: skip


def test_nothing_stands_between_a_chinese_answer_and_its_word():
    file = PromptFile.load("churn-shop-zh")
    answer = "这位客户感到"
    assert [joiner(answer, words[0], file.front.join) for words in file.words.values()] == ["", ""]
    shot = Record(2, "", {"feedback_text": "好", "order_amount": 1, "num_purchases": 1, "last_purchase_time": None}, label="1")  # fmt: skip
    assert file.render(shot, [shot]).shots[0].reply == "这位客户感到失望"


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8"])
def test_the_terminal_shows_it_whatever_the_locale(locale, tmp_path):
    """Redirected to a file, where Python would else write what the locale has."""
    table(tmp_path / "customers.csv")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHON"))}  # fmt: skip
    words = ["render", "customers.csv", "--prompt", "churn-shop-zh", "--row", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "promptpredict", *words],
        cwd=tmp_path,
        capture_output=True,
        env=kept
        | {"LC_ALL": locale, "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
        | {"PYTHONPATH": str(Path(__file__).parents[1] / "src")},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = done.stdout.decode("utf-8")
    for text in ("你判断网店的客户有什么感受。", "平均订单金额：0.50 元", SAID["Chinese"]):
        assert text in shown
    assert "�" not in shown


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_chinese_is_scored_and_keeps_its_characters(encoding, fakes):
    texts = {name: SAID[name] for name in ("Chinese", "accents" if encoding != "gb18030" else "Russian")}  # fmt: skip
    table("customers.csv", encoding=encoding, texts=texts)
    summary, _ = score(
        fakes,
        prompt="churn-shop-zh",
        keep=["feedback_text"],
        encoding=encoding if encoding == "gb18030" else None,
    )
    assert summary.rejected == 0
    assert [row["feedback_text"] for row in read()] == list(texts.values())
    assert SAID["Chinese"] in fakes.lm.asked[0].user
    assert list(read()[0])[:4] == ["customer_id", "prediction", "p_1", "p_0"]


def test_a_report_shows_chinese(fakes):
    table("labelled.csv", labelled=True, texts={"Chinese": SAID["Chinese"]}, times=60)
    fakes.lm.model = SimpleNamespace(dtype="float32", device="cpu")
    plan = Plan(approaches=("zero-shot", "few-shot", "text", "embedding"), budgets=(0, 16), seeds=1, memory_rows=0)  # fmt: skip
    asked = BenchmarkOptions(
        labelled="labelled.csv", prompts=["churn-shop-zh"], out=Path("结果"), plan=plan,
        models=(fakes.model_folder,), encoder=fakes.encoder_folder, keep_prompts=True,
    )  # fmt: skip
    benchmark_table(asked, lambda _: None)
    page = Path("结果/report.html").read_bytes().decode("utf-8")
    assert '<meta charset="utf-8">' in page.lower()
    for text in (
        "churn-shop-zh.jinja",
        "这位客户感到",
        "留言：",
        "平均订单金额",
        "1: 失望, 生气; 0: 满意, 高兴",
    ):
        assert text in page
    assert "�" not in page
