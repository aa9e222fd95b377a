"""Write the sample bundle of the documentation: the real model, a miner that cheats with its KV cache, a made-up chain.

    python scripts/sample_bundle.py [--output docs/sample-bundle.json]

Run it again whenever the default model's manifest or its tolerance profile changes: a bundle names both by digest.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from loguru import logger  # noqa: E402

from subnet import __version__  # noqa: E402
from subnet.models import builtin_manifest, load_model, load_tokenizer  # noqa: E402
from subnet.verify.profile import ToleranceProfile, load_profile  # noqa: E402
from tests.evidence.world import World, block_hash, key  # noqa: E402
from tests.zoo.engines import CHEATS  # noqa: E402

QUESTIONS = (
    "Tell a short story about a lighthouse keeper who collects echoes.",
    "Suggest five names for a small bakery and say why each fits.",
    "Describe an imaginary animal that lives in old libraries.",
    "Write a letter from a bicycle to its owner.",
    "What would a city look like if rain fell upwards?",
    "Invent a holiday and explain how people celebrate it.",
    "Explain to a child why the sky changes its colour in the evening.",
    "Make up a riddle about a shadow, and solve it.",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "sample-bundle.json")
    parser.add_argument("--adversary", choices=sorted(CHEATS), default="fp8_kv")
    parser.add_argument("--answers", type=int, default=24)
    parser.add_argument("--tokens", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    manifest = builtin_manifest()
    if manifest.tolerance.profile:
        profile = ToleranceProfile.from_json(json.dumps(dict(manifest.tolerance.profile)))
    else:
        profile = load_profile(f"{manifest.name}-{manifest.tolerance.tolerance_class}")
    model = load_model(manifest, dtype="float32", threads=options.threads)
    tokenizer = load_tokenizer(manifest)
    world = World(
        validator=key("Sample validator"),
        miner=key("Sample miner"),
        manifest=manifest,
        profile=profile,
        rate_ppm=400_000,
        model=model,
        prompts=tuple(tokenizer.chat([{"role": "user", "content": question}]) for question in QUESTIONS),
        text=tokenizer.decode,
        software=(f"assay {__version__}", f"torch {version('torch')}", f"numpy {version('numpy')}"),
    )
    kept = world.answers(CHEATS[options.adversary], options.answers, options.tokens)
    signed = world.bundle(kept)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_bytes(signed.to_bytes())
    logger.info(
        "{}: {} bytes, {} (at token {}), genesis {}",
        options.output,
        options.output.stat().st_size,
        signed.bundle.verdict,
        signed.bundle.accused_at,
        (block_hash(0) or b"").hex()[:16],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
