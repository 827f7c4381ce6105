#!/usr/bin/env bash
# clang-tidy over the folders whose files include little enough of torch to be quick: about a minute
# on two cores.
#
#   tools/tidy.sh [FOLDER...]      csrc/checks and csrc/cuda unless others are named
#
# BUILD is the build folder that has compile_commands.json [build/release].
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${BUILD:-build/release}
(($#)) || set -- csrc/checks csrc/cuda

# The same files everywhere: those that need the CUDA toolkit's headers are left out, which clang
# reads only with flags of its own. A file that is not compiled here has no flags to be read with.
mapfile -t files < <(git ls-files "${@/%//*.cpp}" | while read -r file; do
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
