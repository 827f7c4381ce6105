#include <ATen/OpMathType.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>

#include <initializer_list>
#include <set>
#include <vector>

#include "checks/tensor.h"
#include "stream/stream_engine.h"

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
  static const std::set<std::string> known = {
      "truncation", "ended",  "batched", "state",  "fresh",   "input", "before",
      "output",     "states", "masks",   "drives", "carried", "reset", "carry_scale"};
  for (const auto& [name, tensor] : dict) {
    TORCH_CHECK(known.count(name) > 0, "state_dict: unexpected key '", name, "'");
  }
}

/// Checks one of the dict's tensors: dense, of such a shape, and of such a dtype if one is given.
void check_tensor(const char* name, const at::Tensor& tensor, std::initializer_list<int64_t> sizes,
                  std::optional<at::ScalarType> dtype) {
  const auto full_name = [&] { return c10::str("state_dict: '", name, "'"); };
  check_dense(tensor, full_name);
  TORCH_CHECK(tensor.sizes() == at::IntArrayRef(sizes), full_name(), " must have shape ",
              at::IntArrayRef(sizes), ", got ", tensor.sizes());
  TORCH_CHECK(!dtype || tensor.scalar_type() == *dtype, full_name(), " must have dtype ",
              dtype.value_or(at::kFloat), ", got ", tensor.scalar_type());
  check_allocated(tensor, full_name);
}

/// The same for a tensor that belongs to the states, on their device.
void check_beside_state(const char* name, const at::Tensor& tensor, const at::Tensor& state,
                        std::initializer_list<int64_t> sizes, std::optional<at::ScalarType> dtype) {
  check_tensor(name, tensor, sizes, dtype);
  TORCH_CHECK(tensor.device() == state.device(), "state_dict: '", name,
              "' must be on the device of 'state', ", state.device(), ", got ", tensor.device());
}

bool read_flag(const Dict& dict, const char* name) {
  const at::Tensor& flag = get(dict, name);
  check_tensor(name, flag, {}, at::kBool);
  return flag.item<bool>();
}

void check_state(const at::Tensor& state) {
  const auto name = [] { return "state_dict: 'state'"; };
  check_dense(state, name);
  TORCH_CHECK(state.dim() == 3, name(), " must have 3 dimensions, got ", state.dim());
  TORCH_CHECK(state.is_floating_point() || state.is_complex(), name(),
              " must have a floating point or complex dtype, got ", state.scalar_type());
  check_allocated(state, name);
}

/// The steps kept, checked against `state`: [L, B, H] and each other.
Stretch read_stretch(const Dict& dict, const at::Tensor& state, int64_t kept) {
  const int64_t layers = state.size(0);
  const int64_t batch = state.size(1);
  const int64_t hidden = state.size(2);
  const auto dtype = state.scalar_type();
  const auto none = at::empty({0}, state.options());
  const Stretch stretch{get(dict, "input"),
                        get(dict, "before"),
                        get(dict, "output"),
                        find(dict, "states").value_or(none),
                        find(dict, "masks").value_or(none),
                        find(dict, "drives").value_or(none),
                        find(dict, "carried").value_or(none),
                        find(dict, "reset"),
                        find(dict, "carry_scale")};
  const at::Tensor& input = stretch.input;
  check_dense(input, [] { return "state_dict: 'input'"; });
  TORCH_CHECK(input.dim() == 3 && input.size(1) == batch && input.size(0) <= kept,
              "state_dict: 'input' must have shape [at most ", kept, ", ", batch,
              ", input_size], got ", input.sizes());
  const int64_t steps = input.size(0);
  check_beside_state("input", input, state, {steps, batch, input.size(2)}, dtype);
  check_beside_state("before", stretch.before, state, {layers, batch, hidden}, dtype);
  check_beside_state("output", stretch.output, state, {steps, batch, hidden}, dtype);
  if (layers > 1 || find(dict, "states")) {
    check_beside_state("states", stretch.states, state, {layers - 1, steps, batch, hidden}, dtype);
  }
  if (find(dict, "masks")) {
    check_beside_state("masks", stretch.masks, state, {layers - 1, steps, batch, hidden}, dtype);
  }
  if (find(dict, "drives")) {
    check_beside_state("drives", stretch.drives, state, {layers, steps, batch, hidden}, dtype);
  }
  if (find(dict, "carried")) {
    check_beside_state("carried", stretch.carried, state, {layers, steps, batch, hidden}, dtype);
  }
  if (stretch.reset) {
    check_beside_state("reset", *stretch.reset, state, {steps, batch}, at::kBool);
  }
  if (stretch.carry_scale) {
    check_beside_state("carry_scale", *stretch.carry_scale, state, {steps, batch},
                       c10::toRealValueType(at::toOpMathType(dtype)));
  }
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
  if (kept.states.dim() == 4) dict["states"] = kept.states.clone();
  if (kept.masks.dim() == 4) dict["masks"] = kept.masks.clone();
  if (kept.drives.dim() == 4) dict["drives"] = kept.drives.clone();
  if (kept.carried.dim() == 4) dict["carried"] = kept.carried.clone();
  if (kept.reset) dict["reset"] = kept.reset->clone();
  if (kept.carry_scale) dict["carry_scale"] = kept.carry_scale->clone();
  return dict;
}

void StreamEngine::load(const Dict& from) {
  check_keys(from);
  const auto& truncation = get(from, "truncation");
  check_tensor("truncation", truncation, {2}, at::kLong);
  const auto k1 = truncation.select(0, 0).item<int64_t>();
  const auto k2 = truncation.select(0, 1).item<int64_t>();
  TORCH_CHECK(k1 == k1_ && k2 == k2_, "state_dict: 'truncation' must be that of the stream, (", k1_,
              ", ", k2_, "), got (", k1, ", ", k2, ")");
  const bool ended = read_flag(from, "ended");
  const bool batched = read_flag(from, "batched");
  const auto state = find(from, "state");
  const auto fresh = find(from, "fresh");
  History history(k2_ - k1_);
  if (state) {
    check_state(*state);
    if (fresh) check_beside_state("fresh", *fresh, *state, {state->size(1)}, at::kBool);
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
