"""Memory and time of a row: measured on a few iterations beforehand, and read from the logs afterwards."""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import torch

from darnet.errors import ResourceError, is_out_of_memory
from darnet.experiment.rows import TRANSLATED, Row
from darnet.io import CaseStore, read_json, write_json
from darnet.plans import Plans
from darnet.training import SegmentationStep, measure_time
from darnet.training.hooks import read_log, seconds_of
from darnet.training.lines import peak_memory_gb
from darnet.training.loaders import PatchLoader

ITERATIONS = 2  # the first makes the optimizer's moments, the second has all that an iteration ever has


def network_of(plans: Plans) -> str:
    """All that time and memory of an iteration of the DAR-UNet depend on, as text."""
    plan = plans.segmentation
    attention = (plan.quartet_attention, plan.voxel_attention, plan.deep_supervision)
    return f"{plan.patch_size} {plan.batch_size} {plan.channels} {plan.strides} {attention} {plans.num_classes}"


def memory_of_training(plans: Plans, source: CaseStore, device: torch.device, record: Path) -> float | None:
    """Memory in GB that training of the DAR-UNet takes on top of the packages; measured once for each network.

    It is the peak of two iterations in a process of its own, on a GPU the most that torch has allocated.

    Args:
        plans: The plan.
        source: Store of labelled scans.
        device: Where to compute.
        record: JSON file of what was measured before.

    Returns:
        None where the system does not tell, or memory does not suffice.
    """
    key = f"{device.type} {network_of(plans)}"
    known = read_json(record) if record.exists() else {}
    if key not in known:
        try:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                known[key] = pool.submit(_peak_gb, plans, source.folder, device.type).result()
        except (BrokenProcessPool, OSError):
            return None
        record.parent.mkdir(parents=True, exist_ok=True)
        write_json(record, known)
    value: float | None = known[key]
    return value


def _peak_gb(plans: Plans, source: Path, device: str) -> float | None:
    """The other process: two iterations, and what they have taken."""
    store, where = CaseStore(source), torch.device(device)
    before = _high_water_gb(where)
    try:
        loader = PatchLoader(store, store, {case: (case,) for case in store.case_ids()[:1]}, plans.segmentation)
        step = SegmentationStep(plans.segmentation, plans.num_classes, loader, where, plans.seed, "memory")
        for iteration in range(ITERATIONS):
            step.update(iteration)
    except Exception as error:
        if is_out_of_memory(error) or isinstance(error, ResourceError):
            return None
        raise
    after = _high_water_gb(where)
    return None if before is None or after is None else round(after - before, 3)


def _high_water_gb(device: torch.device) -> float | None:
    """Most memory so far of the GPU, or of this process since its program was started."""
    if device.type == "cpu" and sys.platform == "linux":
        # A process that another one started counts that one's memory too, everywhere but here.
        for line in Path("/proc/self/status").read_text("ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**20
    return peak_memory_gb(device) if device.type in ("cpu", "cuda") else None


def training_seconds(folder: Path) -> float:
    """Seconds of the iterations that a training's weights come from, out of its log; 0 where there is none.

    Iterations that were done again after an interruption count once.
    """
    return seconds_of(read_log(folder / "log.jsonl"))


class Estimate:
    """How long rows will take here: a few iterations of each network, timed once.

    Args:
        source: Store of labelled source scans.
        target: Store of target scans.
        device: Where training will be.
    """

    def __init__(self, source: CaseStore, target: CaseStore, device: torch.device) -> None:
        self.source, self.target, self.device = source, target, device
        self._seconds: dict[str, tuple[float, float]] = {}
        self._translators: set[Path] = set()

    def add(self, row: Row, plans: Plans, translation: Path) -> float:
        """Seconds of training that a row needs; a translator that another row before it trains is not counted.

        Args:
            row: The row.
            plans: Its plan.
            translation: Folder of its translator.

        Raises:
            DarnetError: A stored case cannot be read.
            RuntimeError: An iteration does not fit the device.
        """
        translator, step = self._an_iteration(plans)
        rounds = plans.self_training.rounds * plans.self_training.iterations if row.images == TRANSLATED else 0
        seconds = step * (plans.segmentation.iterations + rounds)
        if row.images == TRANSLATED and plans.translates and translation not in self._translators:
            self._translators.add(translation)
            done = sum(line["iteration"] for line in read_log(translation / "log.jsonl")[-1:])
            seconds += translator * max(plans.translation.iterations - done, 0)
        return seconds

    def _an_iteration(self, plans: Plans) -> tuple[float, float]:
        """Seconds of an iteration of the translator and of the DAR-UNet."""
        key = f"{plans.translates} {plans.translation} {network_of(plans)}"
        if key not in self._seconds:
            expected = measure_time(plans, self.source, self.target, self.device)
            lengths = (plans.translation.iterations, plans.segmentation.iterations)
            self._seconds[key] = (expected.translation / lengths[0], expected.segmentation / lengths[1])
        return self._seconds[key]
