import json

import pytest

from subnet.simulation import report
from subnet.simulation.__main__ import main

SMALL = ["--validators", "4", "--miners", "12", "--epochs", "6", "--cheats", "int4", "--rates", "0.01,1"]


def test_the_command_prints_tables_and_writes_numbers_and_a_picture(tmp_path, capsys):
    assert main([*SMALL, "--slashes", "2", "--sizes", "0", "--output", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    for part in ("int4 weights", "waits out", "What checking costs one validator", "2 epochs out", "don't share"):
        assert part in " ".join(printed.split())
    values = json.loads((tmp_path / "simulation.json").read_text())
    assert [curve["cheat"] for curve in values["curves"]] == ["int4 weights"] * 4
    assert values["world"]["validators"] == 4 and set(values["slash_epochs"]) == {"2", "20"}
    assert (tmp_path / "simulation.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cheats", "nonsense"], "unknown cheats nonsense"),
        (["--cheats", "int4", "--captured", "2"], "captured is a share"),
        (["--delays", "/nowhere.json"], "/nowhere.json has no detection delays"),
        (["--miners", "20"], "too few honest"),
    ],
)
def test_what_cannot_be_played_is_said(arguments, message, tmp_path, capsys):
    assert main([*arguments, "--output", str(tmp_path)]) == 2
    assert message in " ".join(capsys.readouterr().out.split())


def test_help_explains_the_knobs(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "At which check rate does each cheat stop paying" in capsys.readouterr().out


def test_tables_go_between_the_markers_of_the_page():
    page = f"before\n{report.BEGIN}\nold\n{report.END}\nafter"
    assert report.insert(page, "new") == f"before\n{report.BEGIN}\nnew\n{report.END}\nafter"
    with pytest.raises(ValueError, match="has no"):
        report.insert("no markers", "new")
