#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

// What the C++ peers have in common. A peer is a process that compare.py asks, line by line on the
// standard input, to prepare a case and to time calls of it:
//   prepare T B I H L forward|backward|step   ->  ready <seconds of a call> <checksum> ...
//   run N                                     ->  done <seconds of N calls>
// L layers (I = H where there are several), one direction, tanh, float32, zeros as first state, no
// dropout. `backward` is a forward and a backward pass, with the gradients of input, weights and
// bias. A call of `step` is one step, from the state that the last one has left; the inputs come
// round again after T of them.
namespace peer {

struct Size {
  int64_t T, B, I, H, L;
};

// Steps from zeros whose last output is checked, in mode `step`.
constexpr int kCheckedSteps = 16;
// What is added to the seeds for each layer further up.
constexpr int64_t kLayerSeed = 10;

// Numbers that every peer makes alike, in any language, in (-scale, scale).
inline std::vector<float> Pattern(int64_t count, int64_t seed, double scale) {
  std::vector<float> values(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const auto remainder = static_cast<double>((i * 7919 + seed * 104729) % 2003);
    values[static_cast<size_t>(i)] = static_cast<float>((remainder / 2003 - 0.5) * 2 * scale);
  }
  return values;
}

// One parameter of all layers, one after another; each has `count` elements.
inline std::vector<float> LayerPatterns(int64_t layers, int64_t count, int64_t seed, double scale) {
  std::vector<float> values;
  for (int64_t layer = 0; layer < layers; ++layer) {
    const std::vector<float> one = Pattern(count, seed + layer * kLayerSeed, scale);
    values.insert(values.end(), one.begin(), one.end());
  }
  return values;
}

enum Seed : int64_t { kInput = 1, kWeightIh = 2, kWeightHh = 3, kBias = 4, kGradOutput = 5 };

// Mean absolute value: the same for all peers, or they did not compute the same.
inline double Checksum(const float* values, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += values[i] < 0 ? -values[i] : values[i];
  return sum / static_cast<double>(count);
}

class Peer {
 public:
  virtual ~Peer() = default;
  // Throws where it does not have the mode.
  virtual void Prepare(const Size& size, const std::string& mode) = 0;
  virtual void Call() = 0;
  // In mode `step`: zeros are the state again, and the first input is the next one.
  virtual void Restart() {}
  // Of the output (the last step's) and, after backward, of the gradients of input, weight_ih,
  // weight_hh, bias.
  virtual std::vector<double> Checksums() = 0;
};

// Answers until the standard input ends.
inline int Serve(Peer& peer) {
  const auto time = [&](int64_t calls) {
    const auto start = std::chrono::steady_clock::now();
    for (int64_t i = 0; i < calls; ++i) peer.Call();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    return taken.count();
  };
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string command;
    words >> command;
    if (command == "prepare") {
      Size size{};
      std::string mode;
      words >> size.T >> size.B >> size.I >> size.H >> size.L >> mode;
      peer.Prepare(size, mode);
      const bool steps = mode == "step";
      const int64_t calls = steps ? 100 : 1;  // a step is short against the clock
      time(calls);
      std::printf("ready %.9g", time(calls) / static_cast<double>(calls));
      if (steps) {
        peer.Restart();
        time(kCheckedSteps);
      }
      for (const double checksum : peer.Checksums()) std::printf(" %.9g", checksum);
      std::printf("\n");
    } else {
      int64_t calls = 0;
      words >> calls;
      time(1);  // what others left in the caches
      std::printf("done %.9g\n", time(calls));
    }
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace peer
