#!/usr/bin/env bash
# The C++ tests under sanitizers, which take too long for .ci/run: about an hour on two cores.
#
#   tools/nightly.sh [asan|tsan]...      both unless one is named
#
# Each runs twice: with the widest vectors of this CPU, and with the plain ones. Loads of vectors
# that are masked touch no memory behind a row, so that they hide reads that plain loads show.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
(($#)) || set -- asan tsan
for preset in "$@"; do
  case $preset in
    asan | tsan) ;;
    *) echo "nightly: expected asan or tsan, got $preset" >&2; exit 2 ;;
  esac
done

# The Thread sanitizer of GCC 12 knows no address space as random as newer kernels make it.
fixed_addresses=()
if setarch "$(uname -m)" --addr-no-randomize true 2>/dev/null; then
  fixed_addresses=(setarch "$(uname -m)" --addr-no-randomize)
fi

failed=()
for preset in "$@"; do
  cmake --preset "$preset"
  cmake --build --preset "$preset"
  for capability in "" default; do
    echo "nightly: $preset, vectors: ${capability:-the widest}"
    env ${capability:+"ATEN_CPU_CAPABILITY=$capability"} "${fixed_addresses[@]}" \
      ctest --preset "$preset" || failed+=("$preset, vectors: ${capability:-the widest}")
  done
done
((${#failed[@]} == 0)) || { printf 'nightly: failed: %s\n' "${failed[@]}"; exit 1; }
echo "nightly: all passed"
