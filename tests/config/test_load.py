import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.config import MinerConfig, ValidatorConfig, describe, load
from subnet.config.setting import settings
from subnet.config.tree import state_folder
from subnet.errors import ConfigError


def read(root=MinerConfig, argv=(), environ=None):
    return load(root, argv, environ or {}, prog="test", description="test")


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(tmp_path):
    file = tmp_path / "a.toml"
    file.write_text('netuid = 3\n[axon]\nport = 1003\n[wallet]\nname = "from-file"\n')
    environ = {"ASSAY_CONFIG": str(file), "ASSAY_NETUID": "4", "ASSAY_AXON_PORT": "1004"}
    loaded = read(argv=["--netuid", "5"], environ=environ)
    assert (loaded.config.netuid, loaded.config.axon.port) == (5, 1004)
    assert (loaded.config.wallet.name, loaded.config.wallet.hotkey) == ("from-file", "default")
    assert "ASSAY_AXON_PORT" in loaded.sources["axon.port"]


def test_bittensors_own_variables_and_flags_are_understood():
    environ = {"BT_CHAIN_ENDPOINT": "ws://127.0.0.1:1", "BT_WALLET_NAME": "w"}
    config = read(ValidatorConfig, ["--subtensor.network", "test", "--wandb.off", "--logging.debug"], environ).config
    assert config.subtensor.target == "ws://127.0.0.1:1"
    assert (config.wallet.name, config.wandb.effective, config.logging.level) == ("w", "off", "DEBUG")


def test_the_tree_cannot_be_changed():
    config = read().config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.axon.port = 1


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (["--axon.port", "many"], "'many' is not a whole number"),
        (["--axon.port", "70000"], "outside 0 to 65535"),
        (["--axon.external_ip", "localhost"], "not an IP address"),
        (["--subtensor.chain_endpoint", "http://x"], "must start with ws://"),
        (["--miner.secrets", "1000"], "power of two"),
        (["--miner.engine", "module"], "module:factory"),
        (["--miner.engine_option", "novalue"], "name=value"),
        (["--wandb.mode", "maybe"], "online, offline, off"),
        (["--subtensor.timeout_s", "nan"], "is not a number"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_value(argv, part):
    with pytest.raises(ConfigError, match=part) as caught:
        read(argv=argv)
    assert argv[0].removeprefix("--") in str(caught.value)


def test_an_unknown_name_in_the_file_is_refused_with_a_suggestion(tmp_path):
    file = tmp_path / "a.toml"
    file.write_text("[axon]\nprot = 1\n")
    with pytest.raises(ConfigError, match=r"axon\.prot.*did you mean axon\.port"):
        read(argv=["--config", str(file)])


@pytest.mark.parametrize("text", ["[axon", "netuid = 'x'\n", "netuid = true\n"])
def test_a_malformed_file_is_a_clear_error(tmp_path, text):
    file = tmp_path / "a.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"TOML|whole number"):
        read(argv=["--config", str(file)])


def test_a_missing_file_is_a_clear_error(tmp_path):
    with pytest.raises(ConfigError, match="cannot read the configuration file"):
        read(argv=["--config", str(tmp_path / "none.toml")])


def test_secrets_are_never_shown():
    loaded = read(environ={"WANDB_API_KEY": "hunter2"})
    lines = "\n".join(describe(loaded))
    assert "hunter2" not in lines and "wandb.api_key = ********" in lines
    assert loaded.config.wandb.api_key == "hunter2"


def test_lists_are_repeated_or_separated_by_commas():
    assert read(argv=["--miner.allow", "a", "--miner.allow", "b"]).config.miner.allow == ("a", "b")
    assert read(environ={"ASSAY_MINER_ALLOW": "a, b"}).config.miner.allow == ("a", "b")
    assert read(argv=["--miner.engine_option", "a=1,2"]).config.miner.engine_options == {"a": "1,2"}


@pytest.mark.parametrize("root", [MinerConfig, ValidatorConfig])
def test_every_setting_has_help_and_a_unique_flag_and_variable(root):
    leaves = list(settings(root))
    assert all(leaf.help for leaf in leaves)
    variables = [name for leaf in leaves for name in leaf.env]
    assert len(set(variables)) == len(variables)


@given(st.integers(0, 65535))
def test_any_netuid_survives_each_way_in(netuid):
    assert read(argv=["--netuid", str(netuid)]).config.netuid == netuid
    assert read(environ={"ASSAY_NETUID": str(netuid)}).config.netuid == netuid


def test_state_lies_in_one_folder_of_the_neuron_and_never_in_a_temporary_one(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = read(argv=["--subtensor.chain_endpoint", "ws://127.0.0.1:9944", "--netuid", "2"]).config
    assert (
        state_folder(config, "miner") == tmp_path / ".assay" / "ws_127.0.0.1_9944" / "2" / "default.default" / "miner"
    )
