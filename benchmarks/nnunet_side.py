"""What nnU-Net's own Python does for the benchmarks; `benchmarks/nnunet.py` starts it. Darnet is not imported here.

One line of JSON in, one out: {"what": name of a function, ...its arguments}.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

import torch
from nnunetv2.paths import nnUNet_preprocessed, nnUNet_results
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch.utils.flop_counter import FlopCounterMode

TRAINER, PLANS, CONFIGURATION = "nnUNetTrainer", "nnUNetPlans", "3d_fullres"
network: torch.nn.Module | None = None
patch: torch.Tensor | None = None


def build(dataset: str, classes: int) -> dict:
    """Build the network that nnU-Net has planned for a data set; gives its patch size and what it costs."""
    global network, patch
    plans = PlansManager(str(Path(nnUNet_preprocessed) / dataset / f"{PLANS}.json"))
    configuration = plans.get_configuration(CONFIGURATION)
    torch.manual_seed(0)
    network = get_network_from_plans(
        configuration.network_arch_class_name,
        configuration.network_arch_init_kwargs,
        configuration.network_arch_init_kwargs_req_import,
        1,
        classes,
        allow_init=True,
        deep_supervision=False,
    ).eval()
    size = [int(n) for n in configuration.patch_size]
    patch = torch.randn(1, 1, *size)
    with FlopCounterMode(display=False) as counter:
        forward()
    return {
        "operations": float(counter.get_total_flops()),
        "patch_size": size,
        "spacing": [float(s) for s in configuration.spacing],
        "weights": sum(p.numel() for p in network.parameters()),
        "class": type(network).__name__,
    }


def forward() -> dict:
    """The network on one patch, as nnU-Net's predictor calls it."""
    assert network is not None
    with torch.inference_mode():
        return {"shape": list(network(patch).shape)}


def save(dataset: str) -> dict:
    """Write the network, untrained, as a finished fold 0."""
    assert network is not None
    source = Path(nnUNet_preprocessed) / dataset
    folder = Path(nnUNet_results) / dataset / f"{TRAINER}__{PLANS}__{CONFIGURATION}"
    (folder / "fold_0").mkdir(parents=True, exist_ok=True)
    (folder / "plans.json").write_text((source / f"{PLANS}.json").read_text())
    for name in ("dataset.json", "dataset_fingerprint.json"):
        (folder / name).write_text((source / name).read_text())
    weights = {
        "network_weights": network.state_dict(),
        "trainer_name": TRAINER,
        "init_args": {"configuration": CONFIGURATION},
        "inference_allowed_mirroring_axes": None,
    }
    torch.save(weights, folder / "fold_0" / "checkpoint_final.pth")
    return {"folder": str(folder)}


FUNCTIONS = {"build": build, "forward": forward, "save": save}


def main() -> None:
    """Answer until the input ends."""
    answers = sys.stdout
    for line in sys.stdin:
        question = json.loads(line)
        with contextlib.redirect_stdout(sys.stderr):  # nnU-Net may print
            answer = FUNCTIONS[question.pop("what")](**question)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
