# Helpers for the folders of tests, examples and benchmarks.
#
# elman_add_cpp_test(<name> SOURCES <file>... [LIBRARIES <target>...] [LABELS <label>...] [WHOLE]
#                    [INTERNAL] [ALONE])
#   A GoogleTest program. Each TEST becomes a ctest entry of its own, so that ctest counts tests;
#   with WHOLE the program is one entry: for large parameterized grids, where starting LibTorch
#   (0.5 s) for each case would take longer than the cases. INTERNAL tests what the shared library
#   hides: the program is made of the library's objects, and csrc/ is on its include path. With
#   ALONE it is made of SOURCES and nothing else of elman, with csrc/ on its include path.
#   LABELS are added to a program that is one entry (WHOLE).
# elman_add_example(<name> SOURCES <file>... [LIBRARIES <target>...])
# elman_add_benchmark(<name> SOURCES <file>... [LIBRARIES <target>...])
#   A program that links Elman::elman; a benchmark also links Google Benchmark.

include_guard(GLOBAL)

function(elman_add_cpp_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "WHOLE;INTERNAL;ALONE" "" "SOURCES;LIBRARIES;LABELS")
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests/cpp")
  if(arg_ALONE)
    target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/csrc")
    target_link_libraries(${name} PRIVATE elman_torch)
  elseif(arg_INTERNAL)
    # Not the shared library too: every operator would be registered twice.
    target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/csrc")
    target_link_libraries(${name} PRIVATE elman_objects)
  else()
    target_link_libraries(${name} PRIVATE Elman::elman)
  endif()
  target_link_libraries(${name} PRIVATE ${arg_LIBRARIES} elman_test_seed GTest::gtest_main)
  if(ELMAN_SANITIZE MATCHES "thread")
    target_sources(${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests/cpp/thread_sanitizer.cpp")
  endif()

  set(properties TIMEOUT 600 LABELS cpp)
  if(ELMAN_SANITIZE)
    # The emulated GPU runs several times as long. LibTorch keeps registries and thread pools until
    # the process ends, and they count as leaks.
    set(properties TIMEOUT 1800 LABELS cpp ENVIRONMENT "ASAN_OPTIONS=detect_leaks=0")
  endif()
  if(arg_WHOLE)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES ${properties})
    set_property(TEST ${name} APPEND PROPERTY LABELS ${arg_LABELS})
  else()
    # Listed when ctest runs: to list at build time would start LibTorch in every build.
    gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 120
                         PROPERTIES ${properties})
  endif()
endfunction()

function(elman_add_example name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LIBRARIES")
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LIBRARIES} Elman::elman)
endfunction()

function(elman_add_benchmark name)
  find_package(benchmark QUIET)
  if(NOT benchmark_FOUND)
    message(FATAL_ERROR "The benchmarks need Google Benchmark: apt-get install libbenchmark-dev, "
                        "or add an installation of it to CMAKE_PREFIX_PATH.")
  endif()
  elman_add_example(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE benchmark::benchmark)
endfunction()
