#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace char_lm {

// What determines the loss curves. A checkpoint keeps these, and `--resume` refuses others.
struct Settings {
  std::string text;             // path of the file to learn from; empty: look for one
  int64_t hidden_size = 256;    // H
  int64_t num_layers = 1;       // L
  int64_t embedding_size = 64;  // I
  int64_t batch = 16;           // B, streams read side by side
  int64_t chunk = 100;          // T, characters per stream and update
  int64_t truncation = 20;      // k, steps that a gradient goes back
  double learning_rate = 2e-3;
  double max_gradient_norm = 1.0;
  int64_t seed = 1;
};

struct Options {
  Settings settings;
  int64_t updates = 1500;
  double time_limit = 80;  // seconds of training, after which the run ends as if it were through
  int64_t block = 25;      // updates of one model before it is the other's turn
  int64_t checkpoint_every = 100;  // updates
  int64_t threads = 0;             // 0: as many as LibTorch takes by itself
  int64_t sample_length = 600;
  double temperature = 0.5;
  std::filesystem::path output = "char_lm_output";
  bool resume = false;
  bool lockstep = false;
  bool help = false;
};

// Reads the command line on top of `defaults`. Throws examples::UsageError.
Options ParseOptions(int argc, char** argv, const Options& defaults);

std::string Usage(const std::string& program);

// One line for each setting that differs, as "--hidden is 128 here and 256 there".
std::vector<std::string> Differences(const Settings& here, const Settings& there);

// The settings as pairs of flag and value, for storing, and the way back.
std::vector<std::pair<std::string, std::string>> ToPairs(const Settings& settings);
Settings FromPairs(const std::vector<std::pair<std::string, std::string>>& pairs);

}  // namespace char_lm
