"""Under which heading of a command's help an option stands.

Knows names of options and typer's command; knows nothing of what an option means. What is not named
here stands under "Options", which comes first.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

HEADINGS = {
    "Labelled records": ("train", "shots", "shot_sets", "select", "fallback"),
    "Probabilities": ("base_rate", "calibration", "save_calibration", "threshold"),
    "Labels and splits": ("budget", "seeds", "max_test", "folds", "group", "time"),
    "Models": ("model", "adapter", "encoder", "pooling", "dtype", "device", "offline", "on"),
    "Training": ("rank", "alpha", "layers", "learning_rate", "batch", "epochs", "balance"),
    "Episodes": ("episodes", "width", "own"),
    "Safeguards": ("flag_mass", "stop_mass", "max_drift", "guard", "attacks"),
    "Privacy": ("redact", "salt_file", "keep_prompts", "encrypt_key_file"),
    "Histories": ("events", "events_key", "events_time", "events_amount", "as_of"),
    "Reading tables": ("delimiter", "encoding"),
}
_HEADING = {name: heading for heading, names in HEADINGS.items() for name in names}


class Command(TyperCommand):
    """A command whose help puts options under headings, in one column."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, the options without a heading, then those of each heading."""
        sections: dict[str, list[tuple[str, str]]] = {
            heading: [] for heading in ("Arguments", "Options", *HEADINGS)
        }
        for param in self.get_params(ctx):
            if record := param.get_help_record(ctx):
                kind = "Arguments" if param.param_type_name == "argument" else "Options"
                sections[_HEADING.get(str(param.name), kind)].append(record)
        width = max(len(first) for records in sections.values() for first, _ in records)
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl([(first.ljust(width), second) for first, second in records])
