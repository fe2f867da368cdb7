"""A trained model into one file that says nothing of the scans it was trained on."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from darnet import __version__
from darnet.errors import ConfigurationError
from darnet.inference import load_network
from darnet.inference.checkpoints import checkpoint_of, choose_folds, leave_out_unfinished, segmentation_checkpoint
from darnet.io import load_checkpoint, pack_checkpoint
from darnet.io.files import remove_left_over_folders
from darnet.plans import Plans
from darnet.sharing.archive import PLANS, STAGING, write_archive

# Of a checkpoint's record. The cases of training, and all tensors but the network's, stay behind.
KEPT = ("dataset", "stage", "plan", "labels", "fold", "iteration")
NETWORK = "network."


def export_model(
    results: Path,
    output: Path,
    folds: Sequence[int | str] | str | None = None,
    notice: Callable[[str], None] = warnings.warn,
) -> tuple[list[str], str]:
    """Write the networks of a results folder, and their plan, as one file.

    It holds weights, plan, class names and the name of the data set; no path, no date, no name of a case.

    Args:
        results: A data set's results.
        output: File to write, NAME.zip; it must not be there.
        folds: As in `Predictor.from_results`.
        notice: Gets a sentence where something is done in another way than asked for.

    Returns:
        The folds that were exported, and the SHA-256 of the file.

    Raises:
        ConfigurationError: No trained network, a damaged one, or a file that is there already.
        DiskFull: There is no room for the file.
    """
    _check_output(output)
    remove_left_over_folders(results.absolute().parent, STAGING)
    chosen = choose_folds(results, folds)
    plans = Plans.read(results / "plans.json")
    if folds is None or folds == "all":
        chosen = leave_out_unfinished(results, chosen, plans, notice)
    paths = {}
    for fold in chosen:
        for path in (segmentation_checkpoint(results, fold), checkpoint_of(results, fold, plans, notice=notice)):
            paths[path.relative_to(results).as_posix()] = path
    needed = 0
    for path in paths.values():
        network = load_network(path, plans, notice)  # what cannot be predicted with is not shared
        needed += sum(tensor.nbytes for tensor in network.state_dict().values())
    about = {"darnet": __version__, "dataset": plans.dataset}
    return chosen, write_archive(output, _files(plans, paths, notice), about, needed)


def _check_output(output: Path) -> None:
    if output.suffix != ".zip":
        raise ConfigurationError(
            "the output is no zip",
            where=output,
            expected="such as model.zip",
            remedy="give -o such a name",
        )
    if os.path.lexists(output):
        raise ConfigurationError("there is such a file", where=output, remedy="give another file with -o")
    parent = output.absolute().parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise ConfigurationError("the folder cannot be written to", where=parent, remedy="give another file with -o")


def _files(plans: Plans, paths: dict[str, Path], notice: Callable[[str], None]) -> Iterator[tuple[str, bytes]]:
    """Plan and checkpoints as they are shared."""
    values = without_reasons(plans.to_json())
    values["self_training"]["choose"] = False  # the choice is made: of each fold no other round is shared
    yield PLANS, (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()
    for name, path in sorted(paths.items()):
        tensors, meta = load_checkpoint(path, notice)
        network = {key: tensor for key, tensor in tensors.items() if key.startswith(NETWORK)}
        yield name, pack_checkpoint(network, {key: meta[key] for key in KEPT if key in meta})


def without_reasons(values: Any) -> Any:
    """A plan's JSON without its reasons: they are free text, which may name anything."""
    if isinstance(values, dict):
        return {k: type(v)() if k == "why" else without_reasons(v) for k, v in values.items()}
    return [without_reasons(v) for v in values] if isinstance(values, list) else values
