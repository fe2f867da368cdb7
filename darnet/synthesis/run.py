"""From a trained translator to the store of target-like source volumes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from darnet.errors import is_out_of_memory, out_of_memory
from darnet.io import CaseStore, sha256_of, write_json
from darnet.networks import Translator
from darnet.plans import Plans
from darnet.progress import track
from darnet.synthesis.pictures import draw_style_space, draw_styles
from darnet.synthesis.styles import choose_styles, cluster_styles, encode_styles, lonely_styles
from darnet.synthesis.translate import refuse_collapse, translate_volume
from darnet.training.loaders import list_slices
from darnet.training.seeds import generator_for

STYLE_BANK = "style_bank.json"


def variant_name(case_id: str, style: int) -> str:
    """Name under which the synthetic store holds a source case in a style."""
    return f"{case_id}_style_{style}"


def synthesis_hash(plans: Plans, checkpoint: Path) -> str:
    """Hash of what the synthetic volumes come from: the translator's weights and the plan of the synthesis."""
    plan = dataclasses.asdict(plans.synthesis)
    plan.pop("why")
    return hashlib.sha256(json.dumps([plan, plans.seed, sha256_of(checkpoint)]).encode()).hexdigest()


def synthesize(
    plans: Plans,
    translator: Translator,
    source: CaseStore,
    target: CaseStore,
    synthetic: CaseStore,
    origin: str,
    device: torch.device,
    quiet: bool = False,
    notice: Callable[[str], None] = warnings.warn,
) -> dict[str, tuple[str, ...]]:
    """Translate all source volumes into the target's styles, case by case; what is there already is kept.

    Args:
        plans: The plan.
        translator: Averaged weights.
        source: Store of source cases.
        target: Store of target cases.
        synthetic: Store to fill; also gets the style bank and its pictures.
        origin: Hash of what the volumes come from; volumes of another origin are made again.
        device: Where to compute.
        quiet: No progress bar.
        notice: Gets a sentence for each style that a single slice makes up.

    Returns:
        Source case -> names of its volumes in `synthetic`.

    Raises:
        DataError: The translation has collapsed.
        ResourceError: Disk or memory do not suffice; the error names the case.
    """
    plan = plans.synthesis
    table = list_slices(target, plan.minimum_foreground)
    codes = encode_styles(translator, target, table, plans.translation.slice_size, plan.batch_size, device)
    bank = cluster_styles(codes, table, plan.number_of_styles, plans.seed)
    for sentence in lonely_styles(bank):
        notice(sentence)
    synthetic.folder.mkdir(parents=True, exist_ok=True)
    write_json(synthetic.folder / STYLE_BANK, bank.to_json())
    draw_style_space(bank, synthetic.folder / "style_space.png")
    count = 1 if plan.choice == "mean" else plan.number_of_styles
    variants: dict[str, tuple[str, ...]] = {}
    for case_id in track(source.case_ids(), "synthesis", quiet=quiet):
        names = tuple(variant_name(case_id, k) for k in range(count))
        record = source.record(case_id)
        content_hash = hashlib.sha256(f"{origin} {record.content_hash}".encode()).hexdigest()
        picture = synthetic.folder / "styles.png"
        if not all(synthetic.has(name, content_hash) for name in names):
            styles = choose_styles(bank, plan.choice, generator_for(plans.seed, f"styles of {case_id}", 0))
            image = source.image(case_id)
            try:
                volumes = translate_volume(translator, image, styles, plan.batch_size, device)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                remedy = "lower synthesis.batch_size in plans.json, or choose another -device"
                raise out_of_memory("synthesis", f"case {case_id}", remedy) from error
            refuse_collapse(volumes, image, case_id)
            if not variants:
                draw_styles(image, volumes, picture)
            for name, volume in zip(names, volumes, strict=True):
                made = dataclasses.replace(record, case_id=name, content_hash=content_hash, has_labels=False)
                synthetic.write(made, volume[None], None)
        variants[case_id] = names
    return variants
