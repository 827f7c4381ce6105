#pragma once

#include <elman/stepper.h>

#include <optional>
#include <string_view>

#include "activation.h"
#include "stepper/kernels.h"

namespace elman::stepper {

/// What the names in StepperParameters mean.
struct Functions {
  Activation activation;
  Form form;          ///< of the layers with a leak
  Activation output;  ///< where output_form is kPlain
  Form output_form;   ///< kPlain or kSoftmax
};

std::optional<Activation> find_activation(std::string_view name);

/// Throws std::invalid_argument naming what is wrong.
template <typename T>
Functions check_parameters(const StepperParameters<T>& parameters);

}  // namespace elman::stepper
