import asyncio

import pytest

from subnet.chain import heads as module
from subnet.chain.errors import ChainAway
from subnet.chain.heads import Heads


def hash_of(number):
    async def read():
        return number.to_bytes(32, "big")

    return read()


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.01)


async def take(heads, count):
    numbers = []
    async for head in heads:
        numbers.append(head.number)
        if len(numbers) == count:
            return numbers


async def test_heads_only_rise_over_interruptions_and_repeats(quick):
    scripts = iter([[1, 2, ChainAway("dropped")], [2, 1, 3], [7]])

    async def subscribe():
        for item in next(scripts):
            if isinstance(item, Exception):
                raise item
            await asyncio.sleep(0.005)
            yield item

    heads = Heads(subscribe, hash_of, stall_s=5)
    async with asyncio.timeout(5):
        numbers = await take(heads, 4)
    await heads.stop()
    assert numbers == [1, 2, 3, 7]
    assert heads.interruptions >= 2


async def test_a_chain_that_accepts_and_stays_silent_is_left_and_asked_again(quick):
    silent, asked = asyncio.Event(), 0

    async def subscribe():
        nonlocal asked
        asked += 1
        if asked == 1:
            await silent.wait()
        yield asked

    heads = Heads(subscribe, hash_of, stall_s=0.05)
    async with asyncio.timeout(5):
        assert await take(heads, 1) == [2]
    await heads.stop()


async def test_a_slow_reader_sees_the_newest_head(quick):
    async def subscribe():
        for number in range(1, 50):
            yield number
        await asyncio.sleep(60)

    heads = Heads(subscribe, hash_of, stall_s=100)
    heads.start()
    await asyncio.sleep(0.05)
    async with asyncio.timeout(5):
        assert (await heads.after(3)).number == 49
    await heads.stop()


async def test_stopping_ends_it_whatever_comes_at_that_moment(quick):
    """A cancellation that meets a new number must not be lost: a validator would never end."""
    for moment in range(40):
        numbers = iter(range(10**6))

        async def subscribe(numbers=numbers):
            yield next(numbers)

        heads = Heads(subscribe, hash_of, stall_s=0.05)
        heads.start()
        task = next(task for task in asyncio.all_tasks() if task.get_name() == "chain-heads")
        for _ in range(moment):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=1)
        assert task.cancelled(), moment
