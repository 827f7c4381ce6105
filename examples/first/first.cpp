#include <elman/elman.h>

#include <iostream>
#include <vector>

int main() {
  elman::RNN rnn(elman::RNNOptions(64, 128).num_layers(2).truncation(20));
  auto [output, h_n] = rnn->forward(torch::randn({1000, 8, 64}));  // [T, B, H], [layers, B, H]
  output.square().mean().backward();
  std::cout << output.sizes() << ", " << rnn->all_weights()[0].grad().norm().item<double>() << "\n";

  elman::Stepper stepper(rnn);  // a step at a time, fit for a real-time thread
  std::vector<float> x(stepper.input_size()), y(stepper.output_size());
  for (int t = 0; t < 1000; ++t) stepper.step(x.data(), y.data());
}
