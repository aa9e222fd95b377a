"""Which manifests this installation knows by name, and reading one from a path."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from subnet.models.errors import ManifestError
from subnet.models.manifest import Manifest

DEFAULT_MODEL = "smollm2-135m-instruct"
FOLDER_MANIFEST = "assay.json"


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A manifest, and the folder of its file where it did not come with this package."""

    manifest: Manifest
    base: Path | None = None


def builtin_manifests() -> tuple[Manifest, ...]:
    """The manifests that come with this package, by name."""
    found = [
        Manifest.loads(entry.read_text("utf-8"))
        for entry in resources.files("subnet.models").joinpath("manifests").iterdir()
        if entry.name.endswith(".json")
    ]
    return tuple(sorted(found, key=lambda manifest: manifest.name))


def builtin_manifest(name: str = DEFAULT_MODEL) -> Manifest:
    """A manifest of this package. Raises ManifestError for an unknown name."""
    for manifest in builtin_manifests():
        if manifest.name == name:
            return manifest
    names = ", ".join(manifest.name for manifest in builtin_manifests())
    raise ManifestError(f"no built-in model is called {name!r}; there are {names}, or give the path of a manifest")


def find_model(name: str | Path | Manifest) -> NamedModel:
    """A built-in name, the path of a manifest, of a folder with an assay.json, or a manifest. Raises ManifestError."""
    if isinstance(name, Manifest):
        return NamedModel(name)
    path = Path(name)
    if path.is_dir():
        path = path / FOLDER_MANIFEST
        if not path.is_file():
            raise ManifestError(
                f"{path} does not exist; `python -m subnet.models manifest {path.parent} --output {path}` writes it"
            )
    if path.suffix == ".json" or path.is_file():
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ManifestError(f"cannot read the manifest {path}: {error}") from error
        return NamedModel(Manifest.loads(text), path.resolve().parent)
    return NamedModel(builtin_manifest(str(name)))
