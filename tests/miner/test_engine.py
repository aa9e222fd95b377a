import pytest

from subnet.config.tree import MinerConfig
from subnet.errors import ConfigError
from subnet.miner.embedded import EmbeddedEngine
from subnet.miner.engine import load_factory
from subnet.models import builtin_manifest


def test_the_default_is_the_embedded_engine():
    assert isinstance(load_factory("")(builtin_manifest(), {}, MinerConfig()), EmbeddedEngine)


@pytest.mark.parametrize(
    "spec", ["no.such.module:factory", "subnet.miner.engine:nothing", "subnet.miner.engine:Factory2"]
)
def test_an_engine_that_cannot_be_found_is_a_setting_error(spec):
    with pytest.raises(ConfigError, match=r"--miner\.engine"):
        load_factory(spec)


def test_your_own_engine_is_loaded_by_name():
    assert load_factory("tests.zoo.miner:factory").__name__ == "factory"
