"""A trained model as one file: exported without anything of the scans, imported without trust."""

from darnet.sharing.export import export_model
from darnet.sharing.install import import_model

__all__ = ["export_model", "import_model"]
