"""`score --on ray`: blocks are read on many machines; the run itself goes on as it does on one.

    reader (this machine)          actors, one language model each       this process
    rows, block by block     →     what is new is read             →     into the ledger, in order
    what the ledger knows of it                                          then the block is scored from it

Knows Ray, blocks and the ledger; knows nothing of outputs. Ray Data hands blocks to actors, keeps
their order, and gives a block to another actor where one dies. The ledger stays with this process,
and which of two blocks a prompt belongs to does not depend on who was first: the bytes are those of
a run on one machine. Where the actors are, there have to be this package and the model.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from promptpredict.checking import Given
from promptpredict.errors import DataError, ModelError, PromptPredictError
from promptpredict.ledger import Ledger, key_of
from promptpredict.models import Source
from promptpredict.places import is_url
from promptpredict.relay import Job, Read, ReadingActor, nothing, scored
from promptpredict.rendered import Prompt
from promptpredict.scores import Labels, Scores, each_labels


@dataclass(frozen=True)
class Actors:
    """How many actors there are, and what each has: a GPU, or all processors of a machine."""

    count: int
    cpus: int
    gpus: int = 0

    @classmethod
    def found(cls, device: str) -> Actors:
        """Return what the cluster has room for."""
        import ray

        gpus = int(ray.cluster_resources().get("GPU", 0))  # type: ignore[no-untyped-call]
        if gpus and device in ("auto", "cuda"):
            return cls(gpus, cpus=1, gpus=1)
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        cpus = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
        return cls(len(cpus), cpus=min(cpus))

    @property
    def needs(self) -> dict[str, Any]:
        """What one actor takes of its machine."""
        return {"num_cpus": self.cpus, **({"num_gpus": self.gpus} if self.gpus else {})}

    def run(self, function: Callable[..., Any], *given: Any) -> Any:
        """Run a function once, where an actor would be."""
        import ray

        with _plainly():
            return ray.get(ray.remote(**self.needs)(function).remote(*given))


class Ahead:
    """What actors read, as a language model: Durable finds it in the ledger before it asks here.

    Left are prompts with a fault, and those of no block, such as records that calibrate: a task of
    their own reads them.
    """

    def __init__(self, given: Given, source: Source) -> None:
        """Begin a cluster, or join the one that RAY_ADDRESS names."""
        if source.path is None:
            raise DataError(
                f"--on ray needs a model that is on every machine; {source.name} is on the hub; "
                "possible: a folder, a .gguf file or the short name of an embedded model"
            )
        _begin()
        # Actors have a folder of their own.
        asked = given.options
        options = replace(
            asked,
            customers=asked.customers
            if is_url(asked.customers)
            else os.path.abspath(asked.customers),
            encoder=os.path.abspath(asked.encoder)
            if os.path.exists(asked.encoder)
            else asked.encoder,
            salt_file=asked.salt_file and os.path.abspath(asked.salt_file),
        )
        self.name = source.name
        self._given = replace(given, options=options, seal=None)
        adapter = source.adapter and source.adapter.absolute()
        self._source = replace(source, path=source.path.absolute(), adapter=adapter)
        self._actors = Actors.found(options.device)
        self.where: str = self._actors.run(_placed, options.dtype, options.device)
        self._faults: dict[bytes, str] = {}
        self._job: Job
        self._results: Iterator[Mapping[str, Any]]

    def describe(self) -> str:
        """Return where prompts are read, in words."""
        count = self._actors.count
        return f"on Ray: {count} language {'model' if count == 1 else 'models'} in {self.where}"

    def begin(self, ledger: Ledger, identity: str) -> None:
        """Let actors read ahead, for the run that the ledger has begun."""
        path = Path(str(ledger.path)).absolute()
        threads = None if self._actors.gpus else self._actors.cpus
        self._ledger = ledger
        self._job = Job(self._given, self._source, path, identity, ledger.run, threads)
        self._results = _read_ahead(self._job, self._actors)

    def take(self, index: int) -> None:
        """Wait for a block, and put what was read of it into the ledger."""
        with _plainly():
            row = next(self._results)
        assert row["index"] == index, f"block {row['index']} came in place of {index}"
        self._faults = self._put(pickle.loads(row["found"]))

    def end(self) -> None:
        """Let the actors go: what is read from here on finds the machines free."""
        for _ in self._results:
            raise AssertionError("the actors read more blocks than the table has")

    def score(
        self,
        prompts: Sequence[Prompt],
        labels: Labels | Sequence[Labels],
        *,
        progress: Callable[[int], object] | None = None,
    ) -> Scores:
        """Return faults that are known, and NaN for the others; what no block has is read now."""
        every = each_labels(labels, len(prompts))
        keys = [key_of(self._job.identity, *each) for each in zip(prompts, every, strict=True)]
        known = self._ledger.get(keys)
        if any(key not in known and key not in self._faults for key in keys):
            scores: Scores = self._actors.run(scored, self._job, prompts, labels)
        else:
            faults = {row: self._faults[key] for row, key in enumerate(keys) if key in self._faults}
            scores = nothing(len(prompts), len(every[0].words), faults)
        if progress:
            progress(len(prompts))
        return scores

    def _put(self, found: Read) -> dict[bytes, str]:
        entries, faults = found
        there = self._ledger.get(list(entries))  # an earlier block was first
        self._ledger.put((key, each) for key, each in entries.items() if key not in there)
        return faults


# -- Ray -----------------------------------------------------------------------------------------


def _begin() -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told of a run
    try:
        import ray
        import ray.data
    except ImportError:
        raise DataError(
            "--on ray needs Ray Data, which is not installed; possible: pip install "
            "'promptpredict[ray]'"
        ) from None
    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # the run says what there is to say
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    # A row is a block of the table: actors should have one at a time, not 128 MB of them.
    context.target_max_block_size = 1


@contextmanager
def _plainly() -> Iterator[None]:
    """Say what went wrong elsewhere as it would be said here."""
    from ray.exceptions import RayError

    try:
        yield
    except RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, PromptPredictError):
            raise type(cause)(str(cause)) from None
        last = [line for line in str(error).splitlines() if line.strip()][-1].strip()
        raise ModelError(f"a worker on Ray has failed: {last}") from None


def _read_ahead(job: Job, actors: Actors) -> Iterator[Mapping[str, Any]]:
    """Yield what actors read of the blocks, in order."""
    import ray

    address = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    here = {f"node:{address}": 0.001}  # where table and ledger are
    blocks = ray.data.from_items([{"job": 0}]).flat_map(
        lambda _: job.blocks(), num_cpus=0, resources=here
    )
    reader: Any = ReadingActor
    pool = ray.data.ActorPoolStrategy(size=actors.count)
    rows = blocks.map(reader, fn_constructor_args=(job,), compute=pool, **actors.needs).iter_rows()
    return iter(rows)


def _placed(dtype: str, device: str) -> str:
    """Return dtype and device as a loaded model has them."""
    from promptpredict.loading import choose_device, choose_dtype

    device, _ = choose_device(device)
    found, _ = choose_dtype(dtype, device)
    return f"{found} on {'cuda:0' if device == 'cuda' else device}"
