"""Synthesis: the style bank and the target-like source volumes."""

from darnet.synthesis.run import STYLE_BANK, synthesis_hash, synthesize, variant_name
from darnet.synthesis.styles import StyleBank, choose_styles, encode_styles
from darnet.synthesis.translate import translate_volume

__all__ = [
    "STYLE_BANK",
    "StyleBank",
    "choose_styles",
    "encode_styles",
    "synthesis_hash",
    "synthesize",
    "translate_volume",
    "variant_name",
]
