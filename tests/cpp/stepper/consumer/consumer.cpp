// Loads a recorded file and compares what it computes with recorded numbers (record.py wrote both).
// Usage: consumer FILE.safetensors NUMBERS.txt
#include <elman/stepper.h>

#include <cmath>
#include <exception>
#include <fstream>
#include <iostream>
#include <vector>

int main(int argc, char** argv) try {
  if (argc != 3) return 2;
  elman::Stepper stepper = elman::Stepper::load(argv[1]);
  std::ifstream numbers(argv[2]);
  std::vector<float> x(static_cast<std::size_t>(stepper.input_size()));
  std::vector<float> y(static_cast<std::size_t>(stepper.output_size()));
  double most = 0;
  int steps = 0;
  for (; numbers >> x[0]; ++steps) {
    for (std::size_t i = 1; i < x.size(); ++i) numbers >> x[i];
    stepper.step(x.data(), y.data());
    for (const float value : y) {
      double expected = 0;
      numbers >> expected;
      most = std::max(most, std::abs(expected - value));
    }
  }
  std::cout << steps << " steps with " << elman::stepper_instruction_set()
            << " vectors, largest difference " << most << "\n";
  return steps == 50 && most < 2e-6 ? 0 : 1;
} catch (const std::exception& wrong) {
  std::cerr << wrong.what() << "\n";
  return 1;
}
