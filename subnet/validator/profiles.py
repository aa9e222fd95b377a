"""Which tolerance profile belongs to a model."""

from __future__ import annotations

import json
from dataclasses import replace

from subnet.models import Manifest
from subnet.verify.profile import ToleranceProfile, load_profile


def profile_of(manifest: Manifest, threshold: float | None = None) -> ToleranceProfile:
    """The profile inside the manifest, else the one shipped for its name and class.

    `threshold` replaces the profile's where it differs: then the profile, and evidence made with it, is another one.
    Raises ConfigError where there is no profile: such a model cannot be verified.
    """
    kind, inside = manifest.tolerance.tolerance_class, dict(manifest.tolerance.profile)
    if "bound" in inside:
        profile = ToleranceProfile.from_json(json.dumps(inside))
    else:
        profile = load_profile(f"{manifest.name.removesuffix('-' + kind)}-{kind}")
    return profile if not threshold or threshold == profile.threshold else replace(profile, threshold=threshold)
