"""A full disk: nothing is lost, the error is clear, and all goes on once there is room. Small disks need root."""

import subprocess

import pytest

from tests.neurons.books import check_books, check_weights_are_of_settled_rounds, check_weights_taken
from tests.neurons.world import World, tiny_model, until


@pytest.fixture
def disks(tmp_path):
    """Two disks of 32 MB, for the validator's state and the miner's."""
    mounted = []
    try:
        for name in ("validator", "honest"):
            folder = tmp_path / "disks" / name
            folder.mkdir(parents=True)
            done = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=32m", "assay-test", str(folder)], capture_output=True, text=True
            )
            if done.returncode:
                pytest.skip(f"mounting a small disk needs root: {done.stderr.strip()}")
            mounted.append(folder)
        yield {folder.name: folder for folder in mounted}
    finally:
        for folder in mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(folder):
    """Takes every byte that is left."""
    with (folder / "ballast").open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


@pytest.mark.slow
async def test_a_full_disk_loses_nothing_and_sets_no_weight_of_half_a_round(tmp_path, disks):
    world = World(tmp_path, block_time=0.5, model=tiny_model(tmp_path / "model"), request_s=3)
    world.disks = disks
    try:
        await world.open(["validator"], ["honest", "other"])
        for name in ("honest", "other"):
            world.add("miner", name).start()
        validator = world.add("validator", "validator")
        validator.start()
        honest = world.neurons["honest"]
        weights = "SELECT COUNT(*) FROM weights WHERE reason = 'set'"
        await until(lambda: world.rows("validator", weights) not in ([], [(0,)]), 90, "weights are set")

        fill(disks["honest"])
        await until(lambda: "could not be kept" in honest.text(), 30, "the miner tells of its full disk")
        before = world.settled("validator")
        await until(lambda: world.settled("validator") >= before + 1, 30, "the miner answers all the same")
        assert honest.alive
        (disks["honest"] / "ballast").unlink()

        fill(disks["validator"])
        await until(lambda: "cannot be written" in validator.text(), 30, "the validator tells of its full disk")

        async def told():
            page = await world.get("validator", "/readyz")
            return page is not None and any("cannot be written" in reason for reason in page.json()["reasons"])

        await until(told, 20, "and is not ready")
        asked = world.rows("validator", "SELECT COUNT(*) FROM exchanges")
        await until(lambda: world.rows("validator", "SELECT 1") == [(1,)], 5, "the database can be read")
        await quiet_blocks(world, 8)
        assert validator.alive and world.rows("validator", "SELECT COUNT(*) FROM exchanges") == asked
        await check_weights_are_of_settled_rounds(world)

        assert validator.terminate(30) == 0, "it stops cleanly all the same"
        validator.start()
        await until(lambda: not validator.alive, 60, "it does not start without room")
        assert validator.popen.returncode == 1
        last = validator.text().rpartition("Starting a validator")[2]
        assert "cannot be written" in last and "Traceback" not in last

        (disks["validator"] / "ballast").unlink()
        validator.start()
        settled = world.settled("validator")
        await until(lambda: world.settled("validator") >= settled + 3, 60, "it goes on once there is room")
        assert validator.terminate(30) == 0
        check_books(world)
        check_weights_taken(world, "validator", await world.weight_updates("validator"))
    finally:
        world.close()


async def quiet_blocks(world, count):
    start = (await world.metagraph()).block

    async def passed():
        return (await world.metagraph()).block >= start + count

    await until(passed, 60, f"{count} blocks pass", every=0.5)
