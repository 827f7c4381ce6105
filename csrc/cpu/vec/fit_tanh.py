"""Finds the constants of `tanh.h` and measures the functions there in float32.

tanh' = 1 - tanh^2 shows every error of a tanh near 1, so those for float end with one addition, of
a correction that is small against the result: its own rounding is nearly all that is seen.

`piecewise`, for 16 lookups at a time: one polynomial c0 + r (c1 + r (...)), r = |x| - centre, on
each of 16 intervals. The centres are floats whose tanh is nearly a float, so that c0 has no error.

`by_addition`, for 8 lookups at a time: tanh(|x|) = b + (1 - b^2) t / (1 + b t) with t = tanh(r) and
b = tanh(centre), on 8 intervals likewise; t is r (1 + p r^2) / (1 + q r^2 + q' r^4) on all of them.

`rational`, for states that are rounded to 16 bits: x (1 + p x^2 + ...) / (1 + q x^2 + ...).
"""

import itertools

import numpy as np

f32 = np.float32
DEGREE = 6
LIMIT = 12.0  # tanh rounds to 1 from 9.02 on
EDGES = [0, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 9, 11, LIMIT]
SCALE = 1.4
LIMIT_16_BITS = 4.7  # tanh rounds to 1 from 4.51 on
CENTRES = [0.6, 0.97, 1.75, 2.7, 4.0, 5.7]


def level_fit(columns, target, weight, iterations=60):
    """Coefficients with the smallest largest weighted error: least squares with weights adapted
    until the error is level (Lawson 1961).
    """
    scale = np.abs(columns).max(axis=0)
    lawson, best = np.ones(len(target)), (np.inf, None)
    for _ in range(iterations):
        w = np.sqrt(lawson) * weight
        c = np.linalg.lstsq(columns / scale * w[:, None], target * w, rcond=None)[0] / scale
        error = np.abs((columns @ c - target) * weight)
        if error.max() < best[0]:
            best = (error.max(), c)
        lawson *= error / error.max() + 1e-3
        lawson /= lawson.mean()
    return best[1]


def fit_rounded(variable, powers, target, weight):
    """Coefficients of these powers as floats: each is rounded before the next ones are fitted."""
    rounded, target = [], target.copy()
    for i, power in enumerate(powers):
        columns = np.stack([variable**p for p in powers[i:]], axis=1)
        rounded.append(f32(level_fit(columns, target, weight)[0]))
        target -= float(rounded[-1]) * variable**power
    return rounded


def accurate_point(near):
    """A float close to `near`, and its tanh, which is nearly a float as well."""
    points = f32(near) + np.arange(-4000, 4000) * np.spacing(f32(near))
    exact = np.tanh(points.astype(np.float64))
    best = np.argmin(np.abs(exact.astype(f32) - exact))
    return points[best], exact[best].astype(f32)


def fit_interval(a, b):
    """A centre and c0 ... c6 for the interval [a, b)."""
    x = (a + b) / 2 + (b - a) / 2 * np.cos(np.pi * (np.arange(400) + 0.5) / 400)
    weight = 1 / np.tanh(x)
    if a == 0:  # through zero, and tanh(x) = x for the smallest
        centre, c = f32(0), [f32(0), f32(1)]
    elif a >= 7:  # from where it is 1
        centre, c = f32(LIMIT), [f32(1)]
    else:
        centre, value = accurate_point((a + b) / 2)
        c = [value]
    r = x - float(centre)
    rest = np.tanh(x) - sum(float(value) * r**k for k, value in enumerate(c))
    return centre, c + fit_rounded(r, list(range(len(c), DEGREE + 1)), rest, weight)


def fit_piecewise():
    """Rows c0 ... c6, centre, each with a column for the leading bits of 1 + |x|: [1, 16) by
    quarters of each power of two, in the order of the bits modulo 16.
    """
    table = np.zeros((DEGREE + 2, 16), f32)
    for i, (a, b) in enumerate(itertools.pairwise(EDGES)):
        centre, c = fit_interval(a, b)
        column = (f32(1 + a).view(np.int32) >> 21) & 15
        assert column == (i + 12) % 16
        table[:, column] = [*c, centre]
    return table


def fit_quotient(r, weight, above, below, iterations=300):
    """tanh(r) as r (1 + p r^2 + ...) / (1 + q r^2 + ...), with so many terms: least squares on
    numerator - tanh(r)/r denominator with weights adapted until the error is level (Sanathanan &
    Koerner 1963; Lawson 1961).
    """
    scale = r.max() ** 2
    square, target = r * r / scale, np.tanh(r) / r
    lawson, denominator, best = np.ones_like(r), np.ones_like(r), (np.inf, None)
    columns = [square**k for k in range(1, above + 1)]
    columns = np.stack(columns + [-target * square**k for k in range(1, below + 1)], axis=1)
    for iteration in range(iterations):
        w = np.sqrt(lawson) * weight / (target * denominator)
        c = np.linalg.lstsq(columns * w[:, None], (target - 1) * w, rcond=None)[0]
        p, q = c[:above], c[above:]
        denominator = 1 + sum(value * square ** (k + 1) for k, value in enumerate(q))
        numerator = 1 + sum(value * square ** (k + 1) for k, value in enumerate(p))
        error = np.abs(numerator / denominator / target - 1) * weight
        if error.max() < best[0]:
            powers = [scale ** -(k + 1.0) for k in range(max(above, below))]
            best = (error.max(), p * powers[:above], q * powers[:below])
        if iteration > 10:
            lawson *= error / error.max() + 1e-3
            lawson /= lawson.mean()
    return best[1:]


def fit_rational():
    """p, p' and q, q', q'' on all of [0, LIMIT_16_BITS]."""
    r = np.linspace(1e-3, LIMIT_16_BITS, 3000)
    return [row.astype(f32) for row in fit_quotient(r, np.ones_like(r), 2, 3)]


def fit_by_addition():
    """Rows centre, b, 1 - b^2, p (1 - b^2), b / (1 - b^2), each with a column for the leading bits
    of 1 + SCALE |x|: [1, 16) by halves of each power of two, in the order of the bits modulo 8; and
    q, q'.
    """
    near_one = 1 - 4 * 2.0**-24
    points = [(f32(0), f32(0)), *map(accurate_point, CENTRES)]
    points.append((f32(np.arctanh(near_one)), f32(near_one)))
    edges = np.array([0, 0.5, 1, 2, 3, 5, 7, 11, SCALE * 9.6]) / SCALE
    distances, weights = [], []
    for (centre, value), a, b in zip(points, edges[:-1], edges[1:], strict=True):
        x = np.linspace(a, b, 400) + 1e-4
        t, value = np.tanh(x - float(centre)), float(value)
        distances.append(x - float(centre))
        weights.append((1 - value**2) * np.abs(t) / (1 + value * t) ** 2 / np.tanh(x))
    r, weight = np.concatenate(distances), np.concatenate(weights)
    kept = np.abs(r) > 1e-4
    (p,), q = fit_quotient(r[kept], weight[kept], 1, 2)
    table = np.zeros((5, 8), f32)
    for i, (centre, value) in enumerate(points):
        rest = 1 - float(value) ** 2
        table[:, (i + 6) % 8] = [centre, value, rest, p * rest, float(value) / rest]
    return table, q.astype(f32)


def fma(a, b, c):
    """a b + c, rounded once."""
    """a b + c, rounded once."""
    return (np.asarray(a, np.float64) * b + c).astype(f32)


def piecewise(x, table):
    """The first function in float32."""
    """In float32, as tanh.h computes it."""
    u = np.minimum(np.abs(x), f32(LIMIT))
    column = ((u + f32(1)).view(np.int32) >> 21) & 15
    r, h = u - table[DEGREE + 1, column], table[DEGREE, column]
    for k in range(DEGREE - 1, -1, -1):
        h = fma(h, r, table[k, column])
    return h


def by_addition(x, table, q):
    """The second one."""
    """In float32, as tanh.h computes it."""
    u = np.minimum(np.abs(x), f32(9.6))
    centre, b, rest, p, ratio = table[:, (fma(u, f32(SCALE), 1).view(np.int32) >> 22) & 7]
    r = u - centre
    square = r * r
    numerator = r * fma(square, p, rest)
    denominator = fma(ratio, numerator, fma(fma(q[1], square, q[0]), square, 1))
    return b + numerator / denominator


def rational(x, p, q):
    """The third one."""
    u = np.minimum(np.abs(x), f32(LIMIT_16_BITS))
    square = u * u
    numerator = fma(fma(p[1], square, p[0]), square, 1)
    denominator = fma(fma(fma(q[2], square, q[1]), square, q[0]), square, 1)
    return u * numerator / denominator


def report(name, function):
    """Prints the errors of a function by intervals."""
    """Prints the errors of a function by intervals."""
    edges = [1e-30, 0.1, 0.2, 0.4, 0.55, *range(1, 11)]
    print(f"{name}: units in the last place, largest relative error of 1 - tanh^2")
    for low, high in itertools.pairwise(edges):
        x = np.random.default_rng(0).uniform(low, high, 1_000_000).astype(f32)
        h, exact = function(x).astype(np.float64), np.tanh(x.astype(np.float64))
        ulps = np.abs(h - exact) / np.spacing(exact.astype(f32))
        slope = np.abs((1 - h) * (1 + h) * np.cosh(x.astype(np.float64)) ** 2 - 1)
        print(f"  up to {high}: {ulps.max():.2f}, {slope.max():.2e}")


if __name__ == "__main__":
    polynomials = fit_piecewise()
    points, quotient = fit_by_addition()
    p, q = fit_rational()
    for row in [*polynomials, *points, quotient, p, q]:
        print("{" + ", ".join(f"{value:.9g}F" for value in row) + "},")
    report("piecewise", lambda x: piecewise(x, polynomials))
    report("by_addition", lambda x: by_addition(x, points, quotient))
    report("rational", lambda x: rational(x, p, q))
