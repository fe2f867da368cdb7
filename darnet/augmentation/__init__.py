"""Random augmentation of slices and patches. Parameters are sampled apart from being applied."""

from darnet.augmentation.curves import slices_along_curves
from darnet.augmentation.matching import (
    Appearance,
    draw_any_curve,
    draw_appearance,
    draw_curve,
    fill_unseen,
    keep_order,
    match_appearance,
    measure_appearance,
    measure_quantiles,
)
from darnet.augmentation.patches import PatchTransform, apply_patch_transform, sample_patch_transform
from darnet.augmentation.positions import (
    LEAST_EXPLAINED,
    Expected,
    draw_expected,
    draw_near,
    expect_appearance,
    histogram_of_places,
    shares_of_places,
)
from darnet.augmentation.slices import (
    SliceTransform,
    apply_slice_transform,
    apply_slice_transform_to_labels,
    sample_slice_transform,
)

__all__ = [
    "LEAST_EXPLAINED",
    "Appearance",
    "Expected",
    "PatchTransform",
    "SliceTransform",
    "apply_patch_transform",
    "apply_slice_transform",
    "apply_slice_transform_to_labels",
    "draw_any_curve",
    "draw_appearance",
    "draw_curve",
    "draw_expected",
    "draw_near",
    "expect_appearance",
    "fill_unseen",
    "histogram_of_places",
    "keep_order",
    "match_appearance",
    "measure_appearance",
    "measure_quantiles",
    "sample_patch_transform",
    "sample_slice_transform",
    "shares_of_places",
    "slices_along_curves",
]
