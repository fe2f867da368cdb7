"""Pure array tools: orientation, crop, resample, normalize, patches, sliding window, components."""

from darnet.imaging.components import keep_largest, largest_component, largest_fraction
from darnet.imaging.crop import Box, box_of, crop, crop_to_depth, paste
from darnet.imaging.foreground import foreground_mask
from darnet.imaging.normalize import normalize
from darnet.imaging.orientation import (
    Orientation,
    body_axes,
    determine_orientation,
    from_canonical,
    spacing_of,
    to_canonical,
)
from darnet.imaging.patches import pad_to, patch_box
from darnet.imaging.resample import (
    resample_image,
    resample_labels,
    resample_probabilities,
    resample_probabilities_to_labels,
    shape_at_spacing,
)
from darnet.imaging.sliding_window import gaussian_weights, sliding_window, window_starts

__all__ = [
    "Box",
    "Orientation",
    "body_axes",
    "box_of",
    "crop",
    "crop_to_depth",
    "determine_orientation",
    "foreground_mask",
    "from_canonical",
    "gaussian_weights",
    "keep_largest",
    "largest_component",
    "largest_fraction",
    "normalize",
    "pad_to",
    "paste",
    "patch_box",
    "resample_image",
    "resample_labels",
    "resample_probabilities",
    "resample_probabilities_to_labels",
    "shape_at_spacing",
    "sliding_window",
    "spacing_of",
    "to_canonical",
    "window_starts",
]
