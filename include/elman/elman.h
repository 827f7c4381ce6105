#pragma once

/// \file elman: Elman recurrent networks as fused PyTorch operators, with explicit truncated
/// back-propagation through time.

#include <elman/adaptive_truncation.h>
#include <elman/export.h>
#include <elman/functional.h>
#include <elman/gradient_by_lag.h>
#include <elman/kernel_info.h>
#include <elman/network.h>
#include <elman/options.h>
#include <elman/random_truncation.h>
#include <elman/rnn.h>
#include <elman/rnn_cell.h>
#include <elman/stream.h>

#define ELMAN_VERSION_MAJOR 0
#define ELMAN_VERSION_MINOR 1
#define ELMAN_VERSION_PATCH 0
#define ELMAN_VERSION "0.1.0"
