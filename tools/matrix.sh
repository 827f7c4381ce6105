#!/usr/bin/env bash
# Builds elman against several versions of torch and runs all tests, each in a folder of its own,
# build/matrix/VERSION. Takes about an hour a version on two cores, and 6 GB.
#
#   tools/matrix.sh [--dry-run] [VERSION...]     the versions below unless some are named
#
# The tests run on the files of this checkout as they are now, without CUDA. Every version adds a
# row to build/matrix/results.md; the output is in build/matrix/VERSION/log. --dry-run prints what
# would be done. The Python is `python3`, or what PYTHON names.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}
all=(2.11.0 2.12.1 2.13.0 2.14.1 2.15.0)

dry_run=
if [[ ${1-} == --dry-run ]]; then
  dry_run=1
  shift
fi
(($#)) || set -- "${all[@]}"
for version in "$@"; do
  [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || {
    echo "matrix: expected a version such as ${all[0]}, got $version" >&2
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

# A copy of the checkout: the tools' environment in its build folder sees one torch only.
copy_checkout() {
  mkdir -p "$1"
  git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
    [[ ! -e $file ]] || printf '%s\0' "$file"
  done | xargs -0 cp --parents --preserve=timestamps --target-directory "$1"
}

# try VERSION FOLDER
try() {
  local version=$1 folder=$2 source=$2/source
  run "$python" -m venv --clear "$folder/venv" || return
  run "$folder/venv/bin/pip" install --quiet "torch==$version" numpy || return
  run copy_checkout "$source" || return
  run env "PATH=$PWD/$folder/venv/bin:$PATH" \
    cmake -S "$source" -B "$source/build/release" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DELMAN_CUDA=OFF -DELMAN_BUILD_TESTS=ON -DELMAN_DOWNLOAD_TORCH=OFF || return
  run cmake --build "$source/build/release" || return
  run ctest --test-dir "$source/build/release" --output-on-failure --parallel 2
}

# row VERSION LOG RESULT: how many entries of ctest passed, and pytest's closing line.
row() {
  local entries pytest
  entries=$(sed -En 's/^.*passed, ([0-9]+) tests failed out of ([0-9]+)$/\2, \1 failed/p' "$2")
  pytest=$(sed -En 's/^=* (.*(passed|failed).*) in .*s.* =*$/\1/p' "$2" | tail -n 1)
  echo "| $(date +%F) | $1 | $("$python" -c 'import platform; print(platform.python_version())')" \
    "| $(c++ -dumpfullversion) | ${entries:-not run} | ${pytest:-not run} | $3 |"
}

results=build/matrix/results.md
if [[ ! $dry_run && ! -e $results ]]; then
  mkdir -p build/matrix
  printf '%s\n' '| date | torch | Python | compiler | ctest | pytest | result |' \
    '|---|---|---|---|---|---|---|' >"$results"
fi
failed=()
for version in "$@"; do
  folder=build/matrix/$version
  echo "matrix: torch $version in $folder"
  if [[ $dry_run ]]; then
    try "$version" "$folder"
    continue
  fi
  rm -rf "$folder"
  mkdir -p "$folder"
  result=passed
  try "$version" "$folder" >"$folder/log" 2>&1 || result=failed
  [[ $result == passed ]] || failed+=("$version")
  row "$version" "$folder/log" "$result" | tee -a "$results"
done
((${#failed[@]} == 0)) || { echo "matrix: failed: ${failed[*]}" >&2; exit 1; }
