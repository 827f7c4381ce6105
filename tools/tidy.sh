#!/usr/bin/env bash
# clang-tidy over the folders whose files include little enough of torch to be quick: a minute or
# two on two cores.
#
#   tools/tidy.sh [FOLDER...]      csrc/checks, csrc/cuda and csrc/stepper unless others are named
#
# BUILD is the build folder that has compile_commands.json [build/release].
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${BUILD:-build/release}
(($#)) || set -- csrc/checks csrc/cuda csrc/stepper

# The same files everywhere: those that need the CUDA toolkit's headers are left out, which clang
# reads only with flags of its own, and the stepper's that compute with GCC's vectors, which it does
# not take. A file that is not compiled here has no flags to be read with.
mapfile -t files < <(git ls-files "${@/%//*.cpp}" | while read -r file; do
  [[ $file != csrc/stepper/@(kernels|network).cpp ]] &&
    ! grep -qE '#include <(ATen/cuda|c10/cuda|cuda)' "$file" &&
    grep -qF "/$file\"" "$build/compile_commands.json" && echo "$file" || true
done)
((${#files[@]})) || { echo "tidy: $build compiles nothing of $*" >&2; exit 1; }

# The package from PyPI has no headers of a compiler's own (stddef.h): GCC's serve, but for
# OpenMP's. Flags that only GCC knows are no errors.
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$(nproc)" build/tools-venv/bin/clang-tidy \
  -p "$build" --quiet "--extra-arg=-idirafter$(g++ -print-file-name=include)" \
  --extra-arg=-fno-openmp --extra-arg=-Wno-unknown-warning-option 2> >(grep -v 'warnings\? generated\.$' >&2)
echo "clang-tidy: ${#files[@]} files pass"
