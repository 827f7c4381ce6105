"""`Stepper`: a trained network one step at a time, quickly; and the file that it is saved in."""

import ctypes
import os
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from elman._library import library_path
from elman._stepper_file import data_of, to_bytes

if TYPE_CHECKING:
    import numpy
else:
    try:
        import numpy
    except ImportError:  # torch works without it
        numpy = None

__all__ = ["Stepper", "save_stepper"]

Array = TypeVar("Array", Tensor, "numpy.ndarray[Any, Any]")  # a tensor or a NumPy array


def save_stepper(module: torch.nn.Module, path: str | os.PathLike[str]) -> None:
    """Writes the file that C++'s ``elman::Stepper::load`` and :meth:`Stepper.load` read.

    It is a ``.safetensors`` file: the tensors have the names of the module's state dict, and the
    options are in its metadata. Parameters of float64 stay float64; all others become float32.

    Args:
        module: an :class:`elman.RNN`, :class:`elman.RNNCell`, ``elman.LeakyRNN``,
            :class:`elman.Network`, :class:`torch.nn.RNN` or :class:`torch.nn.RNNCell` of one
            direction. Dropout has no part in it.
        path: where to write it

    Raises:
        TypeError: for a module of another class, or complex parameters.
        ValueError: for two directions, or a leaky network with noise.

    Example::

        >>> elman.save_stepper(elman.Network(1, 16, 1), "amplifier.safetensors")
    """
    contents, _ = to_bytes(module)
    Path(path).write_bytes(contents)


class Stepper:
    r"""A trained network that takes one step at a time and keeps its state, on the CPU.

    A step takes about as long as one inside of a long sequence: there is no dispatcher, no autograd
    and no allocation but the result's, and none with ``out``. It is C++'s ``elman::Stepper``, which
    programs without Python or LibTorch use.

    Args:
        module: as for :func:`save_stepper`. Its parameters are copied: later training does not
            change the stepper.
        rows: how many sequences are stepped together, each with a state of its own. Default: 1

    Raises:
        TypeError, ValueError: as :func:`save_stepper`, and for `rows` that is no int from 1 on

    Attributes:
        rows, input_size, hidden_size, num_layers, output_size: its sizes. Without an output layer
            ``output_size`` is ``hidden_size``.
        dtype: ``torch.float64`` if the module's parameters are, else ``torch.float32``

    Arrays are tensors on the CPU or NumPy arrays of that dtype, and results are of the same kind as
    the input. Nothing is copied where they are contiguous; no gradient is recorded. With one row
    the dimension of the rows may be left out.

    Example::

        >>> stepper = elman.Stepper(elman.Network(3, 32, 2))
        >>> y = stepper.step(torch.randn(3))  # [2]
        >>> ys = stepper.process(torch.randn(100, 3))  # [100, 2], continues from there
        >>> stepper.reset()
    """

    def __init__(self, module: torch.nn.Module, rows: int = 1) -> None:
        contents, dtype = to_bytes(module)
        self._open(contents, dtype, rows)

    @classmethod
    def load(cls, path: str | os.PathLike[str], rows: int = 1) -> "Stepper":
        """A stepper from a file that :func:`save_stepper` wrote.

        Raises:
            ValueError: where the file is damaged or not a stepper's; the message says why.
        """
        contents = Path(path).read_bytes()
        self = cls.__new__(cls)
        header = contents[: 8 + int.from_bytes(contents[:8], "little")]
        dtype = torch.float64 if b'"F64"' in header else torch.float32
        try:
            self._open(contents, dtype, rows)
        except ValueError as wrong:
            raise ValueError(f"Cannot load a stepper from '{path}': {wrong}") from None
        return self

    def _open(self, contents: bytes, dtype: torch.dtype, rows: int) -> None:
        self._handle = None
        if isinstance(rows, bool) or not isinstance(rows, int):
            raise TypeError(f"rows must be an int, got {type(rows).__name__}")
        if not 1 <= rows <= 2**24:
            raise ValueError(f"rows must be between 1 and {2**24}, got {rows}")
        self._calls = _calls(dtype)
        error = ctypes.create_string_buffer(4096)
        handle = self._calls.create(contents, len(contents), rows, error, len(error))
        if not handle:
            raise ValueError(error.value.decode(errors="replace"))
        self._handle = handle
        self._contents = contents
        self.dtype = dtype
        sizes = (ctypes.c_int64 * 5)()
        self._calls.sizes(handle, sizes)
        self.rows, self.input_size, self.hidden_size, self.num_layers, self.output_size = sizes
        self._step = self._calls.step
        self._numpy_dtype = numpy and numpy.dtype(str(dtype).removeprefix("torch."))
        self._one_x, self._one_y = (self.input_size,), (self.output_size,)
        self._rows_x, self._rows_y = (rows, self.input_size), (rows, self.output_size)
        shapes: tuple[tuple[int, ...], ...] = (self._one_y, self._rows_y)
        self._outputs = {shape: torch.empty(shape, dtype=dtype, device="cpu") for shape in shapes}

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._calls.destroy(self._handle)
            self._handle = None

    def step(self, x: Array, out: Array | None = None) -> Array:
        """One step.

        Args:
            x: `(rows, input_size)`, or `(input_size)` with one row
            out: where the result goes, of the result's shape; may be x where the sizes are equal

        Returns:
            The output, `(rows, output_size)` or `(output_size)`; it is ``out`` if that was given.

        Raises:
            TypeError: x or ``out`` is no array, or of another dtype
            ValueError: a shape is wrong, or ``out`` not contiguous
        """
        shape: Any = getattr(x, "shape", None)
        if shape == self._rows_x:
            shape = self._rows_y
        elif shape == self._one_x and self.rows == 1:
            shape = self._one_y
        else:
            self._refuse_shape("x", x, "")
        x, at = self._address("x", x)
        if out is None:
            out, to = self._new_out(x, shape)
        else:
            to = self._out_address(out, shape)
        self._step(self._handle, at, to)
        return out

    def process(self, x: Array, out: Array | None = None) -> Array:
        """Several steps, faster than one by one.

        Args:
            x: `(steps, rows, input_size)`, or `(steps, input_size)` with one row
            out: where the result goes, of the result's shape

        Returns:
            The outputs, `(steps, rows, output_size)` or `(steps, output_size)`.

        Raises:
            TypeError, ValueError: as :meth:`step`
        """
        if not hasattr(x, "shape"):
            self._address("x", x)  # which says what it is
        shape: tuple[int, ...]
        if len(x.shape) == 3 and tuple(x.shape[1:]) == self._rows_x:
            shape = (x.shape[0], *self._rows_y)
        elif len(x.shape) == 2 and tuple(x.shape[1:]) == self._one_x and self.rows == 1:
            shape = (x.shape[0], *self._one_y)
        else:
            self._refuse_shape("x", x, "steps, ")
        x, at = self._address("x", x)
        if out is None:
            out, to = self._new_out(x, shape)
        else:
            to = self._out_address(out, shape)
        self._calls.process(self._handle, at, to, shape[0])
        return out

    def reset(self, row: int | None = None) -> None:
        """The states of all rows, or of one, are zeros again."""
        if row is not None and (isinstance(row, bool) or not isinstance(row, int)):
            raise TypeError(f"row must be an int or None, got {type(row).__name__}")
        if row is not None and not 0 <= row < self.rows:
            raise IndexError(f"row must be between 0 and {self.rows - 1}, got {row}")
        self._calls.reset(self._handle, -1 if row is None else row)

    @property
    def state(self) -> Tensor:
        """A copy of the carried states, `(num_layers, rows, hidden_size)`, as ``h_n`` of the
        module. May be set, to a tensor or an array of this shape.
        """
        state = torch.empty(
            self.num_layers, self.rows, self.hidden_size, dtype=self.dtype, device="cpu"
        )
        self._calls.state(self._handle, data_of("state", state))
        return state

    @state.setter
    def state(self, state: Array) -> None:
        expected = (self.num_layers, self.rows, self.hidden_size)
        state, at = self._address("state", state)
        if tuple(state.shape) != expected:
            raise ValueError(f"state: expected shape {expected}, got {tuple(state.shape)}")
        self._calls.set_state(self._handle, at)

    def __repr__(self) -> str:
        return (
            f"Stepper(input_size={self.input_size}, hidden_size={self.hidden_size}, "
            f"num_layers={self.num_layers}, output_size={self.output_size}, rows={self.rows}, "
            f"dtype={self.dtype})"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {"contents": self._contents, "rows": self.rows, "state": self.state}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        self._open(saved["contents"], saved["state"].dtype, saved["rows"])
        self.state = saved["state"]

    def _address(self, name: str, array: Array) -> tuple[Array, int]:
        """The array, contiguous, and where its elements are."""
        if isinstance(array, Tensor):
            if array.dtype is not self.dtype:
                raise TypeError(f"{name}: expected dtype {self.dtype}, got {array.dtype}")
            if not array.is_cpu:
                raise ValueError(f"{name}: expected a tensor on the CPU, got {array.device}")
            if array.requires_grad:
                array = array.detach()
            if array.is_neg():  # whose memory holds the negative
                array = array.resolve_neg()
            if not array.is_contiguous():
                array = array.contiguous()
            return array, data_of(name, array)
        if numpy is None or not isinstance(array, numpy.ndarray):
            raise TypeError(
                f"{name} should be a Tensor or a NumPy array, got: {type(array).__name__}"
            )
        if array.dtype is not self._numpy_dtype and array.dtype != self._numpy_dtype:
            raise TypeError(f"{name}: expected dtype {self._numpy_dtype}, got {array.dtype}")
        if not array.flags.c_contiguous:
            array = array.copy(order="C")
        return array, array.__array_interface__["data"][0]  # quicker than array.ctypes

    def _new_out(self, x: Array, shape: tuple[int, ...]) -> tuple[Array, int]:
        """A result like x, and where its elements go; it needs no checks."""
        if isinstance(x, Tensor):
            model = self._outputs.get(shape)  # empty_like is the quickest of torch's
            out = x.new_empty(shape) if model is None else torch.empty_like(model)
            return out, data_of("the result", out)
        out = numpy.empty(shape, x.dtype)
        return out, out.__array_interface__["data"][0]

    def _out_address(self, out: Array, shape: tuple[int, ...]) -> int:
        if getattr(out, "shape", None) != shape:
            self._address("out", out)
            raise ValueError(f"out: expected shape {tuple(shape)}, got {tuple(out.shape)}")
        if isinstance(out, Tensor):
            if not out.is_contiguous():
                raise ValueError("out: expected a contiguous tensor")
            if out.requires_grad:
                raise ValueError("out: expected a tensor that does not require grad")
            if out.is_neg():
                raise ValueError("out: expected a tensor without the negative bit")
            if not out.is_inference():  # autograd has to know that it changes
                torch.autograd.graph.increment_version(out)
        elif not (out.flags.c_contiguous and out.flags.writeable):
            raise ValueError("out: expected a contiguous, writeable array")
        return self._address("out", out)[1]

    def _refuse_shape(self, name: str, array: Array, steps: str) -> None:
        self._address(name, array)  # what is no array has no shape
        one = f" or ({steps}{self.input_size})" if self.rows == 1 else ""
        one = one.replace(", )", ",)")
        raise ValueError(
            f"{name}: expected shape ({steps}{self.rows}, {self.input_size}){one}, got "
            f"{tuple(array.shape)}"
        )


_loaded: dict[torch.dtype, SimpleNamespace] = {}


def _calls(dtype: torch.dtype) -> SimpleNamespace:
    """The library's functions for steppers of this dtype (csrc/stepper/c_api.cpp)."""
    if dtype in _loaded:
        return _loaded[dtype]
    # A step takes less time than to give Python's lock away; many steps do not.
    short, long = ctypes.PyDLL(str(library_path())), ctypes.CDLL(str(library_path()))
    name = str(dtype).removeprefix("torch.")
    pointer, count = ctypes.c_void_p, ctypes.c_int64

    def function(library: Any, what: str, result: Any, *arguments: Any) -> Any:
        found = library[f"elman_stepper_{what}_{name}"]  # another object at each time
        found.restype, found.argtypes = result, arguments
        return found

    calls = SimpleNamespace(
        create=function(
            long,
            "create",
            pointer,
            ctypes.c_char_p,
            ctypes.c_size_t,
            count,
            ctypes.c_char_p,
            ctypes.c_size_t,
        ),
        destroy=function(short, "destroy", None, pointer),
        step=function(short, "step", None, pointer, pointer, pointer),
        process=function(long, "process", None, pointer, pointer, pointer, count),
        reset=function(short, "reset", None, pointer, count),
        state=function(short, "state", None, pointer, pointer),
        set_state=function(short, "set_state", None, pointer, pointer),
        sizes=function(short, "sizes", None, pointer, pointer),
    )
    _loaded[dtype] = calls
    return calls
