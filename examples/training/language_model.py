"""A character model that reads a text in streams and never stops to forget.

    python examples/training/language_model.py

The text, half a megabyte of English that comes with Python, is cut into B streams that are read
side by side. Every k1 characters the optimizer takes a step; `elman.Stream` lets the errors go back
k2 of them, through chunks that were read before the weights changed. Beside it stands the usual
loop that detaches the state after every chunk, where errors end at the chunk's border.
"""

import argparse
import math
import time

import elman
import torch
from common import BLUE, GREY, parse, plt, progress, save, text_of_python_help


class CharModel(torch.nn.Module):
    """Embedding, recurrent layers, output layer."""

    def __init__(self, vocabulary_size, arguments):
        super().__init__()
        self.embedding = torch.nn.Embedding(vocabulary_size, arguments.embedding)
        self.rnn = elman.RNN(arguments.embedding, arguments.hidden, arguments.layers)
        self.head = torch.nn.Linear(arguments.hidden, vocabulary_size)

    def loss(self, run, input, target):
        """Nats per character of [T, B] characters; `run` makes states [T, B, H] of embeddings."""
        logits = self.head(run(self.embedding(input)))
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())

    @torch.no_grad()
    def judge(self, input, target):
        """Nats per character of streams [T, B] that it has not learnt from."""
        return self.loss(lambda x: self.rnn(x)[0], input, target).item()

    @torch.no_grad()
    def continue_(self, codes, length, temperature=0.6):
        """`length` characters that could come after `codes`, [n]; returns their codes."""
        output, state = self.rnn(self.embedding(codes[:, None]))
        result = []
        for _ in range(length):
            chances = torch.softmax(self.head(output[-1, 0]) / temperature, dim=-1)
            result.append(torch.multinomial(chances, 1))
            output, state = self.rnn(self.embedding(result[-1][:, None]), state)
        return torch.cat(result)


def cut(codes, batch):
    """A text [N] as `batch` streams: input and target [T, B], the target one character ahead."""
    length = (len(codes) - 1) // batch
    input = codes[: batch * length].view(batch, length).T.contiguous()
    target = codes[1 : batch * length + 1].view(batch, length).T.contiguous()
    return input, target


def train(make_run, streams, held_out, vocabulary_size, arguments, label):
    """The trained model, the loss on the held-out text ten times on the way, the seconds."""
    torch.manual_seed(arguments.seed)
    model = CharModel(vocabulary_size, arguments)
    run, begin_anew = make_run(model.rnn)
    optimizer = torch.optim.Adam(model.parameters(), lr=arguments.learning_rate)
    # The first characters of each stream only warm the state.
    warming = streams[0][: arguments.burn_in]
    learnt = [part[arguments.burn_in :] for part in streams]
    chunks = list(zip(*(part.split(arguments.k1)[:-1] for part in learnt), strict=True))
    total = arguments.epochs * len(chunks)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, arguments.learning_rate, total)
    judged, seconds = [], 0.0
    bar = progress(total=total, unit="step", desc=label)
    for step in range(1, total + 1):
        begin = time.perf_counter()
        input, target = chunks[(step - 1) % len(chunks)]
        if (step - 1) % len(chunks) == 0:
            begin_anew(model.embedding(warming))
        loss = model.loss(run, input, target)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        seconds += time.perf_counter() - begin
        if step % (total // 10) == 0:
            judged.append(model.judge(*held_out))
            bar.set_postfix(held_out=f"{judged[-1]:.3f}")
        bar.update()
    bar.close()
    return model, judged, seconds


def stream_of(k1, k2):
    """Errors go back k2 steps, whatever the chunks."""

    def make(rnn):
        stream = elman.Stream(rnn, k1, k2)

        def begin_anew(warming):
            stream.reset()
            if len(warming):
                stream.burn_in(warming)

        return stream, begin_anew

    return make


def detach_loop(rnn):
    """Errors go back to the beginning of their chunk."""
    state = None

    def run(x):
        nonlocal state
        states, last = rnn(x, state)
        state = last.detach()
        return states

    def begin_anew(warming):
        nonlocal state
        state = rnn(warming)[1].detach() if len(warming) else None

    return run, begin_anew


def draw(curves, characters, arguments):
    figure, (ax, time_ax) = plt.subplots(1, 2, figsize=(8.5, 3.2), width_ratios=(2, 1))
    for (label, (judged, _)), colour in zip(curves.items(), (BLUE, GREY), strict=True):
        bits = [nats / math.log(2) for nats in judged]
        read = [characters / 1e6 * (i + 1) / len(bits) for i in range(len(bits))]
        ax.plot(read, bits, "o-", ms=3, color=colour, label=f"{label}: {bits[-1]:.3f}")
    ax.set(title="held-out text, bits per character", xlabel="million characters read")
    ax.legend(title="at the end", alignment="left")
    speeds = [characters / seconds / 1000 for _, seconds in curves.values()]
    bars = time_ax.bar(list(curves), speeds, color=[BLUE, GREY], width=0.6)
    time_ax.bar_label(bars, fmt="%.1f")
    time_ax.set(title="thousand characters a second")
    time_ax.grid(axis="x", visible=False)
    save(figure, arguments)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--k1", type=int, default=2, help="characters between two steps")
    parser.add_argument("--k2", type=int, default=20, help="characters that errors go back")
    parser.add_argument(
        "--burn-in",
        type=int,
        default=0,
        help="characters at the streams' beginnings that have no loss, a multiple of k1",
    )
    parser.add_argument("--batch", type=int, default=32, help="streams")
    parser.add_argument("--embedding", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=128, help="hidden size")
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--characters", type=int, default=10**9, help="of the text, at most")
    arguments = parse(
        parser,
        quick=dict(
            k1=5,
            k2=40,
            burn_in=20,
            characters=40_000,
            epochs=1,
            hidden=48,
            batch=16,
            learning_rate=1e-2,
        ),
    )

    codes, vocabulary = text_of_python_help()
    codes = codes[: arguments.characters]
    border = int(0.9 * len(codes))
    streams, held_out = cut(codes[:border], arguments.batch), cut(codes[border:], arguments.batch)
    ways = {
        f"Stream({arguments.k1}, {arguments.k2})": stream_of(arguments.k1, arguments.k2),
        f"detached every {arguments.k1}": detach_loop,
    }
    curves, models = {}, []
    for label, make_run in ways.items():
        model, judged, seconds = train(
            make_run, streams, held_out, len(vocabulary), arguments, label
        )
        models.append(model)
        curves[label] = judged, seconds
        speed = arguments.epochs * streams[0].numel() / seconds
        print(
            f"{label}: {judged[-1] / math.log(2):.3f} bits per held-out character, "
            f"{speed:.0f} characters/s"
        )
    sample = models[0].continue_(codes[border : border + 200], 400)
    print("\nthe first model goes on:\n" + "".join(vocabulary[code] for code in sample))
    draw(curves, arguments.epochs * streams[0].numel(), arguments)


if __name__ == "__main__":
    main()
