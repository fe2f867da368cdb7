"""Phantoms of other organs and other kinds of scans than the demo's, as raw data sets of darnet.

    python -m benchmarks.phantoms abdomen --root ROOT [--seed 0]    # ROOT/raw/Dataset902_AbdomenT1T2
    python -m benchmarks.phantoms head --root ROOT [--seed 0]       # ROOT/raw/Dataset901_HeadT1T2
    python -m benchmarks.phantoms heart --root ROOT [--seed 0]      # ROOT/raw/Dataset903_HeartCT2MR

From T1-weighted to T2-weighted MR nearly all that is bright becomes dark.

Labels of the target's training scans lie in `labelsTr_target`, which the row `supervised` of darnet_experiment alone
reads.
"""

from __future__ import annotations

import argparse
import shutil
from functools import partial
from pathlib import Path

from benchmarks.drawn import write_phantoms
from benchmarks.head_phantoms import HEADS
from benchmarks.heart_phantoms import HEARTS
from darnet.demo.dataset import SUPERVISED, T1, write_demo_dataset

NAMES = {"head": "Dataset901_HeadT1T2", "abdomen": "Dataset902_AbdomenT1T2", "heart": "Dataset903_HeartCT2MR"}
TEST_CASES = 6


def write_abdomen_dataset(folder: Path, seed: int = 0) -> None:
    """Write a raw data set of the demo's anatomies: labelled T1, unlabelled T2, labelled T2 for evaluation."""
    write_demo_dataset(folder, seed, test_cases=TEST_CASES, source=T1)
    shutil.rmtree(folder / "labelsTr_target", ignore_errors=True)
    (folder / SUPERVISED / "labelsTr").rename(folder / "labelsTr_target")
    shutil.rmtree(folder / SUPERVISED)


def main() -> None:
    """Write the data set that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=sorted(NAMES))
    parser.add_argument("--root", type=Path, required=True, help="root of darnet's data")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder = arguments.root / "raw" / NAMES[arguments.kind]
    write = {
        "head": partial(write_phantoms, phantom=HEADS),
        "abdomen": write_abdomen_dataset,
        "heart": partial(write_phantoms, phantom=HEARTS),
    }
    write[arguments.kind](folder, seed=arguments.seed)
    print(f"darnet: wrote {folder}")


if __name__ == "__main__":
    main()
