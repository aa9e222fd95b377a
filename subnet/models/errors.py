"""Errors of model provenance.

ModelError
├── ManifestError      a manifest cannot be read or contradicts itself
├── AlteredModel       a file, tensor or tokenizer differs from what the manifest says
├── UnsafeModel        pickled weights or remote code: never loaded
├── MissingModel       the files are not on this machine
└── UnsupportedModel   an architecture, tokenizer or format that cannot be run or replayed
"""

from subnet.errors import ModelError


class ManifestError(ModelError):
    """A manifest cannot be read, or contradicts itself."""


class AlteredModel(ModelError):
    """A file, tensor or tokenizer differs from what the manifest says."""


class UnsafeModel(ModelError):
    """The model would need pickle or remote code. Neither is ever run."""


class MissingModel(ModelError):
    """The model's files are not on this machine, and could not be fetched."""


class UnsupportedModel(ModelError):
    """The model's architecture, tokenizer or format cannot be run or replayed here."""
