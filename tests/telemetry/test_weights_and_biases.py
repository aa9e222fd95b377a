from subnet.config.tree import Wandb
from subnet.telemetry.weights_and_biases import WandbSink


def test_off_touches_nothing(tmp_path):
    sink = WandbSink(Wandb(off=True), tmp_path / "wandb", "run", {})
    sink.log({"a": 1})
    sink.close()
    assert not sink.active and not (tmp_path / "wandb").exists()


def test_offline_keeps_a_run_with_tables_on_this_machine_and_rotates(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    now = [0.0]
    sink = WandbSink(Wandb(offline=True, rotate_hours=1), tmp_path, "run", {"netuid": 1}, clock=lambda: now[0])
    sink.log({"score": 0.5}, {"miners": [{"uid": 1, "score": 0.5}]})
    now[0] = 4000.0
    sink.log({"score": 0.6})
    sink.close()
    assert not sink.failed
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 2


def test_an_error_turns_it_off_instead_of_ending_a_round(tmp_path, monkeypatch):
    import wandb

    def broken(**_):
        raise RuntimeError("no network")

    monkeypatch.setattr(wandb, "init", broken)
    sink = WandbSink(Wandb(mode="online"), tmp_path, "run", {})
    sink.log({"a": 1})
    assert sink.failed and not sink.active
