#pragma once

/// \file elman: Elman recurrent networks as fused PyTorch operators, with explicit truncated
/// back-propagation through time.

#include <elman/export.h>
#include <elman/functional.h>
#include <elman/network.h>
#include <elman/options.h>
#include <elman/rnn.h>
#include <elman/rnn_cell.h>

#define ELMAN_VERSION_MAJOR 0
#define ELMAN_VERSION_MINOR 1
#define ELMAN_VERSION_PATCH 0
#define ELMAN_VERSION "0.1.0"
