#pragma once

namespace elman::bench {

// Runs independent float32 multiply-adds in registers on all of LibTorch's threads, with the widest
// vectors that the machine has: an upper bound for every product. Returns the operations done, a
// multiply-add counting as two.
double RunPeak();

// The vectors that RunPeak uses, as "AVX-512".
const char* PeakVectors();

}  // namespace elman::bench
