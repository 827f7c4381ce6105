#!/usr/bin/env bash
# Everything that wants a GPU, on a machine that has one, its own torch, nvcc, CMake and ninja:
# build, tests, compute-sanitizer, the grid against cuDNN and others, the report. Needs no network.
#
#   benchmarks/gpu.sh [all | check | grid] [OUT]
#
# `check` builds, tests and sanitizes, `grid` builds and measures: halves of less than ten minutes
# each, for machines that are lent by the slice. Results go to OUT (default: build/gpu/results):
# tests.txt, sanitizer.txt, grid-*.json, report.md. Every step runs even if one before it failed; the
# exit status is that of the worst.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
what=${1:-all}
out=$(realpath -m "${2:-build/gpu/results}")
build=build/gpu
mkdir -p "$out"
status=0

say() { printf '\n== %s (%d s)\n' "$*" "$SECONDS"; }
failed() {
  echo "FAILED: $*"
  status=1
}

python=$(command -v python3)
capability=$("$python" -c 'import torch; print("%d%d" % torch.cuda.get_device_capability())') || {
  echo "This torch sees no GPU."
  exit 2
}
architecture=$capability
[[ $capability == 90 ]] && architecture=90a
export PYTHONPATH="$PWD/$build/python${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1

say "build for $architecture"
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DELMAN_CUDA=ON \
  "-DELMAN_CUDA_ARCHITECTURES=$architecture-real" -DELMAN_DOWNLOAD_TORCH=OFF &&
  ninja -C "$build" || exit 1

if [[ $what != grid ]]; then
  say "tests"
  if "$python" -c 'import pytest' 2>/dev/null; then
    "$python" -m pytest -p no:cacheprovider -q -m cuda tests/python 2>&1 | tee "$out/tests.txt" |
      tail -n 40 || failed tests
  else
    failed "tests: there is no pytest"
  fi

  if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck synccheck; do
      say "compute-sanitizer $tool"
      compute-sanitizer --tool "$tool" --error-exitcode 9 \
        "$python" benchmarks/gpu_small_calls.py 2>&1 | tee -a "$out/sanitizer.txt" | tail -n 5 ||
        failed "compute-sanitizer $tool"
    done
  else
    failed "compute-sanitizer: not on the PATH"
  fi
fi

if [[ $what != check ]]; then
  say "grid"
  "$python" benchmarks/gpu_grid.py "$out/grid-1.json" --seconds 400 || failed grid
  "$python" benchmarks/gpu_report.py "$out"/grid-*.json >"$out/report.md" || failed report
  head -n 20 "$out/report.md"
fi
say "done, results in $out"
exit "$status"
