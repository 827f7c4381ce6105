#pragma once

#include "cuda/persistent/device.h"
#include "cuda/persistent/exchange.h"
#include "cuda/persistent/launch_layout.h"
#include "cuda/persistent/passes.h"

namespace elman::cuda::persistent {

/// body(range) for ranges that cover 0 .. count - 1, and up to twice as much: 0, 1, 2 to 3 and,
/// with kMost = 8, 4 to 7; count is kMost at most. What a range stands for is computed side by
/// side.
template <int kFirst, int kAfter>
struct Range {
  static constexpr int kBegin = kFirst;
  static constexpr int kCount = kAfter - kFirst;
};
template <int kMost, typename Body>
ELMAN_DEVICE void in_ranges(int count, const Body& body) {
  static_assert(kMost == 4 || kMost == 8, "what the ranges cover");
  body(Range<0, 1>());
  if (count <= 1) return;
  body(Range<1, 2>());
  if (count <= 2) return;
  body(Range<2, 4>());
  if constexpr (kMost > 4) {
    if (count > 4) body(Range<4, 8>());
  }
}

/// What the rows of a chunk have in common.
ELMAN_DEVICE ChunkSpan span_of(const RowInfo* infos, int count, int steps) {
  ChunkSpan span{steps, 0, 0, steps, 0};
  for (int r = 0; r < count; ++r) {
    span.begin = min_of(span.begin, infos[r].begin);
    span.end = max_of(span.end, infos[r].end);
    span.all_begun = max_of(span.all_begun, infos[r].begin);
    span.first_end = min_of(span.first_end, infos[r].end);
    span.arrivals_end = max_of(span.arrivals_end, infos[r].arrival + 1);
  }
  return span;
}

/// A chunk of a block's results, as one of its threads sees it: one feature of every row_step-th
/// row.
template <typename P, typename Pass>
class ChunkResults {
 public:
  using C = typename P::Compute;

  ELMAN_DEVICE ChunkResults(const Layout& layout, const RowInfo* infos, int count, int feature,
                            int local_feature)
      : layout_(layout),
        infos_(infos),
        count_(count),
        feature_(feature),
        local_feature_(local_feature),
        first_row_(device::thread() >> layout.column_bits),
        row_step_(kThreads >> layout.column_bits),
        results_((count + row_step_ - 1) >> (kThreadBits - layout.column_bits)),
        any_(local_feature < layout.features && feature < layout.hidden && first_row_ < count) {}

  ELMAN_DEVICE void fetch(const Pass& pass, int s) {
    if (!any_) return;
    in_ranges<Pass::kResults>(results_, [&](auto range) {
      using R = decltype(range);
      RowInfo infos[R::kCount];
      ELMAN_UNROLL
      for (int i = 0; i < R::kCount; ++i) infos[i] = infos_[min_of(row(R::kBegin + i), count_ - 1)];
      ELMAN_UNROLL
      for (int i = 0; i < R::kCount; ++i) {
        const bool alive = row(R::kBegin + i) < count_ && s >= infos[i].begin && s < infos[i].end;
        operands_[R::kBegin + i] = {};
        pass.fetch(operands_[R::kBegin + i], infos[i], alive, s, feature_);
      }
    });
  }

  /// Adds the warps' partial sums up, in a fixed order, makes the results of step s and hands on
  /// what enters the next step.
  ELMAN_DEVICE void finish(const Pass& pass, const ChunkSpan& span, const Vectors<P>& vectors,
                           const C* partials, int chunk, int s) {
    if (!any_) return;
    const bool failed = vectors.failed();
    in_ranges<Pass::kResults>(results_, [&](auto range) {
      using R = decltype(range);
      int rows[R::kCount];
      C v[R::kCount];
      ELMAN_UNROLL
      for (int i = 0; i < R::kCount; ++i) {
        rows[i] = row(R::kBegin + i);
        v[i] = failed ? device::not_a_number<C>() : C(0);
      }
      in_ranges<kWarps>(layout_.k_warps, [&](auto warps) {
        using W = decltype(warps);
        ELMAN_UNROLL
        for (int k = W::kBegin; k < W::kBegin + W::kCount; ++k) {
          ELMAN_UNROLL
          for (int i = 0; i < R::kCount; ++i) {
            const int partial_row = k * layout_.chunk_rows + min_of(rows[i], count_ - 1);
            v[i] += partials[partial_row * layout_.partial_stride + local_feature_];
          }
        }
      });
      if (s < span.arrivals_end) {
        for_rare(rows, [&](int i, const RowInfo& info) {
          if (info.arrival == s) v[i] += pass.arriving(info, feature_);
        });
      }
      pass.template finish<R::kCount>(operands_ + R::kBegin, v, made_ + R::kBegin);
      if (s < span.all_begun) {
        for_rare(rows, [&](int i, const RowInfo& info) {
          if (s < info.begin) v[i] = pass.initial(info, feature_);
        });
      }
      vectors.template store<R::kCount>(chunk, s - span.begin + 1, rows, count_, local_feature_, v);
    });
  }

  /// Stores the results of step s.
  ELMAN_DEVICE void store(const Pass& pass, const ChunkSpan& span, int s) const {
    if (!any_) return;
    in_ranges<Pass::kResults>(results_, [&](auto range) {
      using R = decltype(range);
      ELMAN_UNROLL
      for (int i = R::kBegin; i < R::kBegin + R::kCount; ++i)
        pass.store(operands_[i], made_[i], infos_[min_of(row(i), count_ - 1)], feature_);
      if (s + 1 >= span.first_end) {
        int rows[R::kCount];
        ELMAN_UNROLL
        for (int i = 0; i < R::kCount; ++i) rows[i] = row(R::kBegin + i);
        for_rare(rows, [&](int i, const RowInfo& info) {
          if (s + 1 == info.end) pass.store_last(info, made_[R::kBegin + i], feature_);
        });
      }
    });
  }

 private:
  ELMAN_DEVICE int row(int i) const { return first_row_ + i * row_step_; }

  /// each(i, its RowInfo) for rows of the chunk.
  template <int kCount, typename Each>
  ELMAN_DEVICE void for_rare(const int (&rows)[kCount], const Each& each) const {
    ELMAN_UNROLL
    for (int i = 0; i < kCount; ++i) {
      if (rows[i] < count_) each(i, infos_[rows[i]]);
    }
  }

  const Layout& layout_;
  const RowInfo* infos_;
  int count_, feature_, local_feature_, first_row_, row_step_, results_;
  bool any_;
  typename Pass::Operands operands_[Pass::kResults];
  typename Pass::Result made_[Pass::kResults];
};

}  // namespace elman::cuda::persistent
