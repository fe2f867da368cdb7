"""Networks: DAR-UNet, the translators and the discriminators."""

from darnet.networks.attention import QuartetAttention, VoxelAttention
from darnet.networks.build import (
    AnyTranslator,
    build_discriminators,
    build_entangled,
    build_patch_discriminators,
    build_segmentation,
    build_translator,
)
from darnet.networks.cycle_gan import EntangledTranslator, OverlappingPatchDiscriminator, ResNetGenerator
from darnet.networks.dar_unet import DARUNet
from darnet.networks.discriminators import ContentDiscriminator, ImageDiscriminator
from darnet.networks.instance_norm import adaptive_instance_norm
from darnet.networks.translation import ContentEncoder, ContentHead, Decoder, StyleEncoder, Translator

__all__ = [
    "AnyTranslator",
    "ContentDiscriminator",
    "ContentEncoder",
    "ContentHead",
    "DARUNet",
    "Decoder",
    "EntangledTranslator",
    "ImageDiscriminator",
    "OverlappingPatchDiscriminator",
    "QuartetAttention",
    "ResNetGenerator",
    "StyleEncoder",
    "Translator",
    "VoxelAttention",
    "adaptive_instance_norm",
    "build_discriminators",
    "build_entangled",
    "build_patch_discriminators",
    "build_segmentation",
    "build_translator",
]
