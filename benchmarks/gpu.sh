#!/usr/bin/env bash
# Everything that wants a GPU, in steps that each leave their result, for a machine that is lent for
# minutes. It needs torch, and nvcc, CMake and ninja only where the library is not brought along.
# Needs no network.
#
#   benchmarks/gpu.sh [--out DIR] [--package DIR] [--rehearse LIBRARY] [STEP...]
#
#   build      the library for this GPU, unless the package in DIR (default: build/gpu/portable/python)
#              loads here
#   smoke      a call of every path and precision against float64 on the CPU
#   layouts    times the layouts of the persistent kernels: what the planner's constants are fitted to
#   tests      the tests that are marked `cuda`, side by side where there is pytest-xdist
#   sanitize   compute-sanitizer over small calls: memcheck, racecheck, synccheck
#   grid       against cuDNN, GRID_SECONDS (default: 200)
#   profile    what ncu says of the kernels that are used most
#
# Without a STEP: build smoke tests sanitize grid profile. Results go to --out (default:
# build/gpu/results): what the steps print in log.txt, a line for each in summary.txt, the grid in
# grid.json and report.md, the layouts in layouts.csv. Every step runs even if one before it failed,
# and no longer than its limit; the exit status is 1 if one failed.
#
# Before it is lent: `benchmarks/gpu.sh build` here, with nvcc and without a GPU (GPU_ARCHITECTURE
# says for which one; default 90a), and build/gpu/portable travels along. --rehearse runs every step
# on the CPU, with tests/cpp/cuda/on_cpu's LIBRARY in place of the device and tools that need one
# left out.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build=build/gpu
out=$build/results
package=$build/portable/python
library=
steps=()
while (($#)); do
  case $1 in
    --out) out=$2 && shift ;;
    --package) package=$2 && shift ;;
    --rehearse) library=$2 && shift ;;
    *) steps+=("$1") ;;
  esac
  shift
done
((${#steps[@]})) || steps=(build smoke tests sanitize grid profile)
mkdir -p "$out"
out=$(realpath "$out")
package=$(realpath -m "$package")
export PYTHONPATH="$package${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
python=${PYTHON:-$(command -v python3)}
device=cuda
load=()
if [[ $library ]]; then
  device=cpu
  load=(--load "$(realpath "$library")")
fi

loads_here() {
  "$python" -c 'import elman, torch; assert torch._C._dispatch_has_kernel_for_dispatch_key(
    "elman::_rnn_forward", "CUDA")' >/dev/null 2>&1
}

# The sanitizers and ncu, where there is a device for them.
with_tool() {
  local tool=$1
  shift
  if [[ $library ]]; then
    while [[ $1 != "$python" ]]; do shift; done
    "$@"
  else
    "$tool" "$@"
  fi
}

step_build() {
  if loads_here; then
    echo "the package in $package loads here"
    return
  fi
  local architecture=${GPU_ARCHITECTURE:-}
  if [[ ! $architecture ]]; then
    architecture=$("$python" -c 'import torch; print("%d%d" % torch.cuda.get_device_capability())' \
      2>/dev/null) || architecture=90
    [[ $architecture == 90 ]] && architecture=90a
  fi
  cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DELMAN_CUDA=ON \
    "-DELMAN_CUDA_ARCHITECTURES=$architecture-real" -DELMAN_BUILD_BENCHMARKS=ON &&
    ninja -C "$build" elman_python gpu_layouts &&
    rm -rf "$build/portable" && mkdir "$build/portable" &&
    cp -rL "$build/python" "$build/benchmarks/gpu_layouts" "$build/portable"
}

step_smoke() {
  "$python" benchmarks/gpu_smoke.py --device "$device" "${load[@]}"
}

step_layouts() {
  if [[ $library ]]; then
    echo "layouts are timed on a device only"
    return
  fi
  "$package/../gpu_layouts" "${LAYOUT_SECONDS:-60}" >"$out/layouts.csv" &&
    wc -l "$out/layouts.csv"
}

step_tests() {
  local files=(test_cuda test_autocast test_cell test_gradcheck test_modules test_opcheck
    test_operator_memory test_operators test_truncation test_truncation_identities) jobs=() chosen=(-m cuda)
  if [[ $library ]]; then
    files=(test_operators)
    chosen=(-k "relu and batch_first")
  elif "$python" -c 'import xdist' 2>/dev/null; then
    jobs=(-n 12)
  fi
  cd tests/python && "$python" -m pytest -p no:cacheprovider -q --color=no --tb=short --maxfail=200 \
    "${jobs[@]}" "${chosen[@]}" "${load[@]}" "${files[@]/%/.py}"
}

step_sanitize() {
  local status=0 tool
  for tool in memcheck racecheck synccheck; do
    echo "== $tool"
    with_tool compute-sanitizer --tool "$tool" --error-exitcode 9 \
      "$python" benchmarks/gpu_small_calls.py --device "$device" "${load[@]}" || status=1
  done
  return $status
}

step_grid() {
  "$python" benchmarks/gpu_grid.py "$out/grid.json" --device "$device" --seconds "${GRID_SECONDS:-200}" \
    --paths &&
    "$python" benchmarks/gpu_report.py "$out/grid.json" >"$out/report.md" &&
    head -n 24 "$out/report.md"
}

step_profile() {
  local status=0 case
  for case in "grid 128 64 1024 fp32 backward" "grid 128 64 512 bf16 backward" \
    "tbptt 1024 16 512 fp32 backward"; do
    echo "== $case"
    # shellcheck disable=SC2086  # a case is words
    with_tool ncu --clock-control none --set basic --section MemoryWorkloadAnalysis \
      --section WarpStateStats --kernel-name regex:'^(forward|backward)' --launch-count 2 \
      "$python" benchmarks/gpu_one_case.py $case --device "$device" || status=1
  done
  return $status
}

# A step's limit in seconds.
limit() {
  case $1 in
    build) echo 900 ;;
    smoke) echo 90 ;;
    layouts | profile) echo 120 ;;
    tests | sanitize) echo 180 ;;
    grid) echo $((${GRID_SECONDS:-200} + 60)) ;;
    *) return 1 ;;
  esac
}

printed=$(mktemp)
trap 'rm -f "$printed"' EXIT
status=0
: >"$out/summary.txt"
: >"$out/log.txt"
for step in "${steps[@]}"; do
  seconds=$(limit "$step") || {
    echo "There is no step $step." >&2
    exit 2
  }
  began=$SECONDS
  printf '\n== %s\n' "$step"
  # A shell of its own, so that its limit ends all that it started.
  export -f "step_$step" with_tool loads_here
  export build out package library device python
  timeout --kill-after=5 "$seconds" bash -c "
    load=(${load[*]@Q})
    step_$step" >"$printed" 2>&1
  code=$?
  tail -n "${TAIL:-40}" "$printed"
  { echo "== $step" && cat "$printed"; } >>"$out/log.txt"
  ((code == 0)) || status=1
  case $code in
    0) word=passed ;;
    124 | 137) word="stopped at its limit" ;;
    *) word="failed ($code)" ;;
  esac
  printf '%s: %s, %d s\n' "$step" "$word" $((SECONDS - began)) | tee -a "$out/summary.txt"
done
printf '\n' && cat "$out/summary.txt"
exit $status
