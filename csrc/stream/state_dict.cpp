#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>

#include <initializer_list>
#include <set>
#include <vector>

#include "stream/engine.h"

// What a stream saves: its truncation, where it stands, the states, and the steps kept of its past.

namespace elman {
namespace {

using Dict = std::map<std::string, at::Tensor>;

std::optional<at::Tensor> find(const Dict& dict, const char* name) {
  const auto found = dict.find(name);
  return found == dict.end() ? std::nullopt : std::optional(found->second);
}

const at::Tensor& get(const Dict& dict, const char* name) {
  const auto found = dict.find(name);
  TORCH_CHECK(found != dict.end(), "state_dict: missing key '", name, "'");
  return found->second;
}

void check_keys(const Dict& dict) {
  static const std::set<std::string> known = {"truncation", "ended", "batched", "state",
                                              "fresh",      "input", "before",  "output",
                                              "states",     "masks", "reset",   "carry_scale"};
  for (const auto& [name, tensor] : dict) {
    TORCH_CHECK(known.count(name) > 0, "state_dict: unexpected key '", name, "'");
  }
}

void check_sizes(const char* name, const at::Tensor& tensor, std::initializer_list<int64_t> sizes) {
  TORCH_CHECK(tensor.sizes() == at::IntArrayRef(sizes), "state_dict: '", name, "' must have shape ",
              at::IntArrayRef(sizes), ", got ", tensor.sizes());
}

/// The steps kept, checked against `state`: [L, B, H] and each other.
Stretch read_stretch(const Dict& dict, const at::Tensor& state, int64_t kept) {
  const int64_t layers = state.size(0);
  const int64_t batch = state.size(1);
  const int64_t hidden = state.size(2);
  const auto none = at::empty({0}, state.options());
  const Stretch stretch{get(dict, "input"),
                        get(dict, "before"),
                        get(dict, "output"),
                        find(dict, "states").value_or(none),
                        find(dict, "masks").value_or(none),
                        find(dict, "reset"),
                        find(dict, "carry_scale")};
  const int64_t steps = stretch.input.size(0);
  TORCH_CHECK(stretch.input.dim() == 3 && stretch.input.size(1) == batch && steps <= kept,
              "state_dict: 'input' must have shape [at most ", kept, ", ", batch,
              ", input_size], got ", stretch.input.sizes());
  check_sizes("before", stretch.before, {layers, batch, hidden});
  check_sizes("output", stretch.output, {steps, batch, hidden});
  if (layers > 1) check_sizes("states", stretch.states, {layers - 1, steps, batch, hidden});
  if (stretch.masks.numel() > 0) {
    check_sizes("masks", stretch.masks, {layers - 1, steps, batch, hidden});
  }
  if (stretch.reset) check_sizes("reset", *stretch.reset, {steps, batch});
  if (stretch.carry_scale) check_sizes("carry_scale", *stretch.carry_scale, {steps, batch});
  return stretch;
}

}  // namespace

Dict StreamEngine::save() const {
  Dict dict{{"truncation", at::tensor({k1_, k2_})},
            {"ended", at::full({}, ended_, at::kBool)},
            {"batched", at::full({}, batched_, at::kBool)}};
  if (!state_.defined()) return dict;
  dict["state"] = state_.clone();
  if (fresh_.defined()) dict["fresh"] = fresh_.clone();
  if (history_.empty() || k1_ == k2_) return dict;
  const Stretch kept = history_.kept();
  dict["input"] = kept.input.clone();
  dict["before"] = kept.before.clone();
  dict["output"] = kept.output.clone();
  if (kept.states.numel() > 0) dict["states"] = kept.states.clone();
  if (kept.masks.numel() > 0) dict["masks"] = kept.masks.clone();
  if (kept.reset) dict["reset"] = kept.reset->clone();
  if (kept.carry_scale) dict["carry_scale"] = kept.carry_scale->clone();
  return dict;
}

void StreamEngine::load(const Dict& from) {
  check_keys(from);
  const auto& truncation = get(from, "truncation");
  check_sizes("truncation", truncation, {2});
  const auto k1 = truncation.select(0, 0).item<int64_t>();
  const auto k2 = truncation.select(0, 1).item<int64_t>();
  TORCH_CHECK(k1 == k1_ && k2 == k2_, "state_dict: 'truncation' must be that of the stream, (", k1_,
              ", ", k2_, "), got (", k1, ", ", k2, ")");
  const bool ended = get(from, "ended").item<bool>();
  const bool batched = get(from, "batched").item<bool>();
  const auto state = find(from, "state");
  const auto fresh = find(from, "fresh");
  History history(k2_ - k1_);
  if (state) {
    TORCH_CHECK(state->dim() == 3, "state_dict: 'state' must have 3 dimensions, got ",
                state->dim());
    if (fresh) check_sizes("fresh", *fresh, {state->size(1)});
    if (find(from, "input")) {
      history.append(read_stretch(from, *state, k2_ - k1_), /*replace_states=*/false);
    }
  }
  history_ = std::move(history);
  ended_ = ended;
  batched_ = batched;
  state_ = state ? state->clone() : at::Tensor();
  fresh_ = fresh ? fresh->clone() : at::Tensor();
}

}  // namespace elman
