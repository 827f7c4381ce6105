"""Finds the coefficients of `fast_tanh` in kernels.cpp, and measures its error in float32.

tanh(x) = x P(x^2) / Q(x^2) on [-LIMIT, LIMIT], where tanh(LIMIT) rounds to 1: the rational
function with the smallest largest relative error, by least squares on P - tanh(x)/x Q with weights
adapted until the error is level (Sanathanan & Koerner 1963; Lawson 1961).
"""

import numpy as np

LIMIT = 9.02
TERMS_P, TERMS_Q = 5, 5


def fit(samples=6000, iterations=200):
    """Returns the largest relative error and the coefficients of P and Q, constant term first."""
    nodes = np.cos(np.pi * (np.arange(samples) + 0.5) / samples)
    x = np.sort((nodes + 1) / 2 * LIMIT)[1:]
    target = np.tanh(x) / x
    powers_p = np.vander((x / LIMIT) ** 2, TERMS_P, increasing=True)
    powers_q = np.vander((x / LIMIT) ** 2, TERMS_Q, increasing=True)
    lawson, q = np.ones_like(x), np.ones_like(x)
    best = (np.inf, None)
    for iteration in range(iterations):
        weight = np.sqrt(lawson) / (target * q)
        matrix = np.hstack([powers_p, -powers_q[:, 1:] * target[:, None]]) * weight[:, None]
        c = np.linalg.lstsq(matrix, target * weight, rcond=None)[0]
        q = 1 + powers_q[:, 1:] @ c[TERMS_P:]
        error = np.abs(powers_p @ c[:TERMS_P] / q / target - 1)
        if error.max() < best[0]:
            best = (error.max(), c)
        if iteration > 10:
            lawson *= error / error.max() + 1e-3
            lawson /= lawson.mean()
    scale = LIMIT ** (-2.0 * np.arange(max(TERMS_P, TERMS_Q)))
    p = best[1][:TERMS_P] * scale[:TERMS_P]
    q = np.concatenate([[1.0], best[1][TERMS_P:]]) * scale[:TERMS_Q]
    return best[0], p, q


def error_in_ulps(p, q):
    """The largest and the mean error of the float32 evaluation, in units in the last place."""
    f32 = np.float32
    x = np.concatenate([np.linspace(1e-6, 1.2 * LIMIT, 4_000_001), np.logspace(-30, 1, 500_000)])
    x = np.unique(x.astype(f32))
    clamped = np.minimum(x, f32(LIMIT))
    square = clamped * clamped

    def horner(coefficients):
        value = np.full_like(square, f32(coefficients[-1]))
        for c in coefficients[-2::-1]:  # a fused multiply-add rounds once
            value = (value.astype(np.float64) * square + f32(c)).astype(f32)
        return value

    h = np.minimum(clamped * horner(p) / horner(q), f32(1))
    expected = np.tanh(x.astype(np.float64))
    error = np.abs(h - expected) / np.spacing(expected.astype(f32))
    return error.max(), error.mean()


if __name__ == "__main__":
    relative, p, q = fit()
    largest, mean = error_in_ulps(p, q)
    print(f"largest relative error {relative:.2e}; in float32 {largest:.2f} ulp, mean {mean:.2f}")
    print("P", ", ".join(f"{c:.10e}" for c in p))
    print("Q", ", ".join(f"{c:.10e}" for c in q))
