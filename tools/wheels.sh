#!/usr/bin/env bash
# Builds one wheel that carries a library for each of several versions of torch, and tries it in an
# environment of each.
#
#   tools/wheels.sh [--cuda] [--dry-run] [VERSION...]     the versions below unless some are named
#
# PyTorch's C++ interface differs between minor versions, so there is no library for all of them;
# `import elman` takes the one that fits. Without --cuda the CUDA kernels are left out. Takes ten to
# twenty minutes a version on two cores, and 5 GB each in build/wheels: an environment with torch,
# which the next run uses again. The wheel goes to dist/.
# Versions from 2.14 on need a compiler with C++20. The Python is `python3`, or what PYTHON names.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}
all=(2.11.0 2.12.1 2.13.0 2.14.1 2.15.0)

cuda=OFF
dry_run=
while [[ ${1-} == --* ]]; do
  case $1 in
    --cuda) cuda=ON ;;
    --dry-run) dry_run=1 ;;
    *)
      echo "wheels: expected --cuda or --dry-run, got $1" >&2
      exit 2
      ;;
  esac
  shift
done
(($#)) || set -- "${all[@]}"
for version in "$@"; do
  [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || {
    echo "wheels: expected a version such as ${all[0]}, got $version" >&2
    exit 2
  }
done

run() {
  if [[ $dry_run ]]; then
    printf '  %s\n' "$*"
  else
    "$@"
  fi
}

# make_environment FOLDER VERSION: a virtual environment with that torch; one that is there stays.
make_environment() {
  [[ ! -e $1/.ready ]] || return 0
  run "$python" -m venv --clear "$1"
  pip "$1" install --quiet "torch==$2" numpy
  run touch "$1/.ready"
}

# pip ENVIRONMENT ARGUMENT...
pip() {
  run "$1/bin/python" -m pip --disable-pip-version-check "${@:2}"
}

# All CUDA architectures, also where this machine has a GPU of one of them.
options=(-C "cmake.define.ELMAN_CUDA=$cuda")
[[ $cuda == OFF ]] ||
  options+=(-C "cmake.define.ELMAN_CUDA_ARCHITECTURES=80-real;86-real;89-real;90a-real;100-real;120")

wheels=()
for version in "$@"; do
  echo "== torch $version"
  folder=build/wheels/$version
  make_environment "$folder/venv" "$version"
  run rm -rf "$folder/wheel"
  pip "$folder/venv" wheel --no-deps "${options[@]}" --wheel-dir "$folder/wheel" .
  wheels+=("$folder"/wheel/elman-*.whl)
done
run rm -rf build/wheels/merged
run "$python" tools/merge_wheels.py build/wheels/merged "${wheels[@]}"

# The environment of the build serves again: pip builds outside of it, so it has torch and nothing
# of elman. The wheel's own requirement must hold there: pip may not look for another torch.
for version in "$@"; do
  venv=build/wheels/$version/venv
  pip "$venv" install --quiet --force-reinstall --no-deps build/wheels/merged/elman-*.whl
  pip "$venv" check
  run "$venv/bin/python" tools/try_wheel.py "$version"
  pip "$venv" uninstall --quiet --yes elman
done
run mkdir -p dist
run cp build/wheels/merged/elman-*.whl dist/
for wheel in "${wheels[@]}" dist/elman-*.whl; do
  [[ $dry_run ]] || printf '%10d bytes  %s\n' "$(stat --format %s "$wheel")" "$wheel"
done
