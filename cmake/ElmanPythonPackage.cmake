# The Python package as it would be installed, staged in <build>/python: PYTHONPATH=<build>/python.
# Staged anew by every build: Python files are edited between two test runs.

include_guard(GLOBAL)

set(ELMAN_PYTHONPATH "${PROJECT_BINARY_DIR}/python")
add_custom_target(
  elman_python ALL
  COMMAND
    "${CMAKE_COMMAND}" "-DSOURCE=${PROJECT_SOURCE_DIR}/torch_ext/elman"
    "-DDESTINATION=${ELMAN_PYTHONPATH}/elman" "-DBUILD_INFO=${PROJECT_BINARY_DIR}/_build_info.py"
    "-DLIBRARY=$<TARGET_FILE:elman>" -P "${CMAKE_CURRENT_LIST_DIR}/stage_package.cmake"
  COMMENT "Staging the Python package"
  VERBATIM)
add_dependencies(elman_python elman)
