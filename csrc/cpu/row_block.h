#pragma once

#include <algorithm>
#include <vector>

#include "stack.h"

namespace elman::cpu {

/// The rows [first, end) of the batch: what one thread takes through the sequence. Packed, the
/// sequences are ordered by length, so the rows that have a step are always the first ones.
struct BatchRange {
  int64_t first, end;

  int64_t size() const { return end - first; }
  /// How many of the rows have step t <= T.
  int64_t alive(const StackShape& shape, int64_t t) const {
    return std::clamp<int64_t>(shape.batch_at(t) - first, 0, size());
  }
  /// Where the first of the rows stands at step t.
  int64_t row(const StackShape& shape, int64_t t) const { return shape.offset(t) + first; }
  /// The last state made of these rows [begin, alive) was made at step t: forward, those of the
  /// sequences that end with it; in reverse, all of step 0. `begin` counts from `first`.
  int64_t first_final(const StackShape& shape, int64_t t, bool reverse) const {
    if (reverse) return t == 0 ? 0 : alive(shape, t);
    return alive(shape, t + 1);
  }
};

/// Cuts the batch into `parts` ranges with about the same number of steps in all their rows.
inline std::vector<BatchRange> split_batch(const StackShape& shape, int64_t parts) {
  std::vector<BatchRange> ranges(parts);
  const auto finish = [&](int64_t part, int64_t end) {
    ranges[part] = {part == 0 ? 0 : ranges[part - 1].end, end};
  };
  if (!shape.packed()) {
    for (int64_t part = 0; part < parts; ++part) finish(part, shape.batch * (part + 1) / parts);
    return ranges;
  }
  int64_t part = 0, done = 0;
  // From the last step down: the longest sequences come first.
  for (int64_t t = shape.steps - 1; t >= 0; --t) {
    for (int64_t b = shape.batch_at(t + 1); b < shape.batch_at(t); ++b) {
      done += t + 1;
      while (part < parts && done * parts >= shape.rows() * (part + 1)) finish(part++, b + 1);
    }
  }
  return ranges;
}

}  // namespace elman::cpu
