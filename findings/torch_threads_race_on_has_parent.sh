#!/bin/sh
# torch 2.15.0 (2.11.0 too): threads that each make a graph of their own on a parameter that they
# share, which autograd allows, have a data race in LibTorch's own header, which the Thread sanitizer
# reports in programs with C++ autograd nodes. `Node::topological_nr() const`
# (torch/csrc/autograd/function.h) sets the member `has_parent_` of the parameter's node, a mutable
# bool and no atomic one, each time that an edge to it is made. All threads write true. To be left out
# by a suppression: race:torch::autograd::Node::topological_nr
#
# Needs g++ with the Thread sanitizer, C++20. Exits non-zero if that changes. PYTHON=... takes an
# interpreter that has torch already.
#
# Output seen (2026-11-30, torch 2.15.0+cu132, g++ 12.2.0, Linux):
#   torch 2.15.0+cu132
#   writes of one byte that race, by function:
#     torch::autograd::Node::topological_nr
#   with the suppression: none
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if [ -z "${PYTHON:-}" ]; then
  python3 -m venv "$folder/venv"
  PYTHON="$folder/venv/bin/python"
  "$PYTHON" -m pip install --quiet torch==2.15.0 numpy
fi
torch=$("$PYTHON" -W ignore -c 'import torch; print(torch.__path__[0])')
cat > "$folder/threads.cpp" <<'END'
#include <torch/csrc/autograd/variable.h>
#include <torch/torch.h>

#include <atomic>
#include <thread>

struct Twice : torch::autograd::Function<Twice> {
  static torch::Tensor forward(torch::autograd::AutogradContext*, const torch::Tensor& x) {
    return 2 * x;
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 torch::autograd::variable_list grads) {
    return {2 * grads[0]};
  }
};

int main() {
  const torch::Tensor parameter = torch::ones({3}, torch::requires_grad());
  // The parameter's node lives on: its end is no part of this.
  const auto node = torch::autograd::impl::grad_accumulator(parameter);
  std::atomic<int> ready = 0;
  const auto work = [&] {
    for (++ready; ready < 2;) std::this_thread::yield();
    for (int i = 0; i < 10000; ++i) Twice::apply(parameter);
  };
  std::thread first(work), second(work);
  first.join();
  second.join();
}
END
g++ -std=c++20 -O1 -g1 -fsanitize=thread -w -D_GLIBCXX_USE_CXX11_ABI=1 \
  -isystem "$torch/include" -isystem "$torch/include/torch/csrc/api/include" \
  "$folder/threads.cpp" -o "$folder/threads" -L"$torch/lib" -Wl,-rpath,"$torch/lib" \
  -Wl,--no-as-needed -ltorch_cpu -ltorch -lc10
# GCC 12's sanitizer knows no address space as random as newer kernels make it.
fixed="setarch $(uname -m) --addr-no-randomize"
$fixed true 2>/dev/null || fixed=
# The functions in which two threads write one byte.
races() {
  TSAN_OPTIONS="exitcode=0 $1" $fixed "$folder/threads" 2>&1 |
    grep -A1 -E '^  (Previous w|W)rite of size 1' |
    sed -n 's/^ *#0 \(torch::[A-Za-z_:]*\).*/  \1/p' | sort -u
}
echo "race:torch::autograd::Node::topological_nr" > "$folder/left_out"
"$PYTHON" -W ignore -c 'import torch; print("torch", torch.__version__)'
echo "writes of one byte that race, by function:"
seen=$(races "")
echo "$seen"
left=$(races "suppressions=$folder/left_out")
echo "with the suppression: ${left:-none}"
if [ "$seen" != "  torch::autograd::Node::topological_nr" ] || [ -n "$left" ]; then
  echo "the behaviour has changed"
  exit 1
fi
