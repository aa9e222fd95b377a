"""Getting a model's files onto this machine: from the Hugging Face hub, resumable, safetensors only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import httpx
from huggingface_hub import HfApi, constants, hf_hub_url
from huggingface_hub.errors import GatedRepoError, HTTPError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils import build_hf_headers

from subnet.models import layout
from subnet.models.download import download
from subnet.models.errors import AlteredModel, MissingModel, UnsafeModel
from subnet.models.hashing import file_sha256
from subnet.models.manifest import Manifest, Source
from subnet.models.provenance import hub_folder

FileTold = Callable[[str, int, int | None], None]

_GONE = (RepositoryNotFoundError, RevisionNotFoundError)
_AWAY = (HTTPError, OSError)


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


def fetch(source: Source, files: Iterable[str], store: Path, told: FileTold | None = None) -> Path:
    """Download files of a hub repository into the cache, resuming what is partly there; returns their folder.

    Files of a commit never change, so those that are whole are left alone. Nothing is verified here: `locate` does
    that. told: (file, bytes that are here, bytes in all or None). Raises MissingModel.
    """
    folder = hub_folder(source, store)
    if constants.HF_HUB_OFFLINE:
        raise MissingModel(f"{source.name} cannot be fetched: HF_HUB_OFFLINE is set; unset it")
    limits = httpx.Timeout(constants.HF_HUB_DOWNLOAD_TIMEOUT)
    with httpx.Client(headers=build_hf_headers(), follow_redirects=True, timeout=limits) as client:
        for name in files:
            if not (folder / name).is_file():
                _fetch_one(client, source, name, folder, told)
    return folder


def _fetch_one(client: httpx.Client, source: Source, name: str, folder: Path, told: FileTold | None) -> None:
    url = hf_hub_url(source.name, name, revision=source.revision)
    tell = (lambda done, total: told(name, done, total)) if told else (lambda _done, _total: None)
    where = f"{name} of {source.name}@{source.revision}"
    try:
        download(client, url, folder / name, tell)
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise MissingModel(f"{source.name} is gated or private; accept its terms and set HF_TOKEN") from error
        if status == 404:
            raise MissingModel(f"the hub has no {where}") from error
        raise MissingModel(f"the hub answers {status} for {where}; run it again to resume") from error
    except (httpx.HTTPError, OSError) as error:
        why = str(error) or type(error).__name__
        raise MissingModel(f"fetching {where} broke off: {why}; run it again to resume") from error


def fetch_manifest(manifest: Manifest, store: Path, told: FileTold | None = None) -> None:
    """Fetch the files that a manifest lists, if its source is the hub; a wheel comes with pip, a folder is there.

    Each file is compared with the manifest, and deleted where it differs. Raises MissingModel or AlteredModel.
    """
    if manifest.source.kind != "hub":
        return
    folder = hub_folder(manifest.source, store)
    for record in manifest.files:
        fetch(manifest.source, (record.path,), store, told)
        found = file_sha256(folder / record.path)
        if found != record.sha256:
            (folder / record.path).unlink()
            raise AlteredModel(
                f"{record.path}: SHA-256 of what {manifest.source.name} gave is {found}, the manifest says "
                f"{record.sha256}; it was deleted and nothing of it is used"
            )
