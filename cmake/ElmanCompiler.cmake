# How everything here is compiled.

include_guard(GLOBAL)

get_property(multi_config GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
if(NOT CMAKE_BUILD_TYPE AND NOT multi_config)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

# torch's headers raise this to C++20 where they ask for it, as those of torch 2.15 do.
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# GCC 12 takes the tensor inside an empty std::optional for one that may be used.
# A switch over an enum names all of its values, so that a new one is missed nowhere.
add_compile_options(
  "$<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wno-maybe-uninitialized;-Werror=switch>")
add_compile_options("$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-Xcompiler=-Wall,-Wextra,-Werror=switch>")
# Off for users: another compiler has other warnings. torch's headers are system headers.
if(ELMAN_WERROR)
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-Werror>"
                      "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Werror>")
endif()
# Messages and assertions name files as they lie in the repository, and no build path is installed.
# ccache hands the compiler paths relative to the build folder.
file(RELATIVE_PATH relative_source_dir "${PROJECT_BINARY_DIR}" "${PROJECT_SOURCE_DIR}")
set(prefix_maps "${PROJECT_SOURCE_DIR}/=" "${relative_source_dir}/=")
if(ELMAN_TORCH)
  list(APPEND prefix_maps "${ELMAN_TORCH_DIR}/=torch/")
endif()
foreach(map IN LISTS prefix_maps)
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-ffile-prefix-map=${map}>"
                      "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-ffile-prefix-map=${map}>")
endforeach()

find_program(ELMAN_CCACHE ccache DOC "Compiler cache, used where it is found")
foreach(language IN ITEMS CXX CUDA)
  if(ELMAN_CCACHE AND NOT CMAKE_${language}_COMPILER_LAUNCHER)
    # Paths relative to the source tree, so that another clone of it hits the cache too.
    set(CMAKE_${language}_COMPILER_LAUNCHER
        "${CMAKE_COMMAND}" -E env "CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}" CCACHE_NOHASHDIR=1
        "CCACHE_SLOPPINESS=pch_defines,time_macros" "${ELMAN_CCACHE}")
  endif()
endforeach()

if(ELMAN_SANITIZE)
  # vptr would need the type information of torch's hidden classes.
  add_compile_options("-fsanitize=${ELMAN_SANITIZE}" -fno-sanitize=vptr -fno-sanitize-recover=all
                      -fno-omit-frame-pointer)
  add_link_options("-fsanitize=${ELMAN_SANITIZE}")
endif()
