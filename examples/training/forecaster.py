"""Forecasts the yearly number of sunspots, 1700 to 2008, which statsmodels ships.

    python examples/training/forecaster.py

The network reads the series year by year and says each time what the next year brings. It learns
from the years to 1920 with the sliding window TBPTT(1, k2): each year's error goes back k2 years.
Judged are the years after 1920, against last year's number and against an autoregression over nine
years, which Yule (1927) invented for this series.
"""

import argparse

import elman
import torch
from common import BLUE, GREEN, GREY, ORANGE, package, parse, plt, progress, save

numpy, sunspots, ar_model = map(
    package, ("numpy", "statsmodels.datasets.sunspots", "statsmodels.tsa.ar_model")
)

WARM_UP = 10  # years at the beginning whose forecasts do not count: there is no past to go by


def load():
    """Years [N] and numbers [N]."""
    data = sunspots.load_pandas().data
    return data.YEAR.to_numpy().astype(int), data.SUNACTIVITY.to_numpy()


def to_network(numbers):
    """Square roots, so that the noise of high and low years is alike; about 0 to 1.4. [T, 1, 1]."""
    return torch.tensor(numpy.sqrt(numbers) / 10, dtype=torch.float32).view(-1, 1, 1)


def from_network(values):
    return ((values.clamp(min=0) * 10) ** 2).flatten().double().numpy()


def train(numbers, seed, arguments, bar):
    """A network that has seen `numbers`."""
    torch.manual_seed(seed)
    network = elman.Network(1, arguments.hidden, 1, truncation=(1, arguments.truncation))
    series = to_network(numbers)
    optimizer = torch.optim.AdamW(network.parameters(), lr=arguments.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, arguments.epochs)
    for _ in range(arguments.epochs):
        forecast, _ = network(series[:-1])
        error = (forecast - series[1:])[WARM_UP:]
        loss = (error**2).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        bar.update()
        bar.set_postfix(error=f"{10 * loss.item() ** 0.5:.2f}", refresh=False)
    return network.eval()


@torch.no_grad()
def next_years(network, numbers):
    """Forecasts [N] of the year after each."""
    return from_network(network(to_network(numbers))[0])


@torch.no_grad()
def run_free(network, numbers, years):
    """Forecasts [years] after `numbers`; each is the input for the next."""
    forecast, state = network(to_network(numbers))
    path = [forecast[-1:]]
    while len(path) < years:
        forecast, state = network(path[-1], state)
        path.append(forecast)
    return from_network(torch.cat(path))


def autoregression(numbers, known, order=9):
    """Forecasts [N] of the year after each, nan for the first, fitted to the `known` first."""
    roots = numpy.sqrt(numbers)
    constant, *weights = ar_model.AutoReg(roots[:known], order).fit().params
    forecast = numpy.full(len(roots), numpy.nan)
    for t in range(order - 1, len(roots)):
        past = roots[t - order + 1 : t + 1][::-1]
        forecast[t] = max(0.0, constant + past @ weights) ** 2
    return forecast


def draw(years, numbers, known, forecasts, paths, errors, arguments):
    figure, axes = plt.subplot_mosaic(
        [["series", "series"], ["free", "errors"]], figsize=(9, 5), width_ratios=(2.2, 1)
    )
    ax = axes["series"]
    ax.fill_between(years, numbers, color="#dddddd", label="counted")
    ax.plot(years[1:known], forecasts[: known - 1], color=GREY, lw=0.9, label="learnt from")
    ax.plot(years[known:], forecasts[known - 1 : -1], color=BLUE, label="forecast, a year ahead")
    ax.set(title="sunspots in a year", xlim=(years[0], years[-1]), ylim=(0, None))
    ax.legend(loc="upper left", ncols=3)

    ax = axes["free"]
    shown = years >= 1940
    ax.fill_between(years[shown], numbers[shown], color="#dddddd")
    for path_years, path in paths:
        ax.plot(path_years, path, color=ORANGE, lw=1.2)
        ax.plot(path_years[0], path[0], "o", color=ORANGE, ms=3)
    ax.set(title="left to itself for eleven years", xlim=(1940, years[-1]), ylim=(0, None))

    ax = axes["errors"]
    bars = ax.barh(list(errors), list(errors.values()), color=[BLUE, GREEN, GREY], height=0.6)
    ax.bar_label(bars, fmt="%.1f", padding=3)
    ax.set(title="root mean square error", xlim=(0, 1.2 * max(errors.values())))
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    save(figure, arguments)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hidden", type=int, default=16, help="hidden size")
    parser.add_argument("--truncation", type=int, default=20, help="k2, in years")
    parser.add_argument("--epochs", type=int, default=1500)
    parser.add_argument("--members", type=int, default=5, help="networks; their mean is judged")
    parser.add_argument("--learning-rate", type=float, default=5e-3)
    parser.add_argument("--last-known", type=int, default=1920, help="the last year to learn from")
    arguments = parse(parser, quick=dict(epochs=300, members=1))

    years, numbers = load()
    known = int((years <= arguments.last_known).sum())
    with progress(total=arguments.members * arguments.epochs, unit="epoch") as bar:
        networks = [
            train(numbers[:known], arguments.seed + member, arguments, bar)
            for member in range(arguments.members)
        ]
    forecasts = numpy.mean([next_years(network, numbers) for network in networks], axis=0)

    def error_of(forecast):  # forecast: [N] of the year after each
        return float(numpy.sqrt(numpy.mean((forecast[known - 1 : -1] - numbers[known:]) ** 2)))

    errors = {
        "elman": error_of(forecasts),
        "AR(9)": error_of(autoregression(numbers, known)),
        "last year": error_of(numbers),
    }
    for name, error in errors.items():
        print(
            f"{name + ':':10} root mean square error {error:5.2f} over {len(numbers) - known} years"
        )
    paths = []
    for start in range(1944, 1998, 11):
        stop = int((years < start).sum())
        path = numpy.mean([run_free(n, numbers[:stop], 11) for n in networks], axis=0)
        paths.append((numpy.arange(start, start + 11), path))
    draw(years, numbers, known, forecasts, paths, errors, arguments)


if __name__ == "__main__":
    main()
