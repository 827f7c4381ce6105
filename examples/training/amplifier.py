"""Learns what a guitar amplifier does to a sound, and plays through the copy block by block.

    python examples/training/amplifier.py

The amplifier is a formula (`amplifier`): a high-pass filter, a gain that sags after loud notes, an
asymmetric clipping stage and a tone filter. A network of 16 units learns it from a few seconds of
plucked strings with TBPTT(k1, k2) on streams: 32 pieces of the recording side by side. Then
`elman.Stepper` plays a riff that was not learnt in blocks of 64 samples, as an audio program would.
Writes the trained network as `amplifier.safetensors` beside the picture, and the riff as WAV files:
dry, through the amplifier, through the network. examples/stepper/amplifier.cpp plays the same file
without Python and LibTorch.
"""

import argparse
import time
import wave
from pathlib import Path

import elman
import torch
from common import BLUE, GREY, ORANGE, package, parse, plt, progress, save

numpy, signal = map(package, ("numpy", "scipy.signal"))

RATE = 24000  # samples a second


def pluck(frequency, seconds, random):
    """A string (Karplus and Strong 1983): noise that runs around a delay line and is averaged."""
    samples, delay = int(seconds * RATE), int(RATE / frequency)
    noise = numpy.zeros(samples)
    noise[:delay] = random.uniform(-1, 1, delay)
    feedback = numpy.zeros(delay + 2)
    feedback[0], feedback[delay], feedback[delay + 1] = 1, -0.4985, -0.4985
    return signal.lfilter([1], feedback, noise)


def play(notes, seconds, random):
    """Notes one after the other, of several loudnesses. [N]"""
    sound = [pluck(f, seconds, random) * random.uniform(0.1, 0.6) for f in notes]
    return numpy.concatenate(sound)


def amplifier(x):
    """What is to be learnt. x: [N]"""
    x = signal.lfilter([0.98, -0.98], [1, -0.96], x)  # no lows
    loudness = signal.lfilter([0.002], [1, -0.998], abs(x))
    x = 8 * x / (1 + 6 * loudness)  # the supply sags
    x = numpy.tanh(x + 0.3) - numpy.tanh(0.3)
    return signal.lfilter([0.35], [1, -0.65], x)  # the loudspeaker


def error_to_signal(y, target):
    return ((y - target) ** 2).sum() / (target**2).sum()


def train(x, target, arguments):
    """A network that has heard x, [N], and what the amplifier made of it."""
    network = elman.Network(1, arguments.hidden, 1)
    # The pieces side by side: [T, B, 1]
    pieces = [torch.tensor(v, dtype=torch.float32).view(32, -1).T[..., None] for v in (x, target)]
    optimizer = torch.optim.Adam(network.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, arguments.epochs, 2e-4)
    for _ in (bar := progress(range(arguments.epochs), desc="epochs")):
        stream = elman.Stream(network.rnn, arguments.k1, arguments.k2)
        # A piece begins in the middle of a sound: its first steps only warm the state.
        stream.burn_in(pieces[0][: arguments.burn_in])
        errors = []
        for chunk, wanted in zip(
            *(piece[arguments.burn_in :].split(arguments.k1) for piece in pieces), strict=True
        ):
            loss = error_to_signal(network.out(stream(chunk)), wanted)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            errors.append(loss.item())
        schedule.step()
        bar.set_postfix(error=f"{numpy.mean(errors):.4f}", refresh=False)
    return network


def play_blocks(stepper, x, block=64):
    """x through the network, and how many times as fast as it sounds."""
    y = numpy.empty_like(x)
    start = time.perf_counter()
    for at in range(0, len(x) - block + 1, block):
        stepper.process(x[at : at + block, None], out=y[at : at + block, None])
    return y, len(x) / RATE / (time.perf_counter() - start)


def write_wav(path, sound):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((sound.clip(-1, 1) * 32767).astype("<i2").tobytes())


def draw(x, target, y, arguments):
    figure, axes = plt.subplots(2, 2, figsize=(9, 5), width_ratios=(1.3, 1))
    shown = slice(RATE // 2, RATE // 2 + RATE // 50)
    milliseconds = numpy.arange(RATE // 50) / RATE * 1000
    axes[0, 0].plot(milliseconds, x[shown], color=GREY, label="dry")
    axes[0, 0].plot(milliseconds, target[shown], color=BLUE, label="amplifier")
    axes[0, 0].plot(milliseconds, y[shown], color=ORANGE, ls="--", label="network")
    axes[0, 0].set(title="20 ms of the riff", xlabel="milliseconds")
    axes[0, 0].legend(loc="lower right", bbox_to_anchor=(1, 0.97), ncols=3)
    loud = numpy.linspace(-1, 1, 200)
    axes[1, 0].scatter(x[::37], target[::37], s=2, color=BLUE, label="amplifier")
    axes[1, 0].scatter(x[::37], y[::37], s=2, color=ORANGE, label="network")
    axes[1, 0].set(title="Output against input", xlim=(loud[0] * 0.6, loud[-1] * 0.6))
    axes[1, 0].set(xlabel="dry", ylabel="output")
    axes[1, 0].legend(loc="upper left", markerscale=3)
    for axis, sound, name in ((axes[0, 1], target, "Amplifier"), (axes[1, 1], y, "Network")):
        axis.specgram(
            sound + 1e-9, NFFT=512, Fs=RATE, noverlap=256, cmap="magma", vmin=-120, vmax=-30
        )
        axis.set(title=name, ylabel="Hz", xlabel="seconds", ylim=(0, 8000))
        axis.grid(False)
    save(figure, arguments)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--k1", type=int, default=64, help="steps of a chunk")
    parser.add_argument("--k2", type=int, default=256, help="steps that an error goes back")
    parser.add_argument("--burn-in", type=int, default=512, help="steps before the first loss")
    parser.add_argument("--notes", type=int, default=24)
    arguments = parse(parser, {"epochs": 4, "notes": 8, "hidden": 12})
    random = numpy.random.default_rng(arguments.seed)
    sound = play(82 * 2 ** (random.integers(0, 30, arguments.notes) / 12), 1, random)
    network = train(sound, amplifier(sound), arguments)

    riff = play([110, 147, 165, 110, 196, 220], 0.5, random).astype("float32")
    target = amplifier(riff)
    file = Path(arguments.picture).with_name("amplifier.safetensors")
    elman.save_stepper(network, file)
    y, factor = play_blocks(elman.Stepper.load(file), riff)
    print(f"error of the riff: {100 * error_to_signal(y, target):.2f} % of the signal's energy")
    print(f"real-time factor: {factor:.0f} (seconds of sound per second, one thread)")
    for name, sound in (("dry", riff), ("amplifier", target), ("network", y)):
        write_wav(file.with_name(f"riff_{name}.wav"), sound)
    print(f"network: {file.resolve()}, WAV files beside it")
    draw(riff, target, y, arguments)


if __name__ == "__main__":
    main()
