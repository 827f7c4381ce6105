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
//   prepare T B I H forward|backward   ->  ready <seconds of a call> <checksum> ...
//   run N                              ->  done <seconds of N calls>
// One layer, one direction, tanh, float32, zeros as first state, no dropout. `backward` is a
// forward and a backward pass, with the gradients of input, weights and bias.
namespace peer {

struct Size {
  int64_t T, B, I, H;
};

// Numbers that every peer makes alike, in any language, in (-scale, scale).
inline std::vector<float> Pattern(int64_t count, int64_t seed, double scale) {
  std::vector<float> values(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const auto remainder = static_cast<double>((i * 7919 + seed * 104729) % 2003);
    values[static_cast<size_t>(i)] = static_cast<float>((remainder / 2003 - 0.5) * 2 * scale);
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
  virtual void Prepare(const Size& size, bool backward) = 0;
  virtual void Call() = 0;
  // Of the output and, after backward, of the gradients of input, weight_ih, weight_hh, bias.
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
      words >> size.T >> size.B >> size.I >> size.H >> mode;
      peer.Prepare(size, mode == "backward");
      time(1);
      std::printf("ready %.9g", time(1));
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
