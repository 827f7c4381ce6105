#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace elman::bench {

// A size of network and input. T steps, B rows, I inputs, H hidden units.
struct Case {
  const char* group;
  int64_t T;
  int64_t B;
  int64_t I;
  int64_t H;
  int64_t layers;
  int64_t directions;

  // As "T100_B32_I128_H128", with "_L2" and "_D2" where they are not one.
  std::string Name() const {
    std::string name = "T" + std::to_string(T) + "_B" + std::to_string(B) + "_I" +
                       std::to_string(I) + "_H" + std::to_string(H);
    if (layers > 1) name += "_L" + std::to_string(layers);
    if (directions > 1) name += "_D" + std::to_string(directions);
    return name;
  }

  // Of the products of the forward pass, a multiply-add counting as two. The backward pass has
  // twice as many: every product of the forward pass has one for each of its factors.
  double ForwardFlops() const {
    double flops = 0;
    for (int64_t layer = 0; layer < layers; ++layer) {
      const int64_t inputs = layer == 0 ? I : directions * H;
      flops += 2.0 * static_cast<double>(T * B * directions * H * (inputs + H));
    }
    return flops;
  }
};

inline const std::vector<Case>& Cases() {
  static const std::vector<Case> cases = {
#define ELMAN_CASE(group, T, B, I, H, layers, directions) {#group, T, B, I, H, layers, directions},
#include "cases.def"
#undef ELMAN_CASE
  };
  return cases;
}

}  // namespace elman::bench
