"""What the system tells of a process: its children, whether it runs, and its memory."""

import os


def children_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(text) for text in file.read().split()]
    except OSError:
        return []


def is_running(pid):
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def resident_mb(pid):
    return _status_mb(pid, "VmRSS")


def peak_mb(pid):
    """The most that was ever resident."""
    return _status_mb(pid, "VmHWM")


def _status_mb(pid, field):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field)) / 1024


def private_mb(pid):
    """Memory that is this process's alone: mapped files come and go with the machine's page cache."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith(("Private_Dirty", "Private_Clean"))) / 1024
