#include "common.h"

#include <torch/nn/init.h>

#include <cmath>

namespace elman::detail {

void init_parameters(torch::nn::Module& module, int64_t hidden_size) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(hidden_size));
  for (auto& parameter : module.parameters()) {
    torch::nn::init::uniform_(parameter, -bound, bound);
  }
}

}  // namespace elman::detail
