"""One frozen configuration tree, loaded once: flags over environment over file over defaults."""

from subnet.config.load import Loaded, load
from subnet.config.show import describe
from subnet.config.tree import MinerConfig, ValidatorConfig

__all__ = ["Loaded", "MinerConfig", "ValidatorConfig", "describe", "load"]
