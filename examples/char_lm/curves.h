#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace char_lm {

// The history of one run.
struct Curve {
  std::string name;
  std::vector<double> losses;   // nats per character, one for each update
  std::vector<double> seconds;  // what each update took
  double characters_per_update;
};

// Characters per second over the last `updates` of them (all: 0).
double Speed(const Curve& curve, size_t updates = 0);

// Characters per second of the median of its blocks of `block` updates, which a stall of the
// machine does not change; Speed where there is no whole block.
double MedianSpeed(const Curve& curve, size_t block);

// Mean over the last `window` values up to each.
std::vector<double> Smoothed(const std::vector<double>& values, size_t window);

// A table of both curves, their largest difference and the ratio of the speeds, on the standard
// output. `block`: updates between the turns of the two, which pairs their times.
void PrintSummary(const Curve& ours, const Curve& theirs, size_t block);

// update, loss and seconds of each, one line an update, with all digits.
void WriteCsv(const std::filesystem::path& path, const Curve& ours, const Curve& theirs);

}  // namespace char_lm
