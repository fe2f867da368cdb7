"""The style bank: styles of all target slices, clustered into n_k classes (section III.B, start)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from darnet.errors import ConfigurationError
from darnet.io import CaseStore, read_json
from darnet.networks import Translator
from darnet.plans import TranslationPlan
from darnet.training.loaders import SliceTable, load_slice


@dataclass(frozen=True)
class StyleBank:
    """Styles of target slices and their clusters.

    Attributes:
        codes: (S, style_dim) style codes.
        clusters: (S,) cluster of each, 0 to n_k - 1.
        medoids: (n_k,) index of the code nearest to each cluster's centre.
        cases: Case of each code.
        indices: Index along D of each code's slice.
    """

    codes: np.ndarray
    clusters: np.ndarray
    medoids: np.ndarray
    cases: tuple[str, ...]
    indices: tuple[int, ...]

    @property
    def number_of_styles(self) -> int:
        """Number of clusters, n_k."""
        return len(self.medoids)

    def to_json(self) -> dict[str, object]:
        """Plain JSON values."""
        return {
            "codes": np.round(self.codes, 6).tolist(),
            "clusters": self.clusters.tolist(),
            "medoids": self.medoids.tolist(),
            "cases": list(self.cases),
            "indices": list(self.indices),
        }

    @classmethod
    def read(cls, path: Path) -> StyleBank:
        """Read a style bank that `to_json` gave.

        Raises:
            ConfigurationError: No such file, not JSON, or of another form.
        """
        values = read_json(path)
        try:
            codes, clusters, medoids = (np.asarray(values[key]) for key in ("codes", "clusters", "medoids"))
            bank = cls(codes.astype(np.float64), clusters, medoids, tuple(values["cases"]), tuple(values["indices"]))
            if codes.ndim != 2 or not len(codes) == len(clusters) == len(bank.cases) == len(bank.indices):
                raise ValueError(f"{codes.shape} codes of {len(clusters)} slices")
        except (TypeError, KeyError, ValueError) as error:
            raise ConfigurationError(
                "the style bank has another form", where=path, found=error, remedy="run darnet_train --stage synthesis"
            ) from None
        return bank


@torch.no_grad()
def encode_styles(
    translator: Translator,
    store: CaseStore,
    table: SliceTable,
    plan: TranslationPlan,
    batch_size: int,
    device: torch.device,
) -> np.ndarray:
    """Style codes (S, style_dim) of all slices of a table of target slices.

    A translator that learned from windows has seen less padding than whole slices may have, which would change
    the codes: its slices are padded to no more than a window.
    """
    sizes = [_size_of(plan, store.record(case).shape[1:]) for case in table.cases]
    codes, start = [], 0
    while start < len(table):
        stop = start + 1
        while stop < min(start + batch_size, len(table)) and sizes[stop] == sizes[start]:
            stop += 1
        slices = [load_slice(store, table.cases[i], table.indices[i], sizes[start]) for i in range(start, stop)]
        batch = torch.from_numpy(np.stack(slices))[:, None].to(device)
        codes.append(translator.style(batch, "target").float().cpu().numpy())
        start = stop
    return np.concatenate(codes)


def _size_of(plan: TranslationPlan, shown: tuple[int, int]) -> tuple[int, int]:
    """Pixels (H, W) that a stored slice of so many is fitted to."""
    (h, w), (height, width), (least_h, least_w) = shown, plan.slice_size, plan.training_size
    return min(max(h, least_h), height), min(max(w, least_w), width)


def cluster_styles(codes: np.ndarray, table: SliceTable, number_of_styles: int, seed: int) -> StyleBank:
    """Cluster style codes (S, style_dim) with k-means.

    Raises:
        ConfigurationError: Fewer different codes than clusters.
    """
    from sklearn.cluster import KMeans

    different = len(np.unique(np.round(codes, 6), axis=0))
    if different < number_of_styles:
        raise ConfigurationError(
            "there are fewer different target styles than clusters",
            found=f"{different} styles of {len(codes)} slices",
            expected=f"at least {number_of_styles}",
            remedy="add target scans, or lower synthesis.number_of_styles in plans.json",
        )
    fit = KMeans(number_of_styles, n_init=10, random_state=seed).fit(codes.astype(np.float64))
    clusters = fit.labels_.astype(np.int64)
    distance = np.linalg.norm(codes - fit.cluster_centers_[clusters], axis=1)
    medoids = np.array(
        [np.flatnonzero(clusters == k)[distance[clusters == k].argmin()] for k in range(number_of_styles)]
    )
    return StyleBank(codes, clusters, medoids, table.cases, table.indices)


def lonely_styles(bank: StyleBank) -> list[str]:
    """A sentence for each cluster of one slice: an outlier, in whose style every source volume would be drawn."""
    sizes = np.bincount(bank.clusters, minlength=bank.number_of_styles)
    sentences = []
    for k in np.flatnonzero(sizes == 1):
        case, plane = bank.cases[bank.medoids[k]], bank.indices[bank.medoids[k]]
        sentences.append(
            f"style {k + 1} is that of a single slice ({case}, plane {plane}): look at synthetic/style_space.png, and "
            "lower synthesis.number_of_styles in plans.json if it is an outlier"
        )
    return sentences


def choose_styles(bank: StyleBank, choice: str, rng: np.random.Generator) -> np.ndarray:
    """One code a cluster for one source volume, (n_k, style_dim); the mean of all codes, (1, style_dim), for "mean".

    Args:
        bank: The style bank.
        choice: "random", "medoid" or "mean".
        rng: Seeded by the source case, so that a volume gets the same styles again.
    """
    if choice == "mean":
        return np.asarray(bank.codes.mean(axis=0, keepdims=True))
    if choice == "medoid":
        return np.asarray(bank.codes[bank.medoids])
    picks = [rng.choice(np.flatnonzero(bank.clusters == k)) for k in range(bank.number_of_styles)]
    return np.asarray(bank.codes[picks])
