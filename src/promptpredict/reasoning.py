"""The command that gives reasons: options in, one function of the library called.

Knows typer and how things are said; the work is done elsewhere.
"""

from __future__ import annotations

import typer

from promptpredict import options
from promptpredict.commands import say


def explain(
    context: typer.Context,
    customers: options.Customers,
    prompt: options.Prompt,
    row: options.ExplainedRow = None,
    limit: options.ExplainedLimit = None,
    train: options.Train = None,
    approach: options.ExplainedApproach = "zero-shot",
    shots: options.ExplainedShots = None,
    calibration: options.Calibration = None,
    label: options.Label = None,
    typical: options.Typical = False,  # noqa: FBT002
    actionable: options.Actionable = None,
    below: options.Below = None,
    out: options.OutReasons = None,
    model: options.Model = "auto",
    encoder: options.Encoder = "minilm",
    dtype: options.Dtype = "auto",
    device: options.Device = "auto",
    delimiter: options.Delimiter = None,
    encoding: options.Encoding = None,
    redact: options.Redact = False,  # noqa: FBT002
    salt_file: options.SaltFile = None,
    events: options.Events = None,
    events_key: options.EventsKey = None,
    events_time: options.EventsTime = None,
    events_amount: options.EventsAmount = None,
    as_of: options.AsOf = None,
    seed: options.Seed = 0,
) -> None:
    """Say why customers score as they do: what each field and each sentence adds.

    \b
    promptpredict explain customers.csv --prompt churn-shop --row 3
    promptpredict explain customers.csv --prompt churn-shop --limit 100 --out reasons
    promptpredict explain customers.csv --prompt mine.jinja --train labelled.csv \\
        --approach probe --actionable contract,discount --below 0.3

    Each field and each sentence is left out in turn; what the log-odds lose is what it adds. The
    prompts of one customer are read together. --actionable finds the smallest change of some fields
    that brings a customer under a probability.
    """
    from promptpredict.explaining import ExplainOptions, explain_table

    given = context.params | {"actionable": options.names(actionable)}
    typer.echo(explain_table(ExplainOptions(**given), say))
