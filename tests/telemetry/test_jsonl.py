import json

from subnet.telemetry.jsonl import JsonLines


def test_lines_are_strict_json_and_the_file_rotates(tmp_path):
    path = tmp_path / "metrics.jsonl"
    sink = JsonLines(path, max_bytes=200)
    for number in range(50):
        sink.write({"n": number, "nan": float("nan"), "list": (1.0, float("inf"))})
    files = sorted(tmp_path.iterdir())
    assert len(files) == 5 and all(file.stat().st_size <= 200 for file in files)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows[-1] == {"n": 49, "nan": None, "list": [1.0, None]}


def test_a_full_disk_loses_lines_and_raises_nothing(tmp_path):
    sink = JsonLines(tmp_path / "missing" / "x.jsonl", max_bytes=100)
    (tmp_path / "missing").write_text("a file where the folder should be")
    sink.write({"a": 1})
    assert sink.lost == 1
