// Plays a WAV file through a trained network, block by block as an audio program would. It needs
// the stepper alone: no LibTorch, no Python. examples/training/amplifier.py trains such networks.
//
//   amplifier NETWORK.safetensors IN.wav OUT.wav [BLOCK, 64]
//
// IN.wav: 16-bit PCM; of several channels each has a row of the stepper, that is, a state.

#include <elman/stepper.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct Sound {
  int channels = 1;
  int rate = 48000;
  std::vector<float> samples;  // [frames, channels]
};

uint32_t Number(const char* from, int bytes) {
  uint32_t value = 0;
  for (int i = 0; i < bytes; ++i)
    value |= static_cast<uint32_t>(static_cast<unsigned char>(from[i])) << (8 * i);
  return value;
}

Sound ReadWav(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  if (bytes.size() < 12 || bytes.compare(0, 4, "RIFF") != 0 || bytes.compare(8, 4, "WAVE") != 0)
    throw std::runtime_error(path + ": no WAV file");
  Sound sound;
  bool has_format = false;
  for (size_t at = 12; at + 8 <= bytes.size();) {
    const std::string name = bytes.substr(at, 4);
    const size_t size = std::min<size_t>(Number(&bytes[at + 4], 4), bytes.size() - at - 8);
    const char* const chunk = bytes.data() + at + 8;
    if (name == "fmt " && size >= 16) {
      if (Number(chunk, 2) != 1 || Number(chunk + 14, 2) != 16 || Number(chunk + 2, 2) < 1)
        throw std::runtime_error(path + ": expected 16-bit PCM");
      sound.channels = static_cast<int>(Number(chunk + 2, 2));
      sound.rate = static_cast<int>(Number(chunk + 4, 4));
      has_format = true;
    } else if (name == "data") {
      for (size_t i = 0; i + 2 <= size; i += 2)
        sound.samples.push_back(static_cast<float>(static_cast<int16_t>(Number(chunk + i, 2))) /
                                32768);
    }
    at += 8 + size + size % 2;
  }
  if (!has_format || sound.samples.empty()) throw std::runtime_error(path + ": it has no sound");
  return sound;
}

void WriteWav(const std::string& path, const Sound& sound) {
  std::string bytes = "RIFF....WAVEfmt ";
  const auto number = [&](uint32_t value, int count) {
    for (int i = 0; i < count; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xFF);
  };
  const auto channels = static_cast<uint32_t>(sound.channels);
  const auto rate = static_cast<uint32_t>(sound.rate);
  number(16, 4);
  number(1, 2);
  number(channels, 2);
  number(rate, 4);
  number(rate * channels * 2, 4);
  number(channels * 2, 2);
  number(16, 2);
  bytes += "data";
  number(static_cast<uint32_t>(sound.samples.size() * 2), 4);
  for (const float sample : sound.samples) {
    const float clipped = std::max(-1.0F, std::min(1.0F, sample));
    number(static_cast<uint16_t>(static_cast<int16_t>(std::lround(clipped * 32767))), 2);
  }
  const auto size = static_cast<uint32_t>(bytes.size() - 8);
  for (int i = 0; i < 4; ++i)
    bytes[4 + static_cast<size_t>(i)] = static_cast<char>(size >> (8 * i));
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file.flush()) throw std::runtime_error(path + ": cannot be written");
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 4 || argc > 5) {
    std::fprintf(stderr, "usage: amplifier NETWORK.safetensors IN.wav OUT.wav [BLOCK, 64]\n");
    return 2;
  }
  const int64_t block = argc > 4 ? std::atoll(argv[4]) : 64;
  if (block < 1) throw std::runtime_error("BLOCK must be at least 1");
  Sound sound = ReadWav(argv[2]);
  elman::Stepper stepper = elman::Stepper::load(argv[1], /*rows=*/sound.channels);
  if (stepper.input_size() != 1 || stepper.output_size() != 1)
    throw std::runtime_error("the network must have one input and one output");
  const auto frames = static_cast<int64_t>(sound.samples.size()) / sound.channels;

  // From here on what an audio callback does: nothing is allocated, and nothing waits.
  double longest = 0;
  const auto start = std::chrono::steady_clock::now();
  for (int64_t at = 0; at < frames; at += block) {
    const auto begin = std::chrono::steady_clock::now();
    float* const samples = sound.samples.data() + at * sound.channels;
    stepper.process(samples, samples, std::min(block, frames - at));
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    longest = std::max(longest, taken.count());
  }
  const std::chrono::duration<double> all = std::chrono::steady_clock::now() - start;

  WriteWav(argv[3], sound);
  const double seconds = static_cast<double>(frames) / sound.rate;
  std::printf(
      "%.1f s of sound in blocks of %lld: real-time factor %.0f with %s vectors; the longest block "
      "took %.1f %% of its time\n",
      seconds, static_cast<long long>(block), seconds / all.count(),
      elman::stepper_instruction_set(), 100 * longest * sound.rate / static_cast<double>(block));
} catch (const std::exception& wrong) {
  std::fprintf(stderr, "amplifier: %s\n", wrong.what());
  return 1;
}
