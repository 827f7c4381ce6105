#pragma once

#include "cuda/persistent/chunk_results.h"
#include "cuda/persistent/exchange.h"
#include "cuda/persistent/leaky_passes.h"
#include "cuda/persistent/passes.h"
#include "cuda/persistent/product.h"
#include "cuda/persistent/warp_weights.h"

namespace elman::cuda::persistent {

/// One block's part in the recurrence: x_{s+1} = pass(W x_s), for the rows of its group and the
/// features of its slice, over all steps. The pass (passes.h) says what enters first, what is made
/// of a product and what is handed on.
template <typename P, typename Pass>
ELMAN_DEVICE void run_recurrence(const Layout& layout, const Workspace& workspace,
                                 const Weight<typename P::Storage>& weight, Pass& pass) {
  using C = typename P::Compute;
  const int thread = device::thread();
  unsigned char* const shared = device::shared_memory();
  RowInfo* const infos = reinterpret_cast<RowInfo*>(shared + layout.rows_at);
  ChunkSpan* const spans = reinterpret_cast<ChunkSpan*>(shared + layout.spans_at);
  const C* const partials = reinterpret_cast<const C*>(shared + layout.partials_at);

  const int group = device::block() / layout.group_blocks;
  const int rank = device::block() % layout.group_blocks;
  const int first_feature = rank * layout.features;
  const int first_row = group * layout.group_rows;
  const int rows = min_of(layout.group_rows, layout.rows - first_row);
  const int local_feature = thread & ((1 << layout.column_bits) - 1);
  const int feature = first_feature + local_feature;
  const auto rows_of = [&](int c) {
    return min_of(layout.chunk_rows, rows - c * layout.chunk_rows);
  };

  for (int r = thread; r < rows; r += kThreads) infos[r] = pass.info(first_row + r);
  Vectors<P> vectors(layout, workspace, group, rank, rows);
  vectors.begin();
  const WarpWeights<P> weights(layout, weight, first_feature, shared);
  device::sync();
  for (int c = thread; c < layout.chunks; c += kThreads)
    spans[c] = span_of(infos + c * layout.chunk_rows, rows_of(c), layout.steps);
  const bool in_slice = local_feature < layout.features && feature < layout.hidden;
  if (in_slice) pass.start(feature);
  device::sync();

  for (int c = 0; c < layout.chunks; ++c) {
    if (spans[c].begin >= spans[c].end) continue;
    const int first = c * layout.chunk_rows, count = rows_of(c);
    for (int r = thread >> layout.column_bits; r < count && in_slice;
         r += kThreads >> layout.column_bits) {
      const C value = pass.initial(infos[first + r], feature);
      vectors.template store<1>(c, 0, &r, count, local_feature, &value);
    }
    vectors.publish(c, 0, count);
  }

  for (int s = 0; s < layout.steps; ++s) {
    for (int c = 0; c < layout.chunks; ++c) {
      const ChunkSpan span = spans[c];
      if (s < span.begin || s >= span.end) continue;  // alike in all threads of the group
      const int count = rows_of(c);
      ChunkResults<P, Pass> results(layout, infos + c * layout.chunk_rows, count, feature,
                                    local_feature);
      results.fetch(pass, s);  // before the wait, which takes longer
      const unsigned char* const entering = vectors.receive(c, s - span.begin, count);
      weights.multiply(entering, (count + P::kRows - 1) / P::kRows * P::kRows);
      device::sync();
      results.finish(pass, span, vectors, partials, c, s);
      // Stores to memory would delay what is published; but where the next step of another thread
      // adds to them, they have to come before the barrier.
      if (pass.shares_results()) results.store(pass, span, s);
      if (s + 1 < span.end) {
        vectors.publish(c, s - span.begin + 1, count);
      } else {
        device::sync();  // before the partial sums of another chunk
      }
      if (!pass.shares_results()) results.store(pass, span, s);
    }
  }
  vectors.end();
}

/// What the kernels consist of; Pass is one of passes.h, or of leaky_passes.h where there is
/// something to carry.
template <typename P, template <typename> typename Pass>
ELMAN_DEVICE void run_forward(const Layout& layout, const Workspace& workspace,
                              const ForwardOperands& operands) {
  Pass<P> pass(operands);
  run_recurrence<P>(layout, workspace,
                    {static_cast<const typename P::Storage*>(operands.weight_hh), operands.hidden,
                     /*transposed=*/false},
                    pass);
}
template <typename P, template <typename> typename Pass>
ELMAN_DEVICE void run_backward(const Layout& layout, const Workspace& workspace,
                               const BackwardOperands& operands) {
  Pass<P> pass(operands);
  run_recurrence<P>(layout, workspace,
                    {static_cast<const typename P::Storage*>(operands.weight_hh), operands.hidden,
                     /*transposed=*/true},
                    pass);
}

}  // namespace elman::cuda::persistent
