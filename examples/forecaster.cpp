// A time-series forecaster in C++: a series of numbers is read one by one, and the network says
// each time what the next one will be. It learns with the sliding window TBPTT(1, k2): each error
// goes back k2 steps. examples/training/forecaster.py is its counterpart in Python.
//
// The series is a CSV file of two columns, a time and a number, such as the sunspots of each year
// that statsmodels ships:
//
//   forecaster --series .../site-packages/statsmodels/datasets/sunspots/sunspots.csv

#include <ATen/Parallel.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/linalg_lstsq.h>
#include <ATen/ops/tensor.h>
#include <elman/elman.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adamw.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/figure.h"
#include "common/flags.h"
#include "common/interrupt.h"
#include "common/progress.h"

namespace forecaster {
namespace {

// Forecasts at the beginning that do not count: there is no past to go by.
constexpr int64_t kWarmUp = 10;

struct Options {
  std::filesystem::path series;
  int64_t hidden_size = 16;
  int64_t truncation = 20;
  int64_t epochs = 1500;
  double learning_rate = 5e-3;
  double known = 0.7;
  int64_t seed = 1;
  int64_t threads = 1;
  std::filesystem::path output = "forecasts.csv";
  std::filesystem::path picture = "forecasts.svg";
};

std::vector<examples::Flag> Flags(Options& o) {
  return {
      {"--series", "FILE", "CSV of two columns, a time and a number", &o.series},
      {"--hidden", "H", "hidden size", &o.hidden_size},
      {"--truncation", "k2", "steps that errors go back", &o.truncation},
      {"--epochs", "N", "passes over the part that is learnt from", &o.epochs},
      {"--learning-rate", "R", "step size of AdamW at the beginning", &o.learning_rate, 0},
      {"--known", "P", "part of the series to learn from", &o.known, 0},
      {"--seed", "N", "seed of the weights", &o.seed, 0},
      {"--threads", "N", "threads", &o.threads},
      {"--output", "FILE", "CSV to write: time, number, forecast", &o.output},
      {"--picture", "FILE", "SVG to write", &o.picture},
  };
}

struct Series {
  std::vector<std::string> times;
  at::Tensor numbers;  // [T] float64
};

// The number behind the line's comma; NaN if there is none, or more than that.
double NumberIn(const std::string& line) {
  const size_t comma = line.find(',');
  if (comma == std::string::npos) return NAN;
  const char* const text = line.c_str() + comma + 1;
  char* end = nullptr;
  const double number = std::strtod(text, &end);
  while (*end == ' ' || *end == '\t' || *end == '\r') ++end;
  return end == text || *end != '\0' ? NAN : number;
}

Series Load(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  Series series;
  std::vector<double> numbers;
  std::string line;
  for (bool first = true; std::getline(file, line); first = false) {
    const double number = NumberIn(line);
    if (first && std::isnan(number)) continue;  // the columns' names
    if (!std::isfinite(number)) {
      throw std::runtime_error(path.string() +
                               ": expected two columns, a time, a comma and a number, got '" +
                               line + "'");
    }
    series.times.push_back(line.substr(0, line.find(',')));
    numbers.push_back(number);
  }
  if (numbers.size() < 3 * kWarmUp) {
    throw std::runtime_error(path.string() + ": expected at least " + std::to_string(3 * kWarmUp) +
                             " numbers, got " + std::to_string(numbers.size()));
  }
  series.numbers = at::tensor(numbers, at::kDouble);
  return series;
}

// What the network sees of the numbers, about 1 in size. Of numbers >= 0, such as counts, the
// square roots, so that the noise of high and low ones is alike; of others the distance from their
// mean.
struct Scale {
  // known: [T] float64, the part to learn from
  Scale(const at::Tensor& all, const at::Tensor& known)
      : roots(all.ge(0).all().item<bool>()),
        shift(roots ? 0 : known.mean().item<double>()),
        size((roots ? known.max() : known.std(/*unbiased=*/false)).item<double>()) {
    if (!(size > 0)) {
      throw std::runtime_error("the part to learn from holds nothing but the same number");
    }
  }

  // [T] float64 to [T, 1, 1]
  at::Tensor ToNetwork(const at::Tensor& numbers) const {
    const at::Tensor scaled = (numbers - shift) / size;
    return (roots ? scaled.sqrt() : scaled).to(at::kFloat).view({-1, 1, 1});
  }

  at::Tensor FromNetwork(const at::Tensor& values) const {
    const at::Tensor scaled = roots ? values.clamp_min(0).square() : values;
    return scaled.flatten().to(at::kDouble) * size + shift;
  }

  bool roots;
  double shift;
  double size;
};

// A network that has learnt from x: [T, 1, 1].
elman::Network Train(const at::Tensor& x, const Options& options) {
  elman::Network network(elman::NetworkOptions(1, options.hidden_size, 1));
  network->rnn->options.truncation(1, options.truncation);
  torch::optim::AdamW optimizer(network->parameters(),
                                torch::optim::AdamWOptions(options.learning_rate));
  const int64_t steps = x.size(0) - 1;
  examples::ProgressBar bar(0, options.epochs, HUGE_VAL);
  for (int64_t epoch = 1; epoch <= options.epochs && !examples::Interrupted(); ++epoch) {
    // Ever smaller steps, down to none.
    const double way = static_cast<double>(epoch - 1) / static_cast<double>(options.epochs);
    for (auto& group : optimizer.param_groups())
      group.options().set_lr(options.learning_rate * (1 + std::cos(M_PI * way)) / 2);

    const at::Tensor forecast = std::get<0>(network->forward(x.narrow(0, 0, steps)));
    const at::Tensor loss =
        (forecast - x.narrow(0, 1, steps)).narrow(0, kWarmUp, steps - kWarmUp).square().mean();
    optimizer.zero_grad();
    loss.backward();
    torch::nn::utils::clip_grad_norm_(network->parameters(), 1.0);
    optimizer.step();
    bar.Show(epoch, [&] {
      char status[32];
      std::snprintf(status, sizeof status, "error %.4f", std::sqrt(loss.item<double>()));
      return std::string(status);
    });
  }
  bar.Close();
  return network;
}

// What the usual linear model forecasts: each value from the kLags before it and a constant, fitted
// by least squares to the first `known` values of x: [T, 1, 1]. [T], aligned as the network's.
at::Tensor LinearForecast(const at::Tensor& x, int64_t known) {
  constexpr int64_t kLags = 9;
  const at::Tensor values = x.flatten().to(at::kDouble);
  // past: [T - kLags + 1, kLags + 1], the values up to each and a one
  const at::Tensor past = at::constant_pad_nd(values.unfold(0, kLags, 1), {0, 1}, 1);
  const int64_t fitted = known - kLags;
  const at::Tensor weights = std::get<0>(
      at::linalg_lstsq(past.narrow(0, 0, fitted), values.narrow(0, kLags, fitted).unsqueeze(1)));
  return at::constant_pad_nd(past.matmul(weights).flatten(), {kLags - 1, 0}, 0);
}

double RootMeanSquare(const at::Tensor& error) {
  return error.square().mean().sqrt().item<double>();
}

void Write(const std::filesystem::path& path, const Series& series, const at::Tensor& forecast) {
  std::ofstream file(path);
  file << "time,number,forecast\n";
  for (size_t t = 1; t < series.times.size(); ++t) {
    const auto i = static_cast<int64_t>(t);
    file << series.times[t] << ',' << series.numbers[i].item<double>() << ','
         << forecast[i - 1].item<double>() << '\n';
  }
  if (!file.flush()) throw std::runtime_error("cannot write " + path.string());
}

// The numbers that were not learnt from, and what had been forecast for each.
void Draw(const std::filesystem::path& path, const Series& series, const at::Tensor& forecast,
          int64_t known) {
  std::vector<double> position, number, predicted;
  for (int64_t t = known; t < series.numbers.size(0); ++t) {
    // A time that is no number, such as a date, is shown by its place in the series.
    char* end = nullptr;
    const double time = std::strtod(series.times[t].c_str(), &end);
    position.push_back(*end == '\0' ? time : static_cast<double>(t));
    number.push_back(series.numbers[t].item<double>());
    predicted.push_back(forecast[t - 1].item<double>());
  }
  const double highest = std::max(*std::max_element(number.begin(), number.end()),
                                  *std::max_element(predicted.begin(), predicted.end()));
  const double lowest = std::min({0.0, *std::min_element(number.begin(), number.end()),
                                  *std::min_element(predicted.begin(), predicted.end())});
  const double air = 0.05 * (highest - lowest);
  examples::WriteFigure(path, "Each number, and its forecast from all before it", "number",
                        {{"time",
                          {position.front(), std::max(position.back(), position.front() + 1)},
                          {lowest < 0 ? lowest - air : 0, highest + air},
                          {{"number", examples::kOrange, 5, position, number},
                           {"forecast", examples::kBlue, 1.8, position, predicted}}}});
}

}  // namespace

int Main(int argc, char** argv) {
  Options options;
  if (!examples::ReadCommandLineOrHelp(argc, argv, Flags(options), "Forecasts a series.",
                                       "--series FILE [options]"))
    return 0;
  if (options.series.empty()) throw examples::UsageError("--series is missing");
  if (!(options.known > 0 && options.known < 1))
    throw examples::UsageError("--known: expected a part between 0 and 1");
  at::set_num_threads(static_cast<int>(options.threads));
  torch::manual_seed(static_cast<uint64_t>(options.seed));
  examples::CatchInterrupts();

  const Series series = Load(options.series);
  const int64_t total = series.numbers.size(0);
  const auto known = std::max(2 * kWarmUp, static_cast<int64_t>(options.known * total));
  const Scale scale(series.numbers, series.numbers.narrow(0, 0, known));
  const at::Tensor x = scale.ToNetwork(series.numbers);
  elman::Network network = Train(x.narrow(0, 0, known), options);
  if (examples::Interrupted()) return examples::kInterruptedExit;

  const torch::NoGradGuard no_grad;
  network->eval();
  // forecast: [T], of the number after each; the last one has not come yet.
  const at::Tensor forecast = scale.FromNetwork(std::get<0>(network->forward(x)));
  const at::Tensor linear = scale.FromNetwork(LinearForecast(x, known));
  const at::Tensor truth = series.numbers.narrow(0, known, total - known);
  const auto error = [&](const at::Tensor& forecasts) {
    return RootMeanSquare(forecasts.narrow(0, known - 1, total - known) - truth);
  };
  std::printf(
      "root mean square error over the last %lld numbers: elman %.2f, last number %.2f, "
      "linear model %.2f\n",
      static_cast<long long>(total - known), error(forecast), error(series.numbers), error(linear));
  std::printf("after %s: %.1f\n", series.times.back().c_str(), forecast[-1].item<double>());
  Write(options.output, series, forecast);
  Draw(options.picture, series, forecast, known);
  std::printf("forecasts: %s\npicture: %s\n", std::filesystem::absolute(options.output).c_str(),
              std::filesystem::absolute(options.picture).c_str());
  return 0;
}

}  // namespace forecaster

int main(int argc, char** argv) { return examples::RunMain(argc, argv, forecaster::Main); }
