"""Training that goes on with target scans labelled by the network itself."""

from darnet.self_training.pseudo_labels import UNKNOWN, choose_voxels, label_targets, missing_classes
from darnet.self_training.run import train_student

__all__ = ["UNKNOWN", "choose_voxels", "label_targets", "missing_classes", "train_student"]
