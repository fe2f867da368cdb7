"""Pure array tools: orientation, crop, resample, normalize, patches, sliding window, components,
flicker along depth, planes and surfaces to look at."""

from darnet.imaging.components import count_components, keep_largest, largest_fraction
from darnet.imaging.contrast import AIR, BACKGROUND, invert_contrast
from darnet.imaging.crop import Box, box_of, crop, paste, shorten
from darnet.imaging.flicker import BODY_ABOVE, differences_along, flicker, relative_difference
from darnet.imaging.foreground import foreground_mask
from darnet.imaging.neighbours import neighbour_offsets
from darnet.imaging.normalize import normalize
from darnet.imaging.orientation import (
    Orientation,
    body_axes,
    canonical_view,
    determine_orientation,
    from_canonical,
    spacing_of,
    to_canonical,
)
from darnet.imaging.padding import without_padding
from darnet.imaging.patches import pad_to, patch_box
from darnet.imaging.places import keep_in_place
from darnet.imaging.planes import PlaneView, cut_plane, plane_across, plane_of_most_labels, plane_views
from darnet.imaging.resample import (
    resample_image,
    resample_labels,
    resample_planes_to_labels,
    resample_probabilities,
    shape_at_spacing,
)
from darnet.imaging.sliding_window import gaussian_weights, sliding_planes, window_starts
from darnet.imaging.surfaces import colour_of, label_colours, render_surfaces

__all__ = [
    "AIR",
    "BACKGROUND",
    "BODY_ABOVE",
    "Box",
    "Orientation",
    "PlaneView",
    "body_axes",
    "box_of",
    "canonical_view",
    "colour_of",
    "count_components",
    "crop",
    "cut_plane",
    "determine_orientation",
    "differences_along",
    "flicker",
    "foreground_mask",
    "from_canonical",
    "gaussian_weights",
    "invert_contrast",
    "keep_in_place",
    "keep_largest",
    "label_colours",
    "largest_fraction",
    "neighbour_offsets",
    "normalize",
    "pad_to",
    "paste",
    "patch_box",
    "plane_across",
    "plane_of_most_labels",
    "plane_views",
    "relative_difference",
    "render_surfaces",
    "resample_image",
    "resample_labels",
    "resample_planes_to_labels",
    "resample_probabilities",
    "shape_at_spacing",
    "sliding_planes",
    "spacing_of",
    "to_canonical",
    "window_starts",
    "without_padding",
    "shorten",
]
