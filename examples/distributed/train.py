"""A character model trained by several processes, each of which reads a part of every batch.

    torchrun --standalone --nproc_per_node 2 examples/distributed/train.py
    torchrun --standalone --nproc_per_node 2 examples/distributed/train.py --engine fsdp
    torchrun --standalone --nproc_per_node 2 examples/distributed/train.py --verify

The processes talk through nccl where each has a GPU, through gloo otherwise. `--engine ddp` keeps
the whole model in each process and averages gradients (DistributedDataParallel); `--engine fsdp`
keeps a part of each parameter in each process (FSDP2). `--verify` trains a few steps in float64
with either, and as one process with the whole batch, and compares the parameters.
"""

import argparse
import os
import sys
from pydoc_data.topics import topics

import elman
import torch
import torch.distributed as dist
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel


class CharModel(torch.nn.Module):
    """Embedding, recurrent layers, output layer.

    The layers are modules of their own: a module's gradients all arrive together, so that there
    are the more of them to send while the backward pass goes on.
    """

    def __init__(self, vocabulary_size, arguments, device):
        super().__init__()
        hidden = arguments.hidden
        options = dict(truncation=tuple(arguments.truncation), batch_first=True, device=device)
        sizes = [arguments.embedding] + [hidden] * arguments.layers
        self.embedding = torch.nn.Embedding(vocabulary_size, arguments.embedding, device=device)
        self.layers = torch.nn.ModuleList(elman.RNN(size, hidden, **options) for size in sizes[:-1])
        self.head = torch.nn.Linear(hidden, vocabulary_size, device=device)

    def forward(self, characters, states):
        """characters: [B, T], states: [1, B, H] of each layer; returns logits [B, T, V], states."""
        x = self.embedding(characters)
        last = []
        for layer, state in zip(self.layers, states, strict=True):
            x, state = layer(x, state)
            last.append(state.detach())
        return self.head(x), last


class Streams:
    """Rows `begin` to `end` of a text cut into `batch` streams, chunk after chunk."""

    def __init__(self, codes, batch, chunk, rows, device):
        length = (codes.numel() - 1) // batch
        self.input = codes[: batch * length].view(batch, length)[rows].to(device)  # [rows, length]
        self.target = codes[1 : batch * length + 1].view(batch, length)[rows].to(device)
        self.chunks = length // chunk
        self.chunk = chunk

    def __getitem__(self, step):
        """(input, target), each [rows, chunk], and whether the streams begin here."""
        begin = step % self.chunks * self.chunk
        chunk = slice(begin, begin + self.chunk)
        return self.input[:, chunk], self.target[:, chunk], begin == 0


def parallel(model, engine, arguments, device):
    """The model spread over all processes; what it is called with and returns stays the same."""
    if engine == "ddp":
        ids = [device.index] if device.type == "cuda" else None
        return DistributedDataParallel(model, ids, bucket_cap_mb=arguments.bucket_kb / 1024)
    for part in [model.embedding, *model.layers, model.head, model]:
        fully_shard(part)
    return model


def progress(steps):
    """The steps' numbers, with a bar."""
    try:
        from tqdm import trange
    except ImportError:
        raise SystemExit("tqdm is missing: pip install -r examples/requirements.txt") from None
    return trange(steps, unit="step")


def train(model, streams, arguments, steps, show=False):
    """Yields the loss of each step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=arguments.learning_rate)
    states = None
    for step in progress(steps) if show else range(steps):
        input, target, first = streams[step]
        if first:
            states = [None] * arguments.layers
        logits, states = model(input, states)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        yield loss.detach()


def whole(parameter):
    return parameter.full_tensor() if isinstance(parameter, DTensor) else parameter.detach()


class Buckets:
    """Counts a step's all-reduces, and those that began while the backward pass went on."""

    def __init__(self, ddp):
        ddp.register_comm_hook(None, self._send)
        ddp.module.register_forward_pre_hook(self._begin)
        ddp.module.layers[0].register_full_backward_hook(self._first_layer_done)

    def _begin(self, *_):
        self.sent = 0
        self.early = 0  # while the gradient of the first layer's input was still to come
        self._done = False

    def _send(self, _, bucket):
        self.sent += 1
        self.early += not self._done
        return allreduce_hook(None, bucket)

    def _first_layer_done(self, *_):
        self._done = True


def verify(engine, make_model, make_streams, arguments, device):
    """Whether a few steps in parallel give the parameters of one process with the whole batch."""
    torch.set_default_dtype(torch.float64)
    rank, world = dist.get_rank(), dist.get_world_size()
    rows = arguments.batch // world
    together = parallel(make_model(), engine, arguments, device)
    buckets = Buckets(together) if engine == "ddp" else None
    list(train(together, make_streams(slice(rank * rows, (rank + 1) * rows)), arguments, 3))
    alone = make_model()
    list(train(alone, make_streams(slice(0, arguments.batch)), arguments, 3))
    largest = max(
        (whole(ours) - theirs.detach()).abs().max().item()
        for ours, theirs in zip(together.parameters(), alone.parameters(), strict=True)
    )
    moved = (alone.head.weight - make_model().head.weight).abs().max().item()
    text = (
        f"{engine}, process {rank} of {world}: after 3 steps, which moved weights by up to "
        f"{moved:.1e}, parameters differ by at most {largest:.1e} from one process with the whole "
        "batch"
    )
    if buckets is not None:
        text += f"; gradients went out in {buckets.sent} buckets, {buckets.early} of them early"
    print(text + "\n", end="", flush=True)  # one write: all processes share the terminal
    return largest < 1e-10


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", choices=("ddp", "fsdp"), default="ddp")
    parser.add_argument("--verify", action="store_true", help="compare both engines instead")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=32, help="streams, of all processes together")
    parser.add_argument("--chunk", type=int, default=64, help="characters of a stream per step")
    parser.add_argument("--truncation", type=int, nargs=2, default=(8, 16), metavar=("K1", "K2"))
    parser.add_argument("--embedding", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument(
        "--bucket-kb",
        type=float,
        default=64,
        help="DistributedDataParallel sends gradients in parts of this size; torch's 25 MB would "
        "hold such a model's gradients whole, to be sent after the backward pass",
    )
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def leave() -> None:
    """Ends together: a process that goes while another still talks to it may be aborted."""
    dist.barrier()
    dist.destroy_process_group()


def main():
    arguments = parse()
    if "LOCAL_RANK" not in os.environ:
        command = "torchrun --standalone --nproc_per_node 2 examples/distributed/train.py"
        sys.exit(f"torchrun starts this program's processes: {command}")
    # Where every process has a GPU of its own, nccl; gloo otherwise.
    local_rank = int(os.environ["LOCAL_RANK"])
    cuda = torch.cuda.device_count() >= int(os.environ["LOCAL_WORLD_SIZE"])
    device = torch.device("cuda", local_rank) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if cuda else "gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    if arguments.batch % world:
        # Each process's mean loss would otherwise stand for another number of rows.
        sys.exit(f"--batch {arguments.batch} cannot be shared out evenly among {world} processes")

    text = "\n\n".join(topics[name] for name in sorted(topics))  # what Python's help has to say
    vocabulary = sorted(set(text))
    code_of = {character: code for code, character in enumerate(vocabulary)}
    codes = torch.tensor([code_of[character] for character in text])

    def make_model():
        torch.manual_seed(arguments.seed)  # the same weights in every process
        return CharModel(len(vocabulary), arguments, device)

    def make_streams(rows):
        return Streams(codes, arguments.batch, arguments.chunk, rows, device)

    if arguments.verify:
        same = (make_model, make_streams, arguments, device)
        equal = [verify(engine, *same) for engine in ("ddp", "fsdp")]
        leave()
        sys.exit(0 if all(equal) else 1)

    model = parallel(make_model(), arguments.engine, arguments, device)
    rows = arguments.batch // world
    streams = make_streams(slice(rank * rows, (rank + 1) * rows))
    losses = []
    for loss in train(model, streams, arguments, arguments.steps, show=rank == 0):
        dist.all_reduce(loss)
        losses.append(loss.item() / world)
    if rank == 0:
        for begin in range(0, len(losses), max(1, len(losses) // 8)):
            part = losses[begin : begin + max(1, len(losses) // 8)]
            print(f"step {begin + len(part):5d}   {sum(part) / len(part):.3f} nats per character")
    leave()


if __name__ == "__main__":
    main()
