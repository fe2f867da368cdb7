"""Source volumes into target-like volumes, slice by slice along D, in batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from darnet.errors import DataError
from darnet.imaging import BACKGROUND, BODY_ABOVE
from darnet.networks import AnyTranslator
from darnet.training.device import format_of_slices

LEAST_CONTRAST = 0.02  # standard deviation below which a translation shows nothing, in the unit of -1..1
LEAST_CHANGE = 0.01  # from plane to plane, as a share of the source's
SLICES_ON_CPU = 4
SLICE_MULTIPLE = 4  # what the content encoder divides a slice by


@torch.no_grad()
def translate_volume(
    translator: AnyTranslator, volume: np.ndarray, codes: np.ndarray, batch_size: int, device: torch.device
) -> np.ndarray:
    """Translate one volume into several styles.

    Args:
        translator: The trained translator.
        volume: (1, D, H, W) in -1..1.
        codes: (K, style_dim) target styles; (1, 0) for a translator that knows none.
        batch_size: Slices decoded at once; on a CPU no more than four, whose maps stay in its cache.
        device: Where to compute.

    Returns:
        (K, D, H, W) in -1..1.
    """
    _, depth, height, width = volume.shape
    if device.type == "cpu":
        batch_size = min(batch_size, SLICES_ON_CPU)
    pad = [(-height) % SLICE_MULTIPLE, (-width) % SLICE_MULTIPLE]
    styles = torch.from_numpy(codes.astype(np.float32)).to(device)
    out = np.empty((len(codes), depth, height, width), np.float32)
    for start in range(0, depth, batch_size):
        slices = torch.from_numpy(volume[0, start : start + batch_size, None]).to(device)
        padded = F.pad(slices, (0, pad[1], 0, pad[0]), value=BACKGROUND)
        images = translator.translations(padded.contiguous(memory_format=format_of_slices(device)), styles)
        for index, image in enumerate(images):
            out[index, start : start + len(slices)] = image[:, 0, :height, :width].float().cpu().numpy()
    return out


def refuse_collapse(volumes: np.ndarray, source: np.ndarray, case_id: str, styles: Sequence[int]) -> None:
    """Stop before a segmentation learns on nothing.

    Args:
        volumes: (K, D, H, W) translations.
        source: (1, D, H, W) what they were made from.
        case_id: For the message.
        styles: Of the translations, counted from 0; for the message.

    Raises:
        DataError: A translation is not finite, constant within the body, or the same picture for all planes.
    """
    body = source[0] > BODY_ABOVE
    for style, volume in zip(styles, volumes, strict=True):
        fault = ""
        if not np.isfinite(volume).all():
            fault = "it has values that are not finite"
        elif volume[body].std() < LEAST_CONTRAST:
            fault = "it shows no contrast within the body"
        elif volume.std(axis=0).mean() < LEAST_CHANGE * source[0].std(axis=0).mean():
            fault = "it shows the same picture in all planes"
        if fault:
            raise DataError(
                f"the translation has collapsed: {fault}",
                where=f"case {case_id}, style {style + 1}",
                remedy="look at translation/previews in the results; train the translator longer or with another seed",
            )
