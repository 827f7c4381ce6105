// Loads 100,000 mutations of good files. Built with the Address and UndefinedBehavior sanitizers:
// each has to load or to be refused, without a read out of bounds. Usage: fuzz [mutations]
#include <elman/stepper.h>

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "reference.h"
#include "stepper/file.h"

namespace {

/// A piece that says something to the reader.
const std::vector<std::string> kWords = {"{",
                                         "}",
                                         "[",
                                         "]",
                                         ",",
                                         ":",
                                         "\"",
                                         "\\u00",
                                         "\\",
                                         "0",
                                         "-1",
                                         "1e9",
                                         "null",
                                         "9007199254740992",
                                         "\"shape\":[]",
                                         "F64",
                                         "BF16",
                                         "rate",
                                         "\"output\"",
                                         "_l1",
                                         "weight_hh_l0",
                                         "alpha_l0",
                                         "[0,0]",
                                         "18446744073709551616"};

std::string mutated(std::string file, std::mt19937& random) {
  const auto below = [&](size_t n) { return n == 0 ? 0 : random() % n; };
  for (size_t changes = 1 + below(4); changes > 0; --changes) {
    // Mostly in the header, which is what the reader reads.
    const size_t size = below(8) == 0 ? file.size() : std::min<size_t>(file.size(), 700);
    const size_t at = below(size);
    switch (below(7)) {
      case 0:
        if (!file.empty()) file[at] = static_cast<char>(random());
        break;
      case 1:
        if (!file.empty()) file[at] = static_cast<char>(file[at] ^ 1 << below(8));
        break;
      case 2:
        file.resize(at);
        break;
      case 3:
        file.erase(at, below(20));
        break;
      case 4:
        file.insert(at, kWords[below(kWords.size())]);
        break;
      case 5: {
        const std::string& word = kWords[below(kWords.size())];
        file.replace(at, word.size(), word);
        break;
      }
      default:  // the header's length
        if (file.size() > 8) file[below(3)] = static_cast<char>(random());
    }
  }
  return file;
}

template <typename T>
void load_and_step(const char* file, size_t size) {
  auto stepper = elman::BasicStepper<T>::from_memory(file, size);
  std::vector<T> x(static_cast<size_t>(stepper.input_size())),
      y(static_cast<size_t>(stepper.output_size()));
  stepper.step(x.data(), y.data());
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t mutations = argc > 1 ? std::atoll(argv[1]) : 100'000;
  std::mt19937 random(2024);
  std::vector<std::string> good;
  for (const char* form : {"", "rate", "current"}) {
    reference::Options options;
    options.form = form;
    options.O = *form != '\0' ? 2 : 0;
    options.L = *form != '\0' ? 1 : 2;
    good.push_back(elman::stepper::write_file(reference::Network<float>(options).parameters));
    good.push_back(elman::stepper::write_file(reference::Network<double>(options).parameters));
  }
  int64_t loaded = 0, refused = 0;
  for (int64_t i = 0; i < mutations; ++i) {
    const std::string file = mutated(good[static_cast<size_t>(i) % good.size()], random);
    // In memory of its own, exactly as long, so that the sanitizer sees the first byte beyond.
    const std::unique_ptr<char[]> memory(new char[file.size()]);
    file.copy(memory.get(), file.size());
    try {
      // Both read files of both dtypes.
      if (random() % 2 == 0) {
        load_and_step<float>(memory.get(), file.size());
      } else {
        load_and_step<double>(memory.get(), file.size());
      }
      ++loaded;
    } catch (const std::runtime_error&) {
      ++refused;
    }
  }
  std::cout << mutations << " mutations: " << loaded << " loaded, " << refused << " refused\n";
  return refused > 0 && loaded > 0 ? 0 : 1;
}
