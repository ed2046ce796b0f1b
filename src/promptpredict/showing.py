"""What is shown before anything is scored: a prompt, the state of a prompt file, the models here.

Knows how to say what the library found; imports no torch unless tokens are to be counted or
nearest shots to be chosen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from promptpredict import models
from promptpredict.errors import DataError, ModelError
from promptpredict.hub import in_hub_cache
from promptpredict.labelled import ReadingOptions, amount_in, label_of, read_labelled
from promptpredict.passes import positions_of
from promptpredict.placing import placed_files
from promptpredict.plural import counted
from promptpredict.prompt import PromptFile
from promptpredict.records import Reading, Record, read_blocks, read_header
from promptpredict.rendered import Prompt
from promptpredict.shots import Select, Shots
from promptpredict.tables import table_name

if TYPE_CHECKING:
    from promptpredict.encoding import Encoded, Encoder

Say = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class RenderOptions(ReadingOptions):
    """Which prompt `render` is asked to show; the defaults are the command's."""

    customers: str
    prompt: str
    row: int = 1
    train: str | None = None
    shots: int = 0
    select: Select = "balanced"
    model: str = models.AUTO
    encoder: str = models.DEFAULT_ENCODER
    tokens: bool = False
    seed: int = 0


def render_row(asked: RenderOptions, say: Say = lambda _: None) -> str:
    """Return one row's prompt as the model sees it, and the ids of its label words.

    Where an embedded model is not on this machine, or was not converted yet, the blocks are shown
    without its chat template. Raises PromptPredictError for what cannot be rendered.
    """
    prompt_file = PromptFile.load(asked.prompt)
    header = read_header(asked.customers, asked.reading)
    prompt_file.check_columns(header, table_name(asked.customers))
    record = _record(asked, prompt_file)
    pool = _pool(asked, prompt_file)
    if prompt_file.front.bins and pool:
        from promptpredict.binning import binned, targets_of

        prompt_file = binned(prompt_file, targets_of(pool))
    [prompt_file], notes = placed_files([prompt_file], None if asked.train is None else pool)
    for note in [*notes, *asked.notes]:
        say(note)
    shots = _shots(asked, prompt_file, pool, record) if asked.shots else ()
    prompt = prompt_file.render(record, shots)
    try:
        source = models.pick(asked.model, say)
    except ModelError as error:
        name = models.DEFAULT_MODEL if asked.model == models.AUTO else asked.model
        package = models.EMBEDDED.get(name)
        if package is None or package.kind != "language model":
            raise
        return _blocks(prompt, str(error))
    folder = models.converted_folder(source)
    if not asked.tokens and not (folder and (folder / "tokenizer.json").is_file()):
        why = f"{source.name} was not prepared on this machine yet; --tokens does it, as does score"
        return _blocks(prompt, why)
    return _with_ids(prompt, prompt_file, source, count=asked.tokens)


@dataclass(frozen=True, kw_only=True)
class CheckOptions(ReadingOptions):
    """What `check` is asked to look at; the defaults are the command's."""

    prompt: str
    customers: str | None = None
    rows: int = 1000


def check_file(asked: CheckOptions) -> tuple[str, list[str]]:
    """Return what is right about a prompt file, and its warnings.

    Raises PromptPredictError for the first thing that is wrong, a row that cannot be rendered
    among the first ``rows`` included.
    """
    prompt_file, customers, rows = PromptFile.load(asked.prompt), asked.customers, asked.rows
    front = prompt_file.front
    words = "; ".join(f"{key}: {', '.join(group)}" for key, group in prompt_file.words.items())
    named = ", ".join(prompt_file.needed)
    others = "all others as fields" if prompt_file.uses_fields else ""
    lines = [
        f"{prompt_file.name}: {front.task}, target {front.target}",
        f"labels: {words}",
        f"columns: {' and '.join(filter(None, [named, others])) or 'none'}",
    ]
    warnings = list(prompt_file.warnings)
    if customers is not None:
        header = read_header(customers, asked.reading)
        prompt_file.check_columns(header, table_name(customers))
        done, rejected = _check_rows(prompt_file, customers, rows, asked.reading)
        more = asked.count(customers, rows + 1) > rows
        count = counted(done, "row")
        which = f"the first {count}" if more else count
        note = " (--rows renders more)" if more else ""
        lines.append(f"{table_name(customers)}: {which} rendered{note}")
        strange = asked.reading.notes()
        warnings = [*prompt_file.warnings, *asked.notes, *rejected, *strange]
        warnings += unused(prompt_file, header)
    return "\n".join([*lines, "ok"]), warnings


def list_models() -> str:
    """Return the models on this machine, one a line: name, kind, size, licence, where."""
    lines: list[tuple[str, str, str, str, str]] = []
    for package in models.EMBEDDED.values():
        path = models.embedded_path(package)
        where = str(path) if path else f"not here; promptpredict models pull {package.name}"
        megabytes = f"{package.megabytes} MB"
        lines.append((package.name, package.kind, megabytes, package.licence, where))
    for name, folder, size in in_hub_cache():
        lines.append((name, "from the hub", f"{size >> 20} MB", "", str(folder)))
    widths = [max(len(line[at]) for line in lines) for at in range(4)]
    return "\n".join(
        "  ".join([*map(str.ljust, line[:4], widths), line[4]])  # each column to its widest
        for line in lines
    )


# -- rows --------------------------------------------------------------------------------------


def _check_rows(
    prompt_file: PromptFile, customers: str, rows: int, reading: Reading
) -> tuple[int, list[str]]:
    """Render rows; return how many, and a line for those that would be rejected."""
    done, rejects = 0, []
    for block in read_blocks(customers, prompt_file.roles, reading, limit=rows):
        for record in block.records:
            try:
                prompt_file.render(record)
                if record.label is not None:
                    _check_label(prompt_file, record, customers)
            except DataError as error:  # it may show a cell
                raise DataError(reading.private.text(str(error))) from None
            done += 1
        rejects += block.rejects
    if not rejects:
        return done, []
    first = rejects[0]
    return done, [
        f"{counted(len(rejects), 'row')} would be rejected, the first is row {first.row}: {first.reason}"
    ]


def _check_label(prompt_file: PromptFile, record: Record, customers: str) -> None:
    if prompt_file.front.bins is None:
        label_of(prompt_file, record, customers)
    else:
        amount_in(prompt_file, record, customers)


def unused(prompt_file: PromptFile, header: Sequence[str]) -> list[str]:
    """Return one line that names the columns that no prompt shows, though they might."""
    if prompt_file.uses_fields:
        return []
    roles = prompt_file.roles
    known = {*prompt_file.needed, roles.id, roles.target, *roles.text, *roles.ignore}
    unused = [f"'{column}'" for column in header if column not in known]
    return [f"columns that are not used: {', '.join(unused)}"] if unused else []


def _record(asked: RenderOptions, prompt_file: PromptFile) -> Record:
    seen = 0
    for block in read_blocks(asked.customers, prompt_file.roles, asked.reading, limit=asked.row):
        for record in block.records:
            if record.row == asked.row:
                return record
        for reject in block.rejects:
            if reject.row == asked.row:
                raise DataError(
                    f"{table_name(asked.customers)}, row {asked.row} cannot be read: {reject.reason}"
                )
        seen += len(block.records) + len(block.rejects)
    raise DataError(
        f"{table_name(asked.customers)} has no row {asked.row}; it has {counted(seen, 'row')}"
    )


def _pool(asked: RenderOptions, prompt_file: PromptFile) -> list[Record]:
    """Return the labelled records, where shots, places of numbers or bins need them."""
    front = prompt_file.front
    cut = front.bins is not None and front.bins.edges is None
    if asked.train is None or not (asked.shots or cut or front.numbers == "placed"):
        return []
    return read_labelled(asked.train, prompt_file, asked.reading)[0]


def _shots(
    asked: RenderOptions, prompt_file: PromptFile, pool: Sequence[Record], record: Record
) -> tuple[Record, ...]:
    embed = None
    if asked.select == "nearest":
        from promptpredict.encoders import Embedder

        embed = Embedder(asked.encoder)
    shots = Shots(prompt_file, pool, asked.shots, asked.select, asked.seed, embed)
    return shots.choose([record])[0]


# -- prompts -----------------------------------------------------------------------------------


def _with_ids(
    prompt: Prompt, prompt_file: PromptFile, source: models.Source, *, count: bool
) -> str:
    from promptpredict.batching import fit

    encoder = _encoder(source)

    def encode(prompt: Prompt) -> Encoded:
        return encoder.encode(prompt, prompt_file.words, prompt_file.front.join)

    fitted = fit(prompt, encode, _context(source))
    encoded = fitted.encoded
    shown = prompt.shrink(fitted.shots_dropped, fitted.words_dropped)
    lines = [encoder.text(shown), "", f"label words and their ids in {source.name}:"]
    lines += [
        f"  {entry.label}  {entry.text!r}  {' '.join(map(str, entry.ids))}"
        for entry in encoded.words.entries
    ]
    if encoder.system_role == "merged":
        lines.append(
            "(the chat template knows no system role; the system text opens the first user turn)"
        )
    if fitted.truncated:
        lines.append(
            f"(cut to what the model reads: without the first {fitted.shots_dropped} shots and "
            f"{fitted.words_dropped:,} words of feedback)"
        )
    if count:
        lines.append(f"{len(encoded.ids):,} tokens")
    return "\n".join(lines)


def _context(source: models.Source) -> int:
    """Return how many positions a model reads, as it is cut in `score`; no limit where unknown."""
    folder = models.converted_folder(source)
    config = folder / "config.json" if folder else None
    if config is None or not config.is_file():
        return 1 << 20
    found = json.loads(config.read_text(encoding="utf-8"))
    if found.get("is_encoder_decoder"):
        from promptpredict.loading import load_tokenizer
        from promptpredict.twosided import context_of

        return context_of(load_tokenizer(source), found)
    found = found.get("text_config", found)
    return positions_of(found.get)


def _encoder(source: models.Source) -> Encoder:
    from promptpredict.encoding import Encoder
    from promptpredict.twosided import TwoSidedEncoder, decoder_start, is_two_sided

    folder = models.converted_folder(source)
    if folder is None or not is_two_sided(folder):
        return Encoder(_tokenizer(source), name=source.name)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    from promptpredict.loading import load_tokenizer

    start = decoder_start(config)
    return TwoSidedEncoder(load_tokenizer(source), name=source.name, start=start)


def _tokenizer(source: models.Source) -> Any:
    from promptpredict.tokenizer import FolderTokenizer

    folder = models.converted_folder(source)
    if folder and (folder / "tokenizer.json").is_file():
        return FolderTokenizer(folder)
    from promptpredict.loading import load_tokenizer

    return load_tokenizer(source)


def _blocks(prompt: Prompt, why: str) -> str:
    """Return a prompt without a chat template, and why there is none."""
    parts = [f"[system]\n{prompt.system}"]
    parts += [f"[user]\n{turn.user}\n\n[assistant]\n{turn.reply}" for turn in prompt.shots]
    parts += [f"[user]\n{prompt.user}", f"[assistant]\n{prompt.answer}"]
    return "\n\n".join([*parts, f"(no chat template and no ids: {why})"])
