from pathlib import Path

import pytest
import torch

from subnet.engine.decode import DecodeJob, decode
from subnet.engine.foreign import ForeignModel
from subnet.engine.hooks import ForwardHooks
from subnet.engine.replay import ReplayJob, replay_logits
from subnet.errors import EngineError
from subnet.models import load_model
from subnet.models.describe import describe
from subnet.models.manifest import Source
from subnet.sampling import sample
from tests.models.tiny import save_tiny


def load(folder: Path, store: Path, tolerance: str = "fp32") -> ForeignModel:
    manifest = describe(
        folder, name="tiny", source=Source("folder", "t", ""), licence="mit", tolerance_class=tolerance, store=store
    )
    (folder / "assay.json").write_text(manifest.dumps())
    model = load_model(folder / "assay.json", cache=store)
    assert isinstance(model, ForeignModel)
    return model


@pytest.mark.parametrize("kind", ["gpt_neox", "qwen2"])
def test_another_architecture_generates_and_replays(kind: str, tmp_path: Path, jobs: list[DecodeJob]) -> None:
    from transformers import AutoModelForCausalLM

    folder = save_tiny(tmp_path / kind, kind)
    model = load(folder, tmp_path / "store")
    completions = decode(model, jobs, batch=5)
    assert completions == decode(model, jobs, batch=1)
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    rows = replay_logits(model, [ReplayJob(j.prompt, c.tokens) for j, c in zip(jobs, completions, strict=True)])
    for job, completion, ours in zip(jobs, completions, rows, strict=True):
        with torch.inference_mode():
            theirs = plain(torch.tensor([[*job.prompt, *completion.tokens]])).logits[0]
        torch.testing.assert_close(ours, theirs[len(job.prompt) - 1 : -1], atol=1e-3, rtol=1e-3)
        drawn = sample(ours, [job.seed] * len(ours), range(len(ours)), [job.sampling] * len(ours))
        assert tuple(drawn.tolist()) == completion.tokens


def test_the_numerics_of_the_bf16_class(tmp_path: Path, jobs: list[DecodeJob]) -> None:
    model = load(save_tiny(tmp_path / "m", "gpt_neox"), tmp_path / "store", "bf16")
    assert model.dtype == torch.bfloat16
    assert model.head.weight.dtype == torch.float32
    assert decode(model, jobs[:2])[0].tokens


@pytest.mark.parametrize(
    ("kind", "changes", "why"),
    [("mistral", {"sliding_window": 8}, "sliding_window"), ("granite", {"logits_scaling": 4.0}, "other logits")],
)
def test_what_would_not_replay_is_refused_at_load(tmp_path: Path, kind: str, changes: dict, why: str) -> None:
    folder = save_tiny(tmp_path / kind, kind, **changes)
    with pytest.raises(EngineError, match=why):
        load(folder, tmp_path / "store")


def test_the_cache_hook_reaches_another_architecture(tmp_path: Path, jobs: list[DecodeJob]) -> None:
    model = load(save_tiny(tmp_path / "m", "gpt_neox"), tmp_path / "store")
    rounded = model.with_hooks(ForwardHooks(cache_write=lambda _layer, k, v: (k.round(), v.round())))
    assert decode(rounded, jobs) != decode(model, jobs)
    with pytest.raises(EngineError, match="Llama"):
        model.with_hooks(ForwardHooks(skip_layer=lambda _layer, _hidden: True))
