"""What can be done with a learnt alpha beside learning it: end it, copy, convert and trace it."""

import copy
import pickle

import elman
import pytest
import torch
from torch.nn.utils.parametrize import remove_parametrizations

DTYPE = torch.float64


def leaky(*args, **options):
    options = {"alpha": 0.3, "learn_alpha": True, "dtype": DTYPE} | options
    return elman.LeakyRNN(4, 6, *args, **options)


def test_a_learnt_alpha_whose_parametrization_is_removed():
    rnn = leaky()
    assert rnn.learn_alpha and "learn_alpha=True" in repr(rnn)
    remove_parametrizations(rnn, "alpha")
    assert not rnn.learn_alpha and "learn_alpha" not in repr(rnn)
    x = torch.randn(5, 2, 4, dtype=DTYPE)
    expected = rnn(x)[0]
    scripted = torch.jit.script(rnn)
    for same in (copy.deepcopy(rnn), pickle.loads(pickle.dumps(rnn)), scripted):
        assert torch.equal(same(x)[0], expected)
    rnn.reset_parameters()
    assert rnn.alpha.item() == pytest.approx(0.3)


def test_pickles_keep_the_order_of_the_parameters():
    class Own(elman.LeakyRNN):
        def __init__(self):
            super().__init__(3, 5, alpha=torch.full((5,), 0.3), learn_alpha=True)
            self.gain = torch.nn.LayerNorm(5)

    for module in (Own().eval(), Own()):
        module.parametrizations.alpha[0].eval()
        again = copy.copy(module)
        assert [n for n, _ in again.named_parameters()] == [n for n, _ in module.named_parameters()]
        assert [m.training for m in again.modules()] == [m.training for m in module.modules()]
    rebuild, parts = Own().__reduce_ex__(4)
    older = rebuild(*parts[:3])  # as pickles were before they had the places
    assert older.learn_alpha and older.alpha.shape == (5,)


def test_a_learnt_alpha_in_a_complex_module():
    rnn = leaky().to(torch.complex128)
    fixed = elman.LeakyRNN(4, 6, alpha=0.3).to(torch.complex128)
    fixed.load_state_dict({n: p for n, p in rnn.state_dict().items() if "alpha" not in n}, False)
    x = torch.randn(5, 2, 4, dtype=torch.complex128)
    torch.testing.assert_close(rnn(x)[0], fixed(x)[0], rtol=1e-6, atol=1e-6)
    rnn(x)[0].abs().sum().backward()
    assert rnn.parametrizations.alpha.original.grad.abs() > 0


def test_a_learnt_alpha_is_traced():
    options = {"alpha": 0.3, "learn_alpha": True}
    for bare in (elman.LeakyRNN(4, 6, **options), elman.LeakyRNNCell(4, 6, **options)):
        x = torch.randn(2, 4)
        torch.testing.assert_close(torch.fx.symbolic_trace(bare)(x), bare(x))


def test_a_value_that_no_sigmoid_has_is_refused():
    rnn = leaky()
    for wrong, words in ((1.0, "less than 1"), (2.0, "less than 1"), (0.0, "greater than 0")):
        with pytest.raises(ValueError, match=f"alpha must be {words} where learn_alpha is True"):
            rnn.alpha = torch.tensor(wrong, dtype=DTYPE)
    rnn.alpha = torch.tensor(0.6, dtype=DTYPE)
    assert rnn.alpha.item() == pytest.approx(0.6)
