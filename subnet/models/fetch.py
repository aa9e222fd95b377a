"""Getting a model's files onto this machine: from the Hugging Face hub, resumable, safetensors only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from subnet.models import layout
from subnet.models.errors import MissingModel, UnsafeModel
from subnet.models.manifest import Manifest, Source
from subnet.models.provenance import hub_folder

_GONE = (RepositoryNotFoundError, RevisionNotFoundError, EntryNotFoundError)
_AWAY = (HTTPError, LocalEntryNotFoundError, OSError)


@dataclass(frozen=True, slots=True)
class HubModel:
    """A repository at one commit: the files that a model needs, and the licence its card states."""

    source: Source
    files: tuple[str, ...]
    licence: str


def inspect_hub(repository: str, revision: str | None = None) -> HubModel:
    """What a repository offers, at a commit. Raises MissingModel (not there, not reachable) or UnsafeModel."""
    try:
        info = HfApi().model_info(repository, revision=revision)
    except GatedRepoError as error:
        raise MissingModel(f"{repository} is gated; accept its terms and set HF_TOKEN") from error
    except _GONE as error:
        raise MissingModel(f"the hub has no model {repository}@{revision or 'main'}") from error
    except _AWAY as error:
        raise MissingModel(f"the model hub cannot be reached: {error}") from error
    names = [sibling.rfilename for sibling in info.siblings or []]
    licence = next((tag.removeprefix("license:") for tag in info.tags or [] if tag.startswith("license:")), "unknown")
    source = Source("hub", repository, info.sha or "")
    return HubModel(source, wanted_files(repository, names), licence)


def wanted_files(repository: str, names: list[str]) -> tuple[str, ...]:
    """Of a repository's files those that loading needs. Raises UnsafeModel where the weights are only pickled."""
    top = sorted(name for name in names if "/" not in name)
    weights = [name for name in top if name.endswith(".safetensors")]
    if not weights:
        pickled = next((name for name in top if PurePosixPath(name).suffix in layout.PICKLED), None)
        if pickled:
            raise UnsafeModel(f"{repository} has only {pickled}; pickled weights are never fetched nor loaded")
        raise MissingModel(f"{repository} has no safetensors weights")
    if layout.INDEX not in top and len(weights) > 1:
        weights = [name for name in weights if name == "model.safetensors"] or weights
    return (*(name for name in top if name in layout.WANTED_JSON or name == "chat_template.jinja"), *weights)


def fetch(source: Source, files: tuple[str, ...], store: Path) -> Path:
    """Download files of a hub repository into the cache, resuming what is partly there; returns their folder.

    Progress bars are the hub library's own. Nothing is verified here: `locate` does that. Raises MissingModel.
    """
    folder = hub_folder(source, store)
    for name in files:
        try:
            hf_hub_download(source.name, name, revision=source.revision, local_dir=folder)
        except _GONE as error:
            raise MissingModel(f"the hub has no {name} in {source.name}@{source.revision}") from error
        except _AWAY as error:
            raise MissingModel(
                f"fetching {name} of {source.name} broke off: {error}; run it again to resume"
            ) from error
    return folder


def fetch_manifest(manifest: Manifest, store: Path) -> None:
    """Fetch the files that a manifest lists, if its source is the hub; a wheel comes with pip, a folder is there."""
    if manifest.source.kind == "hub":
        fetch(manifest.source, tuple(record.path for record in manifest.files), store)
