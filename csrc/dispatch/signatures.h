#pragma once

#include <ATen/core/List.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/util/ArrayRef.h>

#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "arguments.h"

// The operators of torch_ext/library.cpp in C++: for registering kernels, which see the structs of
// arguments.h, and for calling operators with those structs.
//
// The internal operators take every member of RnnArguments, in its order, so their types and
// adapters follow from RnnArguments::members; those of `Padded` (rnn, kernel_info) from
// padded_members. Packed input has an order of its own, which `Packed` (rnn.data, kernel_info.data)
// spells.

namespace elman {
namespace detail {

/// How an operator takes a member: tensors by reference.
template <typename Member>
using Passed = std::conditional_t<std::is_same_v<Member, at::Tensor> ||
                                      std::is_same_v<Member, std::optional<at::Tensor>>,
                                  const Member&, Member>;

template <typename... Types>
struct List {};

struct TypesOf {
  template <typename... Members>
  List<Passed<Members>...> operator()(const Members&...) const;
};

/// The types of all members of RnnArguments or CellArguments.
template <typename Arguments>
using CallTypes =
    decltype(std::declval<const Arguments&>().members(std::declval<const TypesOf&>()));

/// Those of padded calls.
using PaddedTypes =
    decltype(std::declval<const RnnArguments&>().padded_members(std::declval<const TypesOf&>()));

/// Stands for any kernel, where only the type of its adapter is asked for.
template <typename Result>
Result some_kernel(const RnnArguments&);

}  // namespace detail

using ForwardResult = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

template <typename Types>
struct InternalOperators;

template <typename... Types>
struct InternalOperators<detail::List<Types...>> {
  using Forward = ForwardResult(Types..., bool save_states, bool save_drives);
  using Backward = std::vector<at::Tensor>(const std::optional<at::Tensor>& grad_output,
                                           const std::optional<at::Tensor>& grad_h_n,
                                           const at::Tensor& output, const at::Tensor& states,
                                           const at::Tensor& saved_masks, const at::Tensor& drives,
                                           Types..., c10::List<bool> output_mask);

  /// impl(const RnnArguments&, Keep) as a kernel of `_rnn_forward`.
  template <auto impl>
  static ForwardResult forward(Types... members, bool save_states, bool save_drives) {
    auto [output, h_n, saved] = impl(RnnArguments{members...}, Keep{save_states, save_drives});
    return {std::move(output), std::move(h_n), std::move(saved.states), std::move(saved.masks),
            std::move(saved.drives)};
  }

  /// impl(const RnnArguments&, const BackwardArguments&) as a kernel of `_rnn_backward`.
  template <auto impl>
  static std::vector<at::Tensor> backward(const std::optional<at::Tensor>& grad_output,
                                          const std::optional<at::Tensor>& grad_h_n,
                                          const at::Tensor& output, const at::Tensor& states,
                                          const at::Tensor& saved_masks, const at::Tensor& drives,
                                          Types... members, c10::List<bool> output_mask) {
    return impl(RnnArguments{members...},
                BackwardArguments{grad_output, grad_h_n, output, Saved{states, saved_masks, drives},
                                  std::vector<bool>(output_mask.begin(), output_mask.end())});
  }
};

using Internal = InternalOperators<detail::CallTypes<RnnArguments>>;

template <typename Types>
struct CellOperator;

template <typename... Types>
struct CellOperator<detail::List<Types...>> {
  using Signature = at::Tensor(Types...);

  /// impl(const CellArguments&) as a kernel of `rnn_cell`.
  template <auto impl>
  static at::Tensor kernel(Types... members) {
    return impl(CellArguments{members...});
  }
};

using RnnCell = CellOperator<detail::CallTypes<CellArguments>>;

template <typename Result, typename Types>
struct PaddedOperator;

template <typename Result, typename... Types>
struct PaddedOperator<Result, detail::List<Types...>> {
  using Signature = Result(Types...);

  /// impl(const RnnArguments&) as a kernel.
  template <auto impl>
  static Result kernel(Types... members) {
    return impl(RnnArguments{members...});
  }

  static Result call(const c10::TypedOperatorHandle<Signature>& op, const RnnArguments& args) {
    return args.padded_members([&](const auto&... members) { return op.call(members...); });
  }
};

/// An operator of padded (or unbatched) input with some result.
template <typename Result>
using Padded = PaddedOperator<Result, detail::PaddedTypes>;

/// An operator of packed input with some result.
template <typename Result>
struct Packed {
  /// impl(const RnnArguments&) as a kernel.
  template <auto impl>
  static Result kernel(const at::Tensor& data, const at::Tensor& batch_sizes,
                       const std::optional<at::Tensor>& hx, at::TensorList params, bool has_biases,
                       int64_t num_layers, double dropout, bool train, bool bidirectional,
                       std::string_view nonlinearity, int64_t k1, int64_t k2,
                       const std::optional<at::Tensor>& leak, std::string_view leak_form,
                       const std::optional<at::Tensor>& preactivation) {
    return impl(RnnArguments{data, hx, params, has_biases, num_layers, dropout, train,
                             bidirectional, /*batch_first=*/false, nonlinearity, k1, k2,
                             /*reset=*/std::nullopt, /*carry_scale=*/std::nullopt, leak, leak_form,
                             preactivation, batch_sizes});
  }

  using Signature = std::remove_pointer_t<decltype(&kernel<&detail::some_kernel<Result>>)>;

  static Result call(const c10::TypedOperatorHandle<Signature>& op, const RnnArguments& a) {
    return op.call(a.input, *a.batch_sizes, a.hx, a.params, a.has_biases, a.num_layers, a.dropout,
                   a.train, a.bidirectional, a.nonlinearity, a.k1, a.k2, a.leak, a.leak_form,
                   a.preactivation);
  }
};

using RnnResult = std::tuple<at::Tensor, at::Tensor>;

/// The operator of a name in a schema; for a static variable, since the dispatcher looks it up.
template <typename Signature>
c10::TypedOperatorHandle<Signature> find_operator(const char* name, const char* overload = "") {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, overload).typed<Signature>();
}

}  // namespace elman
