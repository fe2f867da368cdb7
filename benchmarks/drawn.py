"""Phantoms as a raw data set of darnet: labelled source scans, target scans, labelled target scans for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from darnet.demo.dataset import Protocol, stored_affine, to_stored
from darnet.io import write_json, write_new_image, write_new_labels


@dataclass(frozen=True)
class Phantom:
    """One kind of phantom.

    `draw` makes a tissue map (D, H, W) for a grid, `render` the scan of it, `labels_of` its labels. `protocols` holds
    the grids of source and target.
    """

    name: str
    labels: Mapping[str, int]
    protocols: tuple[Protocol, Protocol]
    draw: Callable[[np.random.Generator, Protocol], NDArray[np.uint8]]
    render: Callable[[NDArray[np.uint8], np.random.Generator, Protocol], NDArray[np.float32]]
    labels_of: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


def write_phantoms(
    folder: Path, phantom: Phantom, seed: int = 0, *, source: int = 10, target: int = 10, test: int = 6
) -> None:
    """Write a raw data set; the same seed gives the same voxels, and every case is another body.

    Args:
        folder: Raw folder of the data set; made where it is missing.
        phantom: What is drawn.
        seed: Seed of everything drawn.
        source: Number of labelled source scans.
        target: Number of target training scans; their labels go into `labelsTr_target`, which only the supervised row
            of `darnet_experiment` reads.
        test: Number of labelled target scans for evaluation.
    """
    names = [protocol.modality.lower() for protocol in phantom.protocols]
    groups = (
        (phantom.protocols[0], names[0], source, "imagesTr", "labelsTr"),
        (phantom.protocols[1], names[1], target, "imagesTr_target", "labelsTr_target"),
        (phantom.protocols[1], f"{names[1]}_test", test, "imagesTs", "labelsTs"),
    )
    for group, (protocol, name, count, images, labels) in enumerate(groups):
        for where in (images, labels):
            (folder / where).mkdir(parents=True, exist_ok=True)
        for n in range(count):
            rng = np.random.default_rng((seed, group, n))
            tissue = phantom.draw(rng, protocol)
            affine = stored_affine(protocol, rng.uniform(-40, 40, 3))
            scan = to_stored(np.rint(phantom.render(tissue, rng, protocol)), protocol.codes)
            case = f"{name}_{n + 1:02d}"
            write_new_image(folder / images / f"{case}_0000.nii.gz", scan, affine)
            drawn = to_stored(phantom.labels_of(tissue), protocol.codes)
            write_new_labels(folder / labels / f"{case}.nii.gz", drawn, affine)
    values = {
        "name": phantom.name,
        "channel_names": {"0": "intensity"},
        "labels": dict(phantom.labels),
        "domains": {"source": phantom.protocols[0].modality, "target": phantom.protocols[1].modality},
        "numTraining": source,
        "file_ending": ".nii.gz",
    }
    write_json(folder / "dataset.json", values)
