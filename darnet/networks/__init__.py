"""Networks: DAR-UNet, the translator and the discriminators."""

from darnet.networks.attention import QuartetAttention, VoxelAttention, z_pool
from darnet.networks.build import Discriminators, build_discriminators, build_segmentation, build_translator
from darnet.networks.dar_unet import DARUNet
from darnet.networks.discriminators import ContentDiscriminator, ImageDiscriminator
from darnet.networks.translation import ContentEncoder, Decoder, StyleEncoder, Translator, adaptive_instance_norm

__all__ = [
    "ContentDiscriminator",
    "ContentEncoder",
    "DARUNet",
    "Decoder",
    "Discriminators",
    "ImageDiscriminator",
    "QuartetAttention",
    "StyleEncoder",
    "Translator",
    "VoxelAttention",
    "adaptive_instance_norm",
    "build_discriminators",
    "build_segmentation",
    "build_translator",
    "z_pool",
]
