#include "stream/history.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace elman {
namespace {

/// A quantity that may be absent, as a track with N = 1.
at::Tensor to_track(const std::optional<at::Tensor>& tensor) {
  return tensor ? tensor->unsqueeze(0) : at::Tensor();
}

std::optional<at::Tensor> from_track(const at::Tensor& view) {
  return view.defined() ? std::optional(view.select(0, 0)) : std::nullopt;
}

/// One of a stretch's tensors that may be [0] for none.
at::Tensor present(const at::Tensor& tensor) { return tensor.dim() == 4 ? tensor : at::Tensor(); }

/// [L, w, B, H] the outputs of all layers.
at::Tensor all_layers(const Stretch& chunk) {
  const auto top = chunk.output.unsqueeze(0);
  return chunk.states.dim() < 4 ? top : at::cat({chunk.states, top});
}

}  // namespace

void Track::write(const at::Tensor& chunk, int64_t count, int64_t end, int64_t capacity) {
  if (!buffer_.defined()) {
    if (!chunk.defined()) return;
    auto sizes = chunk.sizes().vec();
    sizes[1] = capacity;
    buffer_ = at::empty(sizes, chunk.options());
    buffer_.narrow(1, 0, end).fill_(fill_);
  }
  auto place = buffer_.narrow(1, end, count);
  if (chunk.defined()) {
    place.copy_(chunk);
    last_end_ = end + count;
  } else {
    place.fill_(fill_);
  }
}

void Track::renew(int64_t first, int64_t end, int64_t capacity) {
  const at::Tensor old = std::exchange(buffer_, {});
  if (!old.defined() || last_end_ <= first) return;
  last_end_ -= first;
  auto sizes = old.sizes().vec();
  sizes[1] = capacity;
  buffer_ = at::empty(sizes, old.options());
  buffer_.narrow(1, 0, end - first).copy_(old.narrow(1, first, end - first));
}

at::Tensor Track::view(int64_t first, int64_t end) const {
  return buffer_.defined() ? buffer_.narrow(1, first, end - first) : at::Tensor();
}

Stretch History::append(const Stretch& chunk, bool replace_states) {
  const int64_t count = chunk.input.size(0);
  if (replace_states || end_ + count > capacity_) renew(count);
  if (replace_states || empty()) {
    states_.write(chunk.before.unsqueeze(1), 1, end_, capacity_ + 1);
    if (present(chunk.carried).defined())
      carried_.write(chunk.before.unsqueeze(1), 1, end_, capacity_ + 1);
  }
  input_.write(chunk.input.unsqueeze(0), count, end_, capacity_);
  states_.write(all_layers(chunk), count, end_ + 1, capacity_ + 1);
  carried_.write(present(chunk.carried), count, end_ + 1, capacity_ + 1);
  masks_.write(present(chunk.masks), count, end_, capacity_);
  drives_.write(present(chunk.drives), count, end_, capacity_);
  reset_.write(to_track(chunk.reset), count, end_, capacity_);
  carry_scale_.write(to_track(chunk.carry_scale), count, end_, capacity_);
  const int64_t oldest = first();
  end_ += count;
  return stretch(oldest, end_);
}

void History::renew(int64_t count) {
  const int64_t oldest = first();
  // Twice what one backward pass needs, so that a step is copied once in the mean; no more than
  // that, however long the history may become.
  capacity_ = 2 * (end_ - oldest + count);
  for (Track* track : {&input_, &masks_, &drives_, &reset_, &carry_scale_}) {
    track->renew(oldest, end_, capacity_);
  }
  for (Track* track : {&states_, &carried_}) track->renew(oldest, end_ + 1, capacity_ + 1);
  end_ -= oldest;
}

Stretch History::stretch(int64_t first, int64_t end) const {
  const int64_t steps = end - first;
  const auto states = states_.view(first, end + 1);
  const auto made = states.narrow(1, 1, steps);
  const int64_t inner = states.size(0) - 1;
  const auto carried = carried_.view(first, end + 1);
  const auto none = at::empty({0}, states.options());
  const auto or_none = [&](const at::Tensor& view) { return view.defined() ? view : none; };
  return {input_.view(first, end).select(0, 0),
          (carried.defined() ? carried : states).select(1, 0),
          made.select(0, inner),
          inner > 0 ? made.narrow(0, 0, inner) : none,
          or_none(masks_.view(first, end)),
          or_none(drives_.view(first, end)),
          carried.defined() ? carried.narrow(1, 1, steps) : none,
          from_track(reset_.view(first, end)),
          from_track(carry_scale_.view(first, end))};
}

}  // namespace elman
