"""Synthesis: the style bank and the target-like source volumes."""

from darnet.synthesis.run import STYLE_BANK, synthesis_hash, synthesize, variant_name
from darnet.synthesis.styles import StyleBank, choose_styles, cluster_styles, encode_styles
from darnet.synthesis.translate import refuse_collapse, translate_volume

__all__ = [
    "STYLE_BANK",
    "StyleBank",
    "choose_styles",
    "cluster_styles",
    "encode_styles",
    "refuse_collapse",
    "synthesis_hash",
    "synthesize",
    "translate_volume",
    "variant_name",
]
