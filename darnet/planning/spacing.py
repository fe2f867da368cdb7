"""The grid that both domains are brought to."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from darnet.planning.fields import determine_fields, largest_body
from darnet.planning.fingerprint import Fingerprint, Triple
from darnet.planning.presets import Preset
from darnet.plans import LABEL_MARGIN

FEW = 0.1  # a smaller share of scans does not decide how all others are turned, but for half of a domain
LEAST_CLASS_VOXELS = 200  # a class must keep so many when the grid is made coarser


def round_spacing(value: float) -> float:
    """Two significant digits: a plan is read by people."""
    return float(f"{value:.2g}")


def determine_spacing(fingerprint: Fingerprint, preset: Preset) -> tuple[Triple, str]:
    """Spacing (D, H, W) in mm for both domains and its reason.

    The geometric mean of the two domains' medians, the same along both in-plane axes. A preset with a limit of pixels
    makes planes coarser until the body fits, or as much of it as both domains show, and planes no thinner than twice
    the in-plane spacing, unless the smallest class would get too small.
    """
    source, target = fingerprint.median("source", "spacing"), fingerprint.median("target", "spacing")
    plane = math.sqrt(math.sqrt(source[1] * source[2]) * math.sqrt(target[1] * target[2]))
    through = math.sqrt(source[0] * target[0])
    why = f"geometric mean of the medians: source {_text(source)}, target {_text(target)} mm (through plane, in plane)"
    if preset.plane_pixels is not None:
        fields = determine_fields(fingerprint)
        extent = max(fields.shared)
        coarse = max(plane, extent / preset.plane_pixels)
        smallest = _smallest_class(fingerprint)
        voxel = smallest * 1000 / LEAST_CLASS_VOXELS  # mm3, of planes that are two pixels thick or as thick as they are
        fine_enough = min((voxel / 2) ** (1 / 3), math.sqrt(voxel / through))
        limited = max(plane, min(coarse, fine_enough))
        if coarse > plane:
            why += "; made coarser" if limited > plane else "; not made coarser"
            bounded = extent < max(largest_body(fingerprint))
            shown = f"{extent:.0f} mm of the body" if bounded else f"the body of {extent:.0f} mm"
            why += f" so that {shown} fills about {preset.plane_pixels} pixels" + (f": {fields.why}" if bounded else "")
        least = f"{LEAST_CLASS_VOXELS} voxels for the smallest class ({smallest:.2g} ml)"
        if plane**2 * through > voxel:
            why += f"; the smallest class ({smallest:.2g} ml) has less than {LEAST_CLASS_VOXELS} voxels even so"
        elif limited < coarse:
            why += f", but not beyond {least}" if limited > plane else f", which would leave less than {least}"
        thick = max(through, min(2 * limited, voxel / limited**2))
        if thick > through:
            why += "; planes made thicker, to two pixels" + (f" but for {least}" if thick < 2 * limited else "")
        plane, through = limited, thick
    plane, through = round_spacing(plane), round_spacing(max(through, plane))
    return (through, plane, plane), why


def determine_through_plane(fingerprint: Fingerprint) -> tuple[str, str]:
    """Body axis that D follows in isotropic scans: that of most anisotropic ones, S where these are few or none.

    Half of the scans of a domain are not few, however many the other domain has.
    """
    axes = Counter(case.through_plane for case in fingerprint.cases if case.has_planes)
    count, cases = axes.total(), len(fingerprint.cases)
    domains = [fingerprint.of(domain) for domain in ("source", "target")]
    half = any(2 * sum(case.has_planes for case in domain) >= len(domain) > 0 for domain in domains)
    if count == 0 or (count < FEW * cases and not half):
        return "S", f"{count} of {cases} scans are anisotropic: axial planes"
    axis, count = axes.most_common(1)[0]
    return axis, f"the planes of {count} of {axes.total()} anisotropic scans lie across this axis"


def determine_source_depth(fingerprint: Fingerprint) -> tuple[float | None, str]:
    """Extent in mm along D to which source scans are cropped about their labels, or None to keep all."""
    target = fingerprint.median("target", "field_of_view")[0]
    source = float(np.percentile([case.field_of_view[0] for case in fingerprint.of("source")], 90))
    if source <= 1.1 * target:
        why = (
            f"nine of ten source scans have at most {source:.0f} mm along D, no more than a tenth above target scans "
            f"({target:.0f} mm)"
        )
        return None, why
    labelled = float(np.percentile([case.label_extent[0] for case in fingerprint.of("source")], 90)) + 2 * LABEL_MARGIN
    depth = round(max(target, labelled))
    return float(depth), (
        f"source scans (up to {source:.0f} mm) are longer than target scans ({target:.0f} mm): cropped about their "
        "labels to the target's field of view, or to the labels with "
        f"{LABEL_MARGIN:.0f} mm on both sides where that is more"
    )


def _smallest_class(fingerprint: Fingerprint) -> float:
    """Median volume in ml of the smallest class, over the cases that show it."""
    volumes: dict[str, list[float]] = {}
    for case in fingerprint.of("source"):
        for name, ml in case.class_ml.items():
            if ml > 0:
                volumes.setdefault(name, []).append(ml)
    return min(float(np.median(v)) for v in volumes.values())


def _text(spacing: Triple) -> str:
    return " x ".join(f"{s:.2f}" for s in spacing)
