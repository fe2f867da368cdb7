"""A trained model as one file: exported without anything of the scans, imported without trust."""

from darnet.sharing.archive import Entry, check_entries, extract, write_archive
from darnet.sharing.export import export_model
from darnet.sharing.install import import_model

__all__ = ["Entry", "check_entries", "export_model", "extract", "import_model", "write_archive"]
