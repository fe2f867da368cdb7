"""From one scan to labels on its own grid."""

from __future__ import annotations

import functools
import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from darnet.errors import ConfigurationError, DataError, ResourceError, is_out_of_memory
from darnet.imaging import keep_in_place, sliding_planes
from darnet.imaging.orientation import BODY, CANONICAL_CODES, OPPOSITE
from darnet.inference.checkpoints import (
    NO_PLAN,
    checkpoint_of,
    choose_folds,
    iterations_of,
    leave_out_unfinished,
    load_network,
)
from darnet.inference.doubts import doubtful_shapes, other_planes, other_size, other_values
from darnet.inference.export import (
    Geometry,
    labels_on_input_grid,
    planes_on_input_grid,
    probabilities_on_input_grid,
)
from darnet.inference.strategy import Strategy, strategies
from darnet.io import read_scan
from darnet.io.checkpoint import hash_of_tensors
from darnet.plans import Plans
from darnet.preprocessing import preprocess_arrays
from darnet.training.device import autocast, resolve_device
from darnet.training.stages import plan_hash

Network = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Prediction:
    """Labels (i, j, k) and, where asked for, probabilities (K, i, j, k), both on the grid of the input, and why they
    may be wrong."""

    labels: NDArray[Any]
    probabilities: NDArray[np.float16] | None = None
    notes: tuple[str, ...] = ()


class Predictor:
    """Segments scans with one network or the mean of several.

    Args:
        plans: The plan that the networks were trained with.
        networks: Each maps (N, 1, D, H, W) to logits (N, K, D, H, W). Modules are moved to the device.
        device: Where to compute.
        step_size: Step of the sliding window as a fraction of the patch; None takes the plan's.
        notice: Gets a sentence where something is done in another way than asked for.
        iterations: Of each fold, those that its network has done and those that its plan has; empty where not known.
    """

    def __init__(
        self,
        plans: Plans,
        networks: Sequence[Network],
        device: str | torch.device = "cpu",
        step_size: float | None = None,
        notice: Callable[[str], None] = warnings.warn,
        iterations: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        if not networks:
            raise ConfigurationError("prediction needs at least one network")
        self.plans, self.networks, self.notice = plans, tuple(networks), notice
        self.iterations = dict(iterations or {})
        self.device = resolve_device(device) if isinstance(device, str) else device
        self.step_size = plans.inference.step_size if step_size is None else step_size
        for network in self.networks:
            if isinstance(network, nn.Module):
                # Convolutions of few channels are quicker where these lie side by side.
                cast(Any, network).to(device=self.device, memory_format=torch.channels_last_3d).eval()

    @functools.cached_property
    def identity(self) -> str:
        """Hash of all that a mask depends on beside its scan: weights, plan and step size; not the device."""
        digest = hashlib.sha256(f"{plan_hash(self.plans, 'segmentation', 'inference')} {self.step_size}".encode())
        for network in self.networks:
            if isinstance(network, nn.Module):
                digest.update(hash_of_tensors(network.state_dict()).encode())
        return digest.hexdigest()[:16]

    @classmethod
    def from_results(
        cls,
        folder: str | Path,
        folds: Sequence[int | str] | str | None = (0,),
        device: str | torch.device = "cpu",
        step_size: float | None = None,
        notice: Callable[[str], None] = warnings.warn,
        self_trained: bool = True,
        chosen: bool | None = None,
    ) -> Predictor:
        """Load trained networks.

        Args:
            folder: A data set's results, ROOT/results/DatasetNNN_Name.
            folds: Folds to average. None takes every fold that is trained to its end; "all" the fold trained on all
                cases, or every such fold where there is none.
            device: Where to compute.
            step_size: Step of the sliding window as a fraction of the patch; None takes the plan's.
            notice: Gets a sentence where something is done in another way than asked for, and where a fold's network
                found shapes unlike those of the source labels.
            self_trained: Take each fold's last finished round of self-training where there is one.
            chosen: Take the round that was chosen without labels instead of the last; None does as the plan says.

        Raises:
            ConfigurationError: No such folder, fold or checkpoint, or one that belongs to another plan.
        """
        folder = Path(folder)
        names = choose_folds(folder, folds)
        plans = Plans.read(folder / "plans.json", NO_PLAN)
        if folds is None or folds == "all":
            names = leave_out_unfinished(folder, names, plans, notice)
        paths = [checkpoint_of(folder, fold, plans, self_trained, chosen, notice) for fold in names]
        networks = [load_network(path, plans, notice) for path in paths]
        for fold, path in zip(names, paths, strict=True):
            if doubt := doubtful_shapes(folder, fold, path, plans):
                notice(doubt)
        iterations = {fold: iterations_of(path, plans) for fold, path in zip(names, paths, strict=True)}
        return cls(plans, networks, device, step_size, notice, iterations)

    def predict(
        self, image: str | Path | NDArray[Any], spacing: tuple[float, float, float] | None = None
    ) -> NDArray[Any]:
        """Segment one scan.

        Args:
            image: The path of a scan, or an array (D, H, W) whose axes lie as darnet keeps them: for axial planes D
                from inferior to superior, H from anterior to posterior, W from right to left.
            spacing: Of an array, in mm, (D, H, W). A file has its own.

        Returns:
            Labels of the same shape as the array, or as the voxels of the file in the file's axis order.

        Raises:
            ConfigurationError: An array without spacing, or a file with one.
            DataError: The scan cannot be used.
            ResourceError: Memory does not suffice.
        """
        if isinstance(image, str | Path):
            if spacing is not None:
                raise ConfigurationError("spacing belongs to arrays; a file has its own", where=image)
            scan = read_scan(Path(image))
            return self._told(self.predict_array(scan.array, scan.affine))
        if spacing is None:
            raise ConfigurationError("an array needs a spacing", expected="spacing=(D, H, W) in mm")
        if image.ndim != 3 or min(image.shape) < 1 or not (np.isfinite(spacing).all() and min(spacing) > 0):
            raise ConfigurationError(
                "the array or its spacing cannot be used",
                found=f"shape {image.shape}, spacing {spacing}",
                expected="three axes (D, H, W) and a positive spacing for each",
            )
        if image.dtype.kind not in "biuf" or not np.isfinite(image).all():
            raise DataError(
                "the array has values that are no finite real numbers",
                found=f"{image.dtype}, {np.count_nonzero(~np.isfinite(image))} not finite"
                if image.dtype.kind in "biufc"
                else image.dtype,
                remedy="give intensities of the scan, without NaN",
            )
        through_plane = self.plans.preprocessing.through_plane
        return self._told(self.predict_array(image, canonical_affine(spacing, through_plane)))

    def _told(self, prediction: Prediction) -> NDArray[Any]:
        """The labels; their notes are told."""
        for note in prediction.notes:
            self.notice(note)
        return prediction.labels

    def predict_array(
        self,
        array: NDArray[Any],
        affine: NDArray[np.float64],
        keep_probabilities: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Prediction:
        """Segment voxels (i, j, k) with an affine (4, 4) from voxels to mm in R, A, S.

        Raises:
            DataError: The voxels cannot be used, or the network gave values that are not finite.
            ResourceError: Memory does not suffice.
        """
        case = preprocess_arrays(np.asarray(array, np.float32), affine, self.plans, "target")
        geometry = Geometry((array.shape[0], array.shape[1], array.shape[2]), case.orientation, case.crop_box)
        planes = other_planes(affine, case.orientation, self.plans.preprocessing.through_plane)
        size = other_size((case.image.shape[2], case.image.shape[3]), self.plans)
        notes = tuple(filter(None, [planes, other_values(array, self.plans.target), size]))
        places, largest = self.plans.places, self.plans.kept_largest
        if keep_probabilities:
            probabilities = self.probabilities(case.image, progress)
            labels = keep_in_place(labels_on_input_grid(probabilities, geometry, largest), affine, places)
            return Prediction(labels, probabilities_on_input_grid(probabilities, geometry), notes)
        image = case.image

        def segment(way: Strategy) -> NDArray[Any]:
            # Plane by plane: all probabilities at once would grow with the number of classes.
            return planes_on_input_grid(self._planes(image, way, progress), image.shape[1:], geometry, largest)

        return Prediction(keep_in_place(self._in_memory(segment, image), affine, places), notes=notes)

    def probabilities(
        self, image: NDArray[np.float32], progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """Mean class probabilities of all networks.

        When the device runs out of memory, fewer windows at a time, sums on the CPU and at last the CPU alone are
        tried, each with a notice.

        Args:
            image: A preprocessed scan (1, D, H, W) in [-1, 1].
            progress: Called with the number of windows done and of all.

        Returns:
            (K, D, H, W).

        Raises:
            ResourceError: The CPU's memory does not suffice either.
        """

        def collect(way: Strategy) -> NDArray[np.float32]:
            """All blocks of planes together."""
            result = np.empty((self.plans.num_classes, *image.shape[1:]), np.float32)
            plane = 0
            for block in self._planes(image, way, progress):
                result[:, plane : plane + block.shape[1]] = block.numpy()
                plane += block.shape[1]
            return result

        return self._in_memory(collect, image)

    def _in_memory(self, compute: Callable[[Strategy], NDArray[Any]], image: NDArray[np.float32]) -> NDArray[Any]:
        """What the first way of computing gives that does not run out of memory."""
        ways = strategies(self.device, self.plans.segmentation.batch_size)
        for index, way in enumerate(ways):
            try:
                return compute(way)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                cause = error
            if index + 1 < len(ways):
                self.notice(f"out of memory with {way}; trying {ways[index + 1]}")
        raise ResourceError(
            "prediction ran out of memory",
            found=f"a volume of {image.shape[1:]} voxels on the planned grid",
            remedy="use a machine with more memory, or crop the scan",
        ) from cause

    def _planes(
        self, image: NDArray[np.float32], way: Strategy, progress: Callable[[int, int], None] | None
    ) -> Iterator[Tensor]:
        """Mean probabilities of all networks in blocks of planes (K, planes, H, W), in the CPU's memory."""
        volume = torch.from_numpy(np.ascontiguousarray(image)).to(way.collect)
        last = self.networks[-1]
        try:
            runs = [
                sliding_planes(
                    volume,
                    _on_device(network, way),
                    self.plans.segmentation.patch_size,
                    self.plans.num_classes,
                    step_size=self.step_size,
                    average=self.plans.inference.average,
                    batch_size=way.batch_size,
                    progress=progress if network is last else None,  # it comes to each window after the others
                )
                for network in self.networks
            ]
            for total, *others in zip(*runs, strict=True):
                for other in others:
                    total.add_(other)
                yield total.div_(len(self.networks)).cpu()
        finally:
            if way.compute != self.device:
                for network in self.networks:
                    if isinstance(network, nn.Module):
                        network.to(self.device)


def _on_device(network: Network, way: Strategy) -> Network:
    """The network as a function from windows to logits, both on the device that collects."""
    if isinstance(network, nn.Module):
        network.to(way.compute)

    def forward(windows: Tensor) -> Tensor:
        with torch.inference_mode(), autocast(way.compute):
            return network(windows.to(way.compute)).float().to(way.collect)

    return forward


def canonical_affine(spacing: tuple[float, float, float], through_plane: str) -> NDArray[np.float64]:
    """Affine (4, 4) of an array that already lies as darnet keeps it.

    Args:
        spacing: mm, (D, H, W).
        through_plane: The body axis that D follows: R, A or S.
    """
    affine = np.diag([0.0, 0.0, 0.0, 1.0])
    for axis, (code, step) in enumerate(zip(CANONICAL_CODES[through_plane], spacing, strict=True)):
        towards = code in BODY
        affine[(BODY if towards else OPPOSITE).index(code), axis] = step if towards else -step
    return affine
