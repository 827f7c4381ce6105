#include "curves.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iomanip>
#include <numeric>
#include <stdexcept>

namespace char_lm {
namespace {

double Sum(const std::vector<double>& values, size_t begin, size_t end) {
  return std::accumulate(values.begin() + static_cast<std::ptrdiff_t>(begin),
                         values.begin() + static_cast<std::ptrdiff_t>(end), 0.0);
}

double Mean(const std::vector<double>& values, size_t begin, size_t end) {
  return Sum(values, begin, end) / static_cast<double>(end - begin);
}

// Between two values, as torch.quantile has it. values: at least one
double Quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  const double at = q * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (at - static_cast<double>(below)) * (values[above] - values[below]);
}

// The time of each whole block of `block` updates.
std::vector<double> BlockSeconds(const Curve& curve, size_t block) {
  std::vector<double> seconds;
  for (size_t begin = 0; begin + block <= curve.seconds.size(); begin += block) {
    seconds.push_back(Sum(curve.seconds, begin, begin + block));
  }
  return seconds;
}

struct Difference {
  double value = 0;
  size_t update = 0;
};

Difference LargestDifference(const std::vector<double>& a, const std::vector<double>& b) {
  Difference largest;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(a[i] - b[i]);
    if (difference > largest.value) largest = {difference, i + 1};
  }
  return largest;
}

void PrintTable(const Curve& ours, const Curve& theirs) {
  const size_t updates = ours.losses.size();
  const size_t rows = std::min<size_t>(12, updates);
  const double highest = *std::max_element(ours.losses.begin(), ours.losses.end());
  std::printf("%15s %10s %14s   loss, nats per character\n", "updates", ours.name.c_str(),
              theirs.name.c_str());
  for (size_t row = 0; row < rows; ++row) {
    const size_t begin = row * updates / rows;
    const size_t end = (row + 1) * updates / rows;
    const double our_loss = Mean(ours.losses, begin, end);
    const std::string bar(static_cast<size_t>(std::max(0.0, 36 * our_loss / highest)), '#');
    std::printf("%6zu - %6zu %10.4f %14.4f   %s\n", begin + 1, end, our_loss,
                Mean(theirs.losses, begin, end), bar.c_str());
  }
}

}  // namespace

double Speed(const Curve& curve, size_t updates) {
  const size_t all = curve.seconds.size();
  const size_t begin = updates == 0 || updates > all ? 0 : all - updates;
  const double seconds = Sum(curve.seconds, begin, all);
  return seconds > 0 ? static_cast<double>(all - begin) * curve.characters_per_update / seconds : 0;
}

double MedianSpeed(const Curve& curve, size_t block) {
  const std::vector<double> seconds = BlockSeconds(curve, block);
  if (seconds.empty()) return Speed(curve);
  return static_cast<double>(block) * curve.characters_per_update / Quantile(seconds, 0.5);
}

std::vector<double> Smoothed(const std::vector<double>& values, size_t window) {
  std::vector<double> means(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    means[i] = Mean(values, i + 1 - std::min(window, i + 1), i + 1);
  }
  return means;
}

void PrintSummary(const Curve& ours, const Curve& theirs, size_t block) {
  PrintTable(ours, theirs);
  const Difference single = LargestDifference(ours.losses, theirs.losses);
  const size_t window = std::max<size_t>(1, ours.losses.size() / 50);
  const Difference smooth =
      LargestDifference(Smoothed(ours.losses, window), Smoothed(theirs.losses, window));
  std::printf(
      "\nlargest difference of the curves: %.2e (update %zu); of the means over %zu: %.2e\n",
      single.value, single.update, window, smooth.value);
  std::printf("  float32 rounds differently in the two, and training amplifies that; --lockstep\n");
  std::printf("  shows in float64 that the gradients are the same\n");

  // Block by block, since the machine's speed wanders, and now and then it stalls.
  const std::vector<double> our_seconds = BlockSeconds(ours, block);
  const std::vector<double> their_seconds = BlockSeconds(theirs, block);
  std::vector<double> ratios;
  for (size_t i = 0; i < std::min(our_seconds.size(), their_seconds.size()); ++i) {
    ratios.push_back(their_seconds[i] / our_seconds[i]);
  }
  std::printf("\n%-14s %9.0f characters/s\n%-14s %9.0f characters/s\n", ours.name.c_str(),
              MedianSpeed(ours, block), theirs.name.c_str(), MedianSpeed(theirs, block));
  if (ratios.empty()) {
    std::printf("speed ratio    %9.2f\n", Speed(ours) / Speed(theirs));
  } else {
    std::printf(
        "speed ratio    %9.2f   (median of %zu pairs of blocks, %zu updates each, in turn; middle "
        "half %.2f to %.2f)\n",
        Quantile(ratios, 0.5), ratios.size(), block, Quantile(ratios, 0.25),
        Quantile(ratios, 0.75));
  }
}

void WriteCsv(const std::filesystem::path& path, const Curve& ours, const Curve& theirs) {
  std::ofstream file(path);
  file << std::setprecision(17) << "update," << ours.name << "_loss," << theirs.name << "_loss,"
       << ours.name << "_seconds," << theirs.name << "_seconds\n";
  for (size_t i = 0; i < std::min(ours.losses.size(), theirs.losses.size()); ++i) {
    file << i + 1 << ',' << ours.losses[i] << ',' << theirs.losses[i] << ',' << ours.seconds[i]
         << ',' << theirs.seconds[i] << '\n';
  }
  file.close();
  if (!file) throw std::runtime_error("cannot write '" + path.string() + "'");
}

}  // namespace char_lm
