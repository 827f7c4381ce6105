#include <elman/stepper.h>

#include <exception>
#include <iostream>
#include <vector>

int main() try {
  elman::Stepper stepper = elman::Stepper::load("net.safetensors");  // or DoubleStepper
  std::vector<float> x(stepper.input_size()), y(stepper.output_size());

  // What follows is fit for a real-time thread.
  stepper.step(x.data(), y.data());
  std::vector<float> in(100 * x.size()), out(100 * y.size());  // 100 frames
  stepper.process(in.data(), out.data(), 100);

  for (const float value : y) std::cout << value << "\n";
} catch (const std::exception& wrong) {
  std::cerr << wrong.what() << "\n";
  return 1;
}
