"""From a trained translator to the store of target-like source volumes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from darnet.errors import is_out_of_memory, out_of_memory
from darnet.io import CaseStore, sha256_of, write_json
from darnet.networks import AnyTranslator, EntangledTranslator
from darnet.plans import Plans, settings_of
from darnet.progress import track
from darnet.synthesis.pictures import draw_style_space, draw_styles
from darnet.synthesis.styles import StyleBank, choose_styles, cluster_styles, encode_styles, lonely_styles
from darnet.synthesis.translate import refuse_collapse, translate_volume
from darnet.training.loaders import list_slices
from darnet.training.seeds import generator_for

STYLE_BANK = "style_bank.json"
STYLE_SPACE = "style_space.png"


def variant_name(case_id: str, style: int) -> str:
    """Name under which the synthetic store holds a source case in a style, which counts from 0; names count from 1."""
    return f"{case_id}_style_{style + 1}"


def synthesis_hash(plans: Plans, checkpoint: Path, target: CaseStore) -> str:
    """Hash of what the synthetic volumes come from: the translator's weights, the plan of the synthesis, and the target
    cases whose styles they have."""
    plan = settings_of(plans.synthesis)
    cases = {case_id: target.record(case_id).content_hash for case_id in target.case_ids()}
    return hashlib.sha256(json.dumps([plan, plans.seed, sha256_of(checkpoint), cases]).encode()).hexdigest()


def synthesize(
    plans: Plans,
    translator: AnyTranslator,
    source: CaseStore,
    target: CaseStore,
    synthetic: CaseStore,
    origin: str,
    device: torch.device,
    quiet: bool = False,
    notice: Callable[[str], None] = warnings.warn,
    replacing: Callable[[], None] = lambda: None,
) -> dict[str, tuple[str, ...]]:
    """Translate all source volumes into styles of the target, case by case; what is there already is kept.

    Volumes in styles that a case does not have any more are removed.

    Args:
        plans: The plan.
        translator: Trained weights.
        source: Store of source cases.
        target: Store of target cases.
        synthetic: Store to fill; also gets the style bank and its pictures, where the translator knows styles.
        origin: Hash of what the volumes come from; volumes of another origin are made again.
        device: Where to compute.
        quiet: No progress bar.
        notice: Gets a sentence for each style that a single slice makes up.
        replacing: Called before volumes that are there are replaced or removed.

    Returns:
        Source case -> names of its volumes in `synthetic`.

    Raises:
        DataError: The translation has collapsed.
        ResourceError: Disk or memory do not suffice; the error names the case.
    """
    plan = plans.synthesis
    synthetic.folder.mkdir(parents=True, exist_ok=True)
    variants: dict[str, tuple[str, ...]] = {}
    wanted = plans.styles_of_cases(source.case_ids())
    hashes = {c: hashlib.sha256(f"{origin} {source.record(c).content_hash}".encode()).hexdigest() for c in wanted}
    left = _left_over(synthetic, {variant_name(c, k): hashes[c] for c in wanted for k in wanted[c]})
    if left:
        replacing()
    bank = _fill_style_bank(plans, translator, target, synthetic.folder, device, notice)
    for name in left:
        synthetic.remove(name)
    there = set(synthetic.case_ids())
    for case_id in track(source.case_ids(), "synthesis", quiet=quiet):
        names = tuple(variant_name(case_id, k) for k in wanted[case_id])
        record, content_hash = source.record(case_id), hashes[case_id]
        picture = synthetic.folder / "styles.png"
        if not there.issuperset(names):
            styles = _styles_of(plans, bank, case_id)[list(wanted[case_id])]
            image = source.image(case_id)
            try:
                volumes = translate_volume(translator, image, styles, plan.batch_size, device)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                remedy = "lower synthesis.batch_size in plans.json, or choose another -device"
                raise out_of_memory("synthesis", f"case {case_id}", remedy) from error
            refuse_collapse(volumes, image, case_id, wanted[case_id])
            if not variants:
                labels = source.labels(case_id) if record.has_labels else None
                draw_styles(image, volumes, picture, labels, case_id)
            for name, volume in zip(names, volumes, strict=True):
                made = dataclasses.replace(record, case_id=name, content_hash=content_hash, has_labels=False)
                synthetic.write(made, volume[None], None)
        variants[case_id] = names
    return variants


def _left_over(synthetic: CaseStore, wanted: Mapping[str, str]) -> list[str]:
    """Volumes that are there and are not those that are wanted.

    Args:
        synthetic: Their store.
        wanted: Name -> content hash.
    """
    return [name for name in synthetic.case_ids() if not synthetic.has(name, wanted.get(name, ""))]


def _fill_style_bank(
    plans: Plans,
    translator: AnyTranslator,
    target: CaseStore,
    folder: Path,
    device: torch.device,
    notice: Callable[[str], None],
) -> StyleBank | None:
    """Write the style bank and its picture; None, and no such files, where the translator knows no styles."""
    if isinstance(translator, EntangledTranslator):
        for name in (STYLE_BANK, STYLE_SPACE):
            (folder / name).unlink(missing_ok=True)
        return None
    plan = plans.synthesis
    table = list_slices(target, plan.minimum_foreground)
    codes = encode_styles(translator, target, table, plans.translation, plan.batch_size, device)
    bank = cluster_styles(codes, table, plan.number_of_styles, plans.seed)
    for sentence in lonely_styles(bank):
        notice(sentence)
    write_json(folder / STYLE_BANK, bank.to_json())
    draw_style_space(bank, folder / STYLE_SPACE)
    return bank


def _styles_of(plans: Plans, bank: StyleBank | None, case_id: str) -> np.ndarray:
    """Style codes (K, style_dim) of a source case; (1, 0) without a style bank."""
    if bank is None:
        return np.empty((1, 0), np.float32)
    return choose_styles(bank, plans.synthesis.choice, generator_for(plans.seed, f"styles of {case_id}", 0))
