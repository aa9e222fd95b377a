"""Known answers: what the right model says, so that a validator finds out that its own replay is broken.

A validator whose replay is outside the class (narrow arithmetic, TF32, a broken kernel, an altered library) would see
cheats everywhere. So it replays answers that are known to be right before it judges anybody, and judges itself with
the test it judges miners with. Stored ones were made once, on another machine, from the tensors they name; a model
without any is asked itself, which finds less: that its replay and its decoding disagree.

`python -m subnet.verify.known MODEL OUTPUT` makes a file of them.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from subnet.engine.causal import CausalModel
from subnet.engine.decode import Completion, DecodeJob, decode
from subnet.errors import AssayError, EngineError
from subnet.models import Manifest, load_model, load_tokenizer
from subnet.models.chat import ChatTokenizer
from subnet.models.registry import find_model
from subnet.sampling import Sampling
from subnet.verify.profile import ToleranceProfile, load_profile
from subnet.verify.selftest import SelfTestReport, judge_answers, self_test_jobs

FOLDER = Path(__file__).parent / "known_answers"
TOKENS = 256
OWN_TOKENS = 96


@dataclass(frozen=True, slots=True)
class KnownAnswers:
    """Completions by the float32 model with these tensors (`Weights.tensor_root`, hexadecimal)."""

    tensor_root: str
    jobs: tuple[DecodeJob, ...]
    completions: tuple[Completion, ...]

    def dumps(self) -> str:
        rows = [
            {
                "prompt": list(job.prompt), "seed": job.seed.hex(), "temperature_milli": job.sampling.temperature_milli,
                "min_p_ppm": job.sampling.min_p_ppm, "max_tokens": job.max_tokens, "tokens": list(done.tokens),
                "finish": done.finish,
            }
            for job, done in zip(self.jobs, self.completions, strict=True)
        ]  # fmt: skip
        lines = ",\n".join(json.dumps(row) for row in rows)
        return f'{{"tensor_root": "{self.tensor_root}", "answers": [\n{lines}\n]}}\n'

    @classmethod
    def loads(cls, text: str) -> KnownAnswers:
        """Raises EngineError for anything else."""
        try:
            raw = json.loads(text)
            jobs = tuple(
                DecodeJob(
                    tuple(row["prompt"]), bytes.fromhex(row["seed"]),
                    Sampling(row["temperature_milli"], row["min_p_ppm"]), row["max_tokens"],
                )
                for row in raw["answers"]
            )  # fmt: skip
            done = tuple(Completion(tuple(row["tokens"]), row["finish"]) for row in raw["answers"])
            return cls(raw["tensor_root"], jobs, done)
        except (ValueError, KeyError, TypeError) as error:
            raise EngineError(f"these are no known answers: {error!r}") from error


def known_answers(manifest: Manifest, folder: Path = FOLDER) -> KnownAnswers | None:
    """The stored answers for a model's tensors, or None."""
    for path in sorted(folder.glob("*.json")):
        found = KnownAnswers.loads(path.read_text())
        if found.tensor_root == manifest.weights.tensor_root:
            return found
    return None


def make_known(model: CausalModel, tokenizer: ChatTokenizer, manifest: Manifest, tokens: int = TOKENS) -> KnownAnswers:
    """Answers of this model, to be stored where it is known to be right."""
    jobs = tuple(self_test_jobs(tokenizer, tokens))
    return KnownAnswers(manifest.weights.tensor_root, jobs, tuple(decode(model, jobs)))


def test_replay(
    model: CausalModel, tokenizer: ChatTokenizer, manifest: Manifest, profile: ToleranceProfile, folder: Path = FOLDER
) -> SelfTestReport:
    """Replay known answers with a validator's model (float32, whatever the class), and judge them.

    Answers that are stored come from float32 arithmetic, so they are judged by the narrowest profile there is for the
    model. Raises EngineError where the replay cannot run at all.
    """
    stored = known_answers(manifest, folder)
    known = stored or make_known(model, tokenizer, manifest, OWN_TOKENS)
    narrow = _narrow(manifest, profile) if stored else profile
    return judge_answers(known.jobs, known.completions, model, narrow)


test_replay.__test__ = False  # type: ignore[attr-defined]


def _narrow(manifest: Manifest, profile: ToleranceProfile) -> ToleranceProfile:
    try:
        return load_profile(f"{manifest.name.removesuffix('-' + manifest.tolerance.tolerance_class)}-fp32")
    except AssayError:
        return profile


def main(arguments: list[str] | None = None) -> int:
    """Makes a file of known answers. Run it where the model is known to be right, and commit the file."""
    parser = argparse.ArgumentParser(prog="python -m subnet.verify.known", description=main.__doc__)
    parser.add_argument("model", help="a built-in name, or the path of a manifest")
    parser.add_argument("output", type=Path)
    parser.add_argument("--tokens", type=int, default=TOKENS, help="how many tokens in all (default: %(default)s)")
    options = parser.parse_args(arguments)
    manifest = find_model(options.model).manifest
    made = make_known(load_model(options.model, "float32"), load_tokenizer(options.model), manifest, options.tokens)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(made.dumps())
    sys.stdout.write(f"{sum(len(done.tokens) for done in made.completions)} tokens in {options.output}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
