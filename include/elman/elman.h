#pragma once

/// \file elman.h
/// Elman recurrent networks as fused PyTorch operators, with truncated back-propagation through
/// time.

#include <c10/macros/Macros.h>
#include <elman/adaptive_truncation.h>
#include <elman/export.h>
#include <elman/functional.h>
#include <elman/gradient_by_lag.h>
#include <elman/kernel_info.h>
#include <elman/leaky_options.h>
#include <elman/leaky_rnn.h>
#include <elman/leaky_rnn_cell.h>
#include <elman/network.h>
#include <elman/network_options.h>
#include <elman/options.h>
#include <elman/random_truncation.h>
#include <elman/rnn.h>
#include <elman/rnn_cell.h>
#include <elman/stepper.h>
#include <elman/stepper_source.h>
#include <elman/stream.h>

// The one place of the version: CMakeLists.txt and pyproject.toml read these lines.
#define ELMAN_VERSION_MAJOR 0
#define ELMAN_VERSION_MINOR 1
#define ELMAN_VERSION_PATCH 0
/// "major.minor.patch"
#define ELMAN_VERSION                \
  C10_STRINGIZE(ELMAN_VERSION_MAJOR) \
  "." C10_STRINGIZE(ELMAN_VERSION_MINOR) "." C10_STRINGIZE(ELMAN_VERSION_PATCH)
