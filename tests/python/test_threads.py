"""Concurrent calls from several Python threads give what serial calls give."""

from concurrent.futures import ThreadPoolExecutor

import elman
import pytest
import torch
from samples import Case, assert_close, make

CASES = [
    Case(steps=30, batch=8, hidden_size=32, seed=1),
    Case(steps=30, batch=8, hidden_size=32, num_layers=2, k1=2, k2=7, seed=2),
    Case(steps=25, bidirectional=True, num_layers=2, k1=5, k2=5, seed=3),
    Case(lengths=(20, 11, 3), nonlinearity="sigmoid", seed=4),
    Case(steps=30, k1=1, k2=4, reset=True, carry_scale="rows", seed=5),
]


def run(sample):
    return [*sample.run(), *sample.gradients()]


@pytest.mark.parametrize("threads", [2, 8])
def test_concurrent_calls_equal_serial_ones(threads):
    samples = [make(case) for case in CASES]
    expected = [run(sample) for sample in samples]
    with ThreadPoolExecutor(threads) as pool:
        jobs = [(i, pool.submit(run, samples[i])) for _ in range(8) for i in range(len(samples))]
        for i, job in jobs:
            assert_close(job.result(timeout=60), expected[i])


def test_one_module_shared_by_threads_that_accumulate_gradients():
    rnn = elman.RNN(4, 6, 2, truncation=(2, 5), dtype=torch.float64)
    inputs = [torch.randn(12, 3, 4, dtype=torch.float64) for _ in range(16)]

    def gradient(x):
        return torch.autograd.grad(rnn(x)[0].square().sum(), list(rnn.parameters()))

    expected = [sum(parts) for parts in zip(*map(gradient, inputs), strict=True)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda x: rnn(x)[0].square().sum().backward(), inputs))
    assert_close([p.grad for p in rnn.parameters()], expected)


def test_threads_of_their_own_in_inference_mode():
    rnn = elman.RNN(16, 64, dtype=torch.float64)
    x = torch.randn(50, 4, 16, dtype=torch.float64)

    @torch.inference_mode()
    def run_many(_):
        return [rnn(x)[0] for _ in range(5)]

    expected = rnn(x)[0].detach()
    with ThreadPoolExecutor(4) as pool:
        for results in pool.map(run_many, range(8)):
            for result in results:
                assert_close(result.clone(), expected)
