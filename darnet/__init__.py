"""darnet: self-configuring 3D unsupervised domain adaptation for medical image segmentation."""

__version__ = "0.1.0"
