import asyncio
import dataclasses
import threading

import pytest
import torch

from subnet.engine.decode import DecodeJob, decode, seeded_choice
from subnet.engine.generation import EngineClosed, GenerationEngine, GenerationFailed, QueueFull
from subnet.engine.llama import LlamaModel
from subnet.errors import EngineError


class Gate:
    """A sampler that waits: lets a test decide when the engine may take its next step."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.permits = threading.Semaphore(0)
        self.rows: list[int] = []
        self.fail_at = fail_at

    def __call__(self, logits: torch.Tensor, sequences) -> list[int]:
        assert self.permits.acquire(timeout=60)
        self.rows.append(len(sequences))
        if self.fail_at is not None and len(self.rows) == self.fail_at:
            raise RuntimeError("the sampler broke")
        return list(seeded_choice(logits, sequences))

    def open(self, steps: int = 10_000) -> None:
        for _ in range(steps):
            self.permits.release()


async def test_streams_and_results_are_what_decoding_gives(tiny: LlamaModel, jobs: list[DecodeJob]) -> None:
    expected = decode(tiny, jobs)
    async with GenerationEngine(tiny, slots=4, queue=20) as engine:
        generations = [engine.submit(job) for job in jobs]
        streamed = [tuple([token async for token in generation]) for generation in generations]
        results = [await generation.result() for generation in generations]
        load = engine.load()
    assert results == expected
    assert streamed == [completion.tokens for completion in expected]
    assert (load.running, load.waiting, load.completed) == (0, 0, len(jobs))
    assert load.tokens == sum(len(completion.tokens) for completion in expected)


async def test_tokens_arrive_before_the_completion_is_done(tiny: LlamaModel, jobs: list[DecodeJob]) -> None:
    gate = Gate()
    async with GenerationEngine(tiny, choose=gate) as engine:
        generation = engine.submit(jobs[5])
        gate.open(1)
        first = await asyncio.wait_for(anext(generation.__aiter__()), 60)
        assert generation.tokens == (first,)
        gate.open()
        assert (await generation.result()).tokens[0] == first


async def test_a_new_request_joins_the_running_batch(tiny: LlamaModel, jobs: list[DecodeJob]) -> None:
    expected = decode(tiny, [jobs[11], jobs[0]])
    gate = Gate()
    async with GenerationEngine(tiny, slots=4, choose=gate) as engine:
        long = engine.submit(jobs[11])
        stream = long.__aiter__()
        gate.open(2)
        await anext(stream), await anext(stream)
        short = engine.submit(jobs[0])
        gate.open()
        assert await asyncio.wait_for(short.result(), 60) == expected[1]
        assert await asyncio.wait_for(long.result(), 60) == expected[0]
    assert 2 in gate.rows
    assert gate.rows[0] == gate.rows[-1] == 1


async def test_flooder_the_queue_is_bounded_and_refuses_at_once(tiny: LlamaModel, jobs: list[DecodeJob]) -> None:
    gate = Gate()
    async with GenerationEngine(tiny, slots=1, queue=2, choose=gate) as engine:
        taken = [engine.submit(jobs[i]) for i in range(3)]
        for _ in range(100):
            with pytest.raises(QueueFull, match="try again"):
                engine.submit(jobs[3])
        gate.open()
        await asyncio.gather(*(generation.result() for generation in taken))
        assert (await engine.submit(jobs[3]).result()).tokens == decode(tiny, [jobs[3]])[0].tokens


async def test_cancelling_frees_the_slot_and_leaves_the_others(tiny: LlamaModel, jobs: list[DecodeJob]) -> None:
    gate = Gate()
    async with GenerationEngine(tiny, slots=2, queue=2, choose=gate) as engine:
        running, other, waiting = (engine.submit(jobs[i]) for i in (10, 11, 3))
        gate.open(1)
        await anext(running.__aiter__())
        running.cancel()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running.result()
        gate.open()
        assert (await asyncio.wait_for(waiting.result(), 60)) == decode(tiny, [jobs[3]])[0]
        assert (await asyncio.wait_for(other.result(), 60)) == decode(tiny, [jobs[11]])[0]
        assert engine.load().cancelled == 1
        other.cancel()
        assert engine.load().cancelled == 1


async def test_a_request_cancelled_in_the_queue_never_runs(tiny: LlamaModel, jobs: list[DecodeJob]) -> None:
    gate = Gate()
    async with GenerationEngine(tiny, slots=1, queue=2, choose=gate) as engine:
        first, second = engine.submit(jobs[0]), engine.submit(jobs[11])
        second.cancel()
        gate.open()
        await first.result()
    assert len(gate.rows) == jobs[0].max_tokens


async def test_a_failing_step_loses_its_batch_and_not_the_engine(tiny: LlamaModel, jobs: list[DecodeJob]) -> None:
    gate = Gate(fail_at=2)
    gate.open()
    async with GenerationEngine(tiny, slots=2, queue=4, choose=gate) as engine:
        doomed = engine.submit(jobs[4])
        with pytest.raises(GenerationFailed, match="the sampler broke"):
            await asyncio.wait_for(doomed.result(), 60)
        with pytest.raises(GenerationFailed):
            async for _ in doomed:
                pass
        assert await asyncio.wait_for(engine.submit(jobs[4]).result(), 60) == decode(tiny, [jobs[4]])[0]
        assert engine.load().failed == 1


async def test_closing_ends_what_runs_and_refuses_what_comes(tiny: LlamaModel, jobs: list[DecodeJob]) -> None:
    gate = Gate()
    engine = GenerationEngine(tiny, slots=1, queue=4, choose=gate)
    with pytest.raises(EngineClosed):
        engine.submit(jobs[0])
    async with engine:
        running, waiting = engine.submit(jobs[11]), engine.submit(jobs[10])
        gate.open(3)
        await anext(running.__aiter__())
        gate.open()
    for generation in (running, waiting):
        with pytest.raises(EngineClosed):
            await asyncio.wait_for(generation.result(), 60)
    with pytest.raises(EngineClosed):
        engine.submit(jobs[0])
    assert not any(thread.name == "generation" for thread in threading.enumerate())


async def test_jobs_that_cannot_run_are_refused_at_once(tiny: LlamaModel, jobs: list[DecodeJob]) -> None:
    async with GenerationEngine(tiny, capacity=40) as engine:
        assert engine.capacity == 40
        with pytest.raises(EngineError, match="exceed"):
            engine.submit(dataclasses.replace(jobs[0], max_tokens=40))
        with pytest.raises(EngineError, match="outside"):
            engine.submit(dataclasses.replace(jobs[0], prompt=(9999,)))
        assert engine.load().running == 0
