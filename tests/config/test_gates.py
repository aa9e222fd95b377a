import pytest

from subnet.config.gates import GATES, Mode, gate_modes
from subnet.config.tree import ValidatorRole
from subnet.errors import ConfigError


def test_gates_are_enforced_unless_somebody_says_otherwise():
    modes = gate_modes(())
    assert all(modes.enforces(gate) and modes.watches(gate) for gate in GATES)
    modes = gate_modes(("verdict=shadow", "peers=off", "suspicion=enforce"))
    assert [modes.mode(gate) for gate in ("verdict", "peers", "suspicion")] == [Mode.SHADOW, Mode.OFF, Mode.ENFORCE]
    assert modes.watches("verdict") and not modes.enforces("verdict") and not modes.watches("peers")
    assert ValidatorRole(gate=("verdict=off",)).gates.mode("verdict") is Mode.OFF


@pytest.mark.parametrize("text", ["", "verdict", "verdict=", "verdict=on", "latency=shadow", "=off"])
def test_a_gate_or_mode_that_does_not_exist_is_refused(text):
    with pytest.raises(ConfigError, match=r"validator\.gate"):
        ValidatorRole(gate=(text,))
