"""What is shown before anything is scored: a prompt, the state of a prompt file, a first draft of one.

Knows how to say what the library found; imports no torch unless tokens are to be counted.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

from promptpredict import models, shipped
from promptpredict.errors import DataError, PromptPredictError
from promptpredict.prompt import Prompt, PromptFile
from promptpredict.records import Record, Roles, read_blocks, read_header, read_records
from promptpredict.tables import open_table


def render_row(
    customers: str, prompt: str, row: int, *, train: str | None, shots: int, select: str, model: str,
    encoder: str, count: bool, seed: int, delimiter: str | None, encoding: str | None,
) -> str:  # fmt: skip
    """Return one row's prompt as the model sees it, and the ids of its label words.

    Where the model is not on this machine the blocks are shown without its chat template.
    """
    prompt_file = PromptFile.load(prompt)
    given: dict[str, Any] = {"delimiter": delimiter, "encoding": encoding}
    prompt_file.check_columns(read_header(customers, **given), customers)
    record = _record(customers, prompt_file, row, given)
    shown: tuple[Record, ...] = ()
    if shots:
        shown = _shots(prompt_file, record, train, shots, select, encoder, seed, given)
    rendered = prompt_file.render(record, shown)
    try:
        source = models.find(model)
    except PromptPredictError as error:
        return f"{_blocks(rendered)}\n\n(no chat template and no ids: {error})"
    return _with_ids(rendered, prompt_file, source, count=count)


def check_file(
    prompt: str, customers: str | None, rows: int, *, delimiter: str | None, encoding: str | None
) -> tuple[str, list[str]]:
    """Return what is right about a prompt file, and its warnings.

    Raises PromptPredictError for the first thing that is wrong, a row that cannot be rendered
    among the first ``rows`` included.
    """
    prompt_file = PromptFile.load(prompt)
    front = prompt_file.front
    needs = ", ".join(prompt_file.needed) or "none by name"
    words = "; ".join(f"{key}: {', '.join(group)}" for key, group in prompt_file.words.items())
    lines = [f"{prompt_file.name}: {front.task}, target {front.target}", f"labels: {words}"]
    lines.append(f"columns: {needs}{' and all others as fields' if prompt_file.uses_fields else ''}")
    warnings = list(prompt_file.warnings)
    if customers is not None:
        given: dict[str, Any] = {"delimiter": delimiter, "encoding": encoding}
        header = read_header(customers, **given)
        prompt_file.check_columns(header, customers)
        done = 0
        for block in read_blocks(customers, prompt_file.roles, limit=rows, **given):
            for record in block.records:
                prompt_file.render(record)
                if record.label is not None and front.task != "regression":
                    prompt_file.label_of(record.label)
                done += 1
            warnings += [f"row {reject.row} would be rejected: {reject.reason}" for reject in block.rejects]
        lines.append(f"{customers}: {done:,} rows rendered")
        warnings += [f"column '{column}' is not used" for column in _unused(prompt_file, header)]
    return "\n".join([*lines, "ok"]), warnings


def new_file(table: str, target: str, out: str, *, delimiter: str | None, encoding: str | None) -> str:
    """Write a first prompt file for a table to ``out`` (``-``: nowhere), and return its text."""
    if out != "-" and Path(out).exists():
        raise DataError(f"{out} is there already; remove it, or give another --out")
    read = open_table(table, delimiter=delimiter, encoding=encoding)
    try:
        rows = [
            {column: "" if cell is None else str(cell) for column, cell in zip(read.columns, row.cells, strict=True)}
            for row in islice(read.rows, 2000)
            if not row.fault
        ]
        text = shipped.new(read.columns, rows, target, Path(table).name)
    finally:
        read.close()
    if out != "-":
        try:
            Path(out).write_text(text, encoding="utf-8")
        except OSError as error:
            raise DataError(f"{out} cannot be written ({error.strerror})") from None
    return text


def list_models() -> str:
    """Return the models on this machine, one a line: name, kind, size, where."""
    lines = []
    for package in models.EMBEDDED.values():
        path = models.embedded_path(package)
        where = str(path) if path else f"not here: promptpredict models pull {package.name}"
        lines.append((package.name, package.kind, f"{package.megabytes} MB", where))
    for name, folder, size in models.on_hub_cache():
        lines.append((name, "from the hub", f"{size >> 20} MB", str(folder)))
    widths = [max(len(line[at]) for line in lines) for at in range(3)]
    return "\n".join("  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[3]]) for line in lines)


def _record(customers: str, prompt_file: PromptFile, row: int, given: dict[str, Any]) -> Record:
    seen = 0
    for block in read_blocks(customers, prompt_file.roles, limit=row, **given):
        for record in block.records:
            if record.row == row:
                return record
        for reject in block.rejects:
            if reject.row == row:
                raise DataError(f"row {row} of {customers} is rejected: {reject.reason}")
        seen += len(block.records) + len(block.rejects)
    raise DataError(f"{customers} has no row {row}; it has {seen:,} rows")


def _shots(
    prompt_file: PromptFile, record: Record, train: str | None, shots: int, select: str, encoder: str, seed: int, given: dict[str, Any]
) -> tuple[Record, ...]:
    if train is None:
        raise DataError("--shots needs labelled records; give them with --train LABELLED")
    from promptpredict.encoders import Embedder
    from promptpredict.shots import SELECTS, Shots

    if select not in SELECTS:
        raise DataError(f"--select is '{select}'; possible: {', '.join(SELECTS)}")
    pool = read_records(train, prompt_file.roles, **given).records
    embed = Embedder(encoder) if select == "nearest" else None
    return Shots(prompt_file, pool, shots, select, seed, embed).choose([record])[0]


def _with_ids(prompt: Prompt, prompt_file: PromptFile, source: models.Source, *, count: bool) -> str:
    from promptpredict.encoding import Encoder

    encoder = Encoder(_tokenizer(source), name=source.name)
    encoded = encoder.encode(prompt, prompt_file.words, prompt_file.front.join)
    lines = [encoder.text(prompt), "", "label words and their ids:"]
    lines += [f"  {entry.label}  {entry.text!r}  {' '.join(map(str, entry.ids))}" for entry in encoded.words.entries]
    if encoder.system_role == "merged":
        lines.append("(the chat template knows no system role; the system text opens the first user turn)")
    if count:
        lines.append(f"{len(encoded.ids):,} tokens")
    return "\n".join(lines)


def _tokenizer(source: models.Source) -> Any:
    from promptpredict.tokenizer import FolderTokenizer

    folder = models.converted_folder(source)
    if folder and (folder / "tokenizer.json").is_file():
        return FolderTokenizer(folder)
    from promptpredict.loading import load_tokenizer  # a GGUF file that no run has converted yet

    return load_tokenizer(source)


def _blocks(prompt: Prompt) -> str:
    parts = [f"[system]\n{prompt.system}"]
    parts += [f"[user]\n{turn.user}\n\n[assistant]\n{turn.reply}" for turn in prompt.shots]
    return "\n\n".join([*parts, f"[user]\n{prompt.user}", f"[assistant]\n{prompt.answer}"])


def _unused(prompt_file: PromptFile, header: list[str]) -> list[str]:
    if prompt_file.uses_fields:
        return []
    roles: Roles = prompt_file.roles
    known = {*prompt_file.needed, roles.id, roles.target, *roles.text, *roles.ignore}
    return [column for column in header if column not in known]
