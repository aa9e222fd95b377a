import yaml

from tests.neurons.world import ROOT


def test_the_requirements_can_be_read_and_cover_both_roles():
    found = yaml.safe_load((ROOT / "min_compute.yml").read_text())
    for role in ("miner", "validator"):
        spec = found["compute_spec"][role]
        assert spec["memory"]["min_gb"] * 1000 > max(
            v for k, v in found["measured"][role].items() if k.endswith("_mb") or "_mb_" in k
        )
        assert spec["memory"]["recommended_gb"] >= spec["memory"]["min_gb"]
        assert found["measured"][role]
