"""The textbook's truncated back-propagation through time for one layer, in NumPy, loop by loop.

In the textbook's notation: inputs x(t), states s(t) = f(V x(t) + U s(t-1) + b), outputs y(t) = g(W
s(t) + c). The output's error e_o(t) = (d(t) - y(t)) g'(t) goes back to the state,

    e_h(t)       = (W' e_o(t))         f'(t)          the error of the state at its own output's
    step e_h(t-tau-1) = (U' e_h(t-tau))     f'(t-tau-1)    the error tau + 1 steps earlier

and every weight's change is a sum over the steps that the error has visited,

    dV = sum_tau e_h(t-tau) x(t-tau)',    dU = sum_tau e_h(t-tau) s(t-tau-1)',    dW = e_o(t) s(t)'.

The changes descend E = 1/2 sum_t |d(t) - y(t)|^2; they are minus its gradient. One sequence; no
batches. As in the textbook, activations are functions with a derivative in terms of their own
value.
"""

import numpy as np

FUNCTIONS = {
    "identity": (lambda a: a, lambda y: np.ones_like(y)),
    "tanh": (np.tanh, lambda y: 1.0 - y**2),
    "sigmoid": (lambda a: 1.0 / (1.0 + np.exp(-a)), lambda y: y * (1.0 - y)),
    "relu": (lambda a: np.maximum(a, 0.0), lambda y: (y > 0.0).astype(y.dtype)),
    "softplus": (lambda a: np.logaddexp(a, 0.0), lambda y: 1.0 - np.exp(-y)),
}


class TextbookNetwork:
    """s(t) = f(V x(t) + U s(t-1) + b), y(t) = g(W s(t) + c).

    V: [H, I]   U: [H, H]   b: [H]   W: [O, H]   c: [O]
    """

    def __init__(self, V, U, b, W, c, f="tanh", g="identity"):
        self.V, self.U, self.b, self.W, self.c = V, U, b, W, c
        self.f, self.f_prime = FUNCTIONS[f]
        self.g, self.g_prime = FUNCTIONS[g]

    def forward(self, x, s_0):
        """x: [T, I], s_0: [H]. Returns s: [T+1, H], with s[0] = s_0, and y: [T+1, O], of which y[0]
        is unused.

        Steps count from 1, as in the textbook.
        """
        steps, hidden, outputs = len(x), len(s_0), len(self.c)
        s = np.zeros((steps + 1, hidden))
        y = np.zeros((steps + 1, outputs))
        s[0] = s_0
        for t in range(1, steps + 1):
            for j in range(hidden):
                a = self.b[j]
                for i in range(x.shape[1]):
                    a += self.V[j, i] * x[t - 1, i]
                for i in range(hidden):
                    a += self.U[j, i] * s[t - 1, i]
                s[t, j] = self.f(a)
            for k in range(outputs):
                a = self.c[k]
                for j in range(hidden):
                    a += self.W[k, j] * s[t, j]
                y[t, k] = self.g(a)
        return s, y

    def backward(self, x, s_0, d):
        """Full back-propagation through time: the changes of V, U, b, W, c, and of s_0. d: [T, O],
        the targets."""
        return self.truncated_backward(x, s_0, d, 1, len(x))

    def truncated_backward(self, x, s_0, d, k1, k2):
        """TBPTT(k1, k2): at the end of every k1 steps, the errors of the last k1 outputs go back at
        most k2 steps."""
        s, y = self.forward(x, s_0)
        steps = len(x)
        e_o = np.zeros_like(y)
        for t in range(1, steps + 1):
            e_o[t] = (d[t - 1] - y[t]) * self.g_prime(y[t])
        dV, dU, db = np.zeros_like(self.V), np.zeros_like(self.U), np.zeros_like(self.b)
        dW, dc = np.zeros_like(self.W), np.zeros_like(self.c)
        ds_0 = np.zeros_like(s_0)
        for end in range(k1, steps + k1, k1):  # the window's nominal end; the last may lie beyond T
            e_h = np.zeros_like(s_0)
            for tau in range(k2):
                t = end - tau
                if t > steps:
                    continue
                if t < 1:
                    break
                error = np.zeros_like(s_0)
                for j in range(len(s_0)):
                    for i in range(len(s_0)):
                        error[j] += self.U[i, j] * e_h[i]
                    if t > end - k1:  # an output that this window owns
                        for k in range(len(self.c)):
                            error[j] += self.W[k, j] * e_o[t, k]
                e_h = error * self.f_prime(s[t])
                dV += np.outer(e_h, x[t - 1])
                dU += np.outer(e_h, s[t - 1])
                db += e_h
                if t == 1:
                    ds_0 += e_h @ self.U
        for t in range(1, steps + 1):
            dW += np.outer(e_o[t], s[t])
            dc += e_o[t]
        return {"V": dV, "U": dU, "b": db, "W": dW, "c": dc, "s_0": ds_0}
