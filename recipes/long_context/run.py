"""Long texts: perplexity by position and by context, beside a second model, and key retrieval.

Texts are held-out documents that the caller names. Each is read from its start, up to a number of
positions; a token's position is the number of tokens that the model has seen of the document. What
stands at other positions is other text; so the last tokens are also read behind contexts of several
lengths, for what a longer context is worth to the very same tokens. Key
retrieval hides a function in the same texts, at several lengths and depths.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.progress import Progress

from midfill.engine.backend import use_threads
from midfill.engine.runtime import open_runtime
from midfill.recipes.evaluation.problems import choose
from midfill.recipes.long_context.keys import ROOM, Hunt, hide, seek
from midfill.recipes.long_context.perplexity import (
    Bucket,
    boundaries,
    difference,
    loss,
    measure,
    measure_behind,
    whole,
)
from midfill.recipes.long_context.report import show
from midfill.recipes.long_context.texts import LongText, read_documents
from midfill.recipes.reports import plots
from midfill.recipes.reports.journal import Journal, hash_of, journal_of, key_of, model_key, report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midfill.engine import EngineConfig
    from midfill.engine.runtime import Runtime
    from midfill.recipes.long_context.settings import LongSettings
    from midfill.recipes.reports.output import Output

LEFT_TO_RIGHT = "left-to-right"
CELL = "losses"
KEYS = "keys"


def run(settings: LongSettings, config: EngineConfig, output: Output) -> dict[str, Any]:
    """Measure a model, or it and a second one; print, write and return the report.

    Raises:
        InvalidRequestError: there is no text, or a plot could not be drawn.
    """
    for plot in (output.plot, settings.key_plot):
        plots.check(plot)
    configs = [config, *_second(settings, config)]
    documents = read_documents(settings.texts, settings.suffix, separate=settings.separate)
    documents = choose(documents, settings.limit, settings.seed)
    journals, infos = [], []
    for each in configs:
        with closing(open_runtime(_for_texts(settings, each))) as runtime:
            journal = Journal(journal_of(output.json), _key(settings, each, runtime))
            _read(settings, documents, runtime, journal)
            _seek(settings, documents, runtime, journal)
        journals.append(journal)
        infos.append(runtime.info)
    document = report("long", infos[0], _as_json(settings, configs))
    document["models"] = [
        {"model": info.model, "dtype": info.dtype, **_summary(settings, documents, journal)}
        for info, journal in zip(infos, journals, strict=True)
    ]
    document["difference"] = _differences(settings, documents, journals)
    show(document, output, settings.key_plot)
    return document


def _second(settings: LongSettings, first: EngineConfig) -> list[EngineConfig]:
    """The model that the first one is measured against, if there is one."""
    if not (settings.against or settings.against_adapter):
        return []
    model = settings.against or first.model
    return [replace(first, model=model, adapter=settings.against_adapter)]


def _for_texts(settings: LongSettings, config: EngineConfig) -> EngineConfig:
    """The engine's configuration, with room for the longest prompt and no markers."""
    longest = max([settings.positions, *settings.key_lengths]) + 2 * ROOM
    return replace(
        config,
        dialect=config.dialect or LEFT_TO_RIGHT,
        context_length=max(config.context_length, longest),
        cache_slots=1,
    )


def _key(settings: LongSettings, config: EngineConfig, runtime: Runtime) -> str:
    """A hash of all that a result depends on, but for the document and the hunt."""
    texts = [hash_of(str(path)) for path in settings.texts]
    asked = (settings.suffix, settings.separate, settings.positions, settings.seed)
    return key_of(model_key(config), runtime.info.dtype, texts, asked)


def _read(
    settings: LongSettings, documents: Sequence[LongText], runtime: Runtime, journal: Journal
) -> None:
    """Journal the buckets of all documents."""
    if not settings.positions:
        return
    machine = runtime.machine
    use_threads(machine.model, torch.get_num_threads())
    missing = [document for document in documents if (document.name, CELL) not in journal]
    for document in _bar(f"reading, {runtime.info.model}", missing):
        buckets = measure(machine, document.text, settings.positions)
        journal.add(document.name, CELL, {"buckets": [asdict(bucket) for bucket in buckets]})
    cells = [
        (document, context)
        for document in documents
        for context in settings.contexts
        if (document.name, _behind(context)) not in journal
    ]
    for document, context in _bar(f"behind contexts, {runtime.info.model}", cells):
        buckets = measure_behind(machine, document.text, settings.positions, context)
        row = {"buckets": [asdict(bucket) for bucket in buckets]}
        journal.add(document.name, _behind(context), row)


def _behind(context: int) -> str:
    """The cell of a context."""
    return f"behind {context}"


def _seek(
    settings: LongSettings, documents: Sequence[LongText], runtime: Runtime, journal: Journal
) -> None:
    """Journal the answers of all hunts."""
    missing = [hunt for hunt in _hunts(settings) if (hunt.name, KEYS) not in journal]
    haystack = "".join(document.text for document in documents)
    for hunt in _bar(f"looking for keys, {runtime.info.model}", missing):
        hidden = hide(hunt, runtime.machine.tokenizer, haystack, settings.seed)
        journal.add(hunt.name, KEYS, seek(runtime, hidden, hunt.length))


def _bar(title: str, items: Sequence[Any]) -> Any:
    """The items, with a bar on standard error."""
    with Progress(console=Console(stderr=True)) as progress:
        yield from progress.track(items, description=title)


def _hunts(settings: LongSettings) -> list[Hunt]:
    return [
        Hunt(length, depth, trial)
        for length in settings.key_lengths
        for depth in settings.key_depths
        for trial in range(settings.key_trials)
    ]


def _buckets(
    settings: LongSettings, documents: Sequence[LongText], journal: Journal, cell: str = CELL
) -> dict[str, list[Bucket]]:
    """The buckets by document."""
    names = [document.name for document in documents] if settings.positions else []
    return {
        name: [Bucket(**bucket) for bucket in row["buckets"]]
        for name, row in journal.of(names, cell).items()
    }


def _summary(
    settings: LongSettings, documents: Sequence[LongText], journal: Journal
) -> dict[str, Any]:
    """Losses by position and of all, and the shares of keys that were found."""
    read = _buckets(settings, documents, journal)
    by_start = {
        edges: [b for buckets in read.values() for b in buckets if b.start == edges[0]]
        for edges in boundaries(settings.positions)
    }
    answers = {
        (length, depth): [
            row["found"]
            for row in journal.of(
                [Hunt(length, depth, trial).name for trial in range(settings.key_trials)], KEYS
            ).values()
        ]
        for length in settings.key_lengths
        for depth in settings.key_depths
    }
    return {
        "all": asdict(loss([whole(buckets) for buckets in read.values()])) if read else None,
        "positions": [
            {"start": start, "stop": stop, **asdict(loss(buckets))}
            for (start, stop), buckets in by_start.items()
            if buckets
        ],
        "contexts": _by_context(settings, documents, journal),
        "keys": [
            {"length": length, "depth": depth, "found": sum(found), "trials": len(found)}
            for (length, depth), found in answers.items()
        ],
    }


def _by_context(
    settings: LongSettings, documents: Sequence[LongText], journal: Journal
) -> list[dict[str, Any]]:
    """The loss of the same tokens behind each context, and its change from the shortest one."""
    read = {
        context: [
            bucket
            for buckets in _buckets(settings, documents, journal, _behind(context)).values()
            for bucket in buckets
        ]
        for context in settings.contexts
    }
    return [
        {
            "context": context,
            **asdict(loss(buckets)),
            "change": asdict(difference(zip(read[settings.contexts[0]], buckets, strict=True))),
        }
        for context, buckets in read.items()
        if buckets
    ]


def _differences(
    settings: LongSettings, documents: Sequence[LongText], journals: Sequence[Journal]
) -> dict[str, Any] | None:
    """The second model against the first, by position and of all; None without a second."""
    if len(journals) < 2 or not settings.positions:
        return None
    first, second = (_buckets(settings, documents, journal) for journal in journals)
    both = [(first[name], second[name]) for name in first if name in second]
    rows = []
    for start, stop in boundaries(settings.positions):
        pairs = [
            (a, b) for one, two in both for a in one for b in two if a.start == b.start == start
        ]
        if pairs:
            rows.append({"start": start, "stop": stop, **asdict(difference(pairs))})
    return {
        "all": asdict(difference((whole(one), whole(two)) for one, two in both)),
        "positions": rows,
    }


def _as_json(settings: LongSettings, configs: Sequence[EngineConfig]) -> dict[str, Any]:
    return {
        "texts": [path.name for path in settings.texts],
        "suffix": settings.suffix,
        "separate": settings.separate,
        "limit": settings.limit,
        "seed": settings.seed,
        "positions": settings.positions,
        "contexts": list(settings.contexts),
        "key_lengths": list(settings.key_lengths),
        "key_depths": list(settings.key_depths),
        "key_trials": settings.key_trials,
        "model_hashes": [model_key(config) for config in configs],
    }
