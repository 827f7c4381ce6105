#include <elman/elman.h>

#include <iostream>

int main() {
  elman::RNN rnn(elman::RNNOptions(64, 128).num_layers(2).truncation(20));
  auto [output, h_n] = rnn->forward(torch::randn({1000, 8, 64}));  // [T, B, H], [layers, B, H]
  output.square().mean().backward();
  std::cout << output.sizes() << ", " << rnn->all_weights()[0].grad().norm().item<double>() << "\n";
}
