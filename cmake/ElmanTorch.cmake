# Finds LibTorch and makes the imported target `elman_torch`. Used by the build and, installed, by
# ElmanConfig.cmake.
#
# find_package(Torch) is not used: on a CUDA build of torch it stops on a machine without the CUDA
# toolkit, though the CPU code needs nothing of it.

include_guard(GLOBAL)

set(ELMAN_TORCH_MIN 2.11)
set(ELMAN_TORCH_BELOW 2.16)
set(ELMAN_PYTHON_MIN 3.10)
set(_elman_torch_script "${CMAKE_CURRENT_LIST_DIR}/environment_torch.py")

function(elman_check_platform)
  if(NOT CMAKE_SYSTEM_NAME STREQUAL "Linux"
     OR NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64|aarch64|arm64)$")
    message(FATAL_ERROR "elman supports Linux on x86-64 and aarch64; this is "
                        "${CMAKE_SYSTEM_NAME} on ${CMAKE_SYSTEM_PROCESSOR}.")
  endif()
endfunction()

# Sets <out> to the torch directory (the one with include/ and lib/) that <prefix> stands for, or to
# "". A prefix may be that directory, LibTorch's share/cmake or share/cmake/Torch in it, a
# site-packages directory, or a virtual environment.
function(elman_torch_below prefix out)
  file(GLOB site_packages "${prefix}/lib/python3*/site-packages/torch")
  foreach(candidate IN ITEMS "${prefix}" "${prefix}/../.." "${prefix}/../../.." "${prefix}/torch"
                             "${prefix}/libtorch" ${site_packages})
    get_filename_component(candidate "${candidate}" REALPATH)
    if(EXISTS "${candidate}/lib/libtorch_cpu.so"
       AND EXISTS "${candidate}/include/torch/csrc/api/include/torch/version.h")
      set(${out} "${candidate}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
  set(${out} "" PARENT_SCOPE)
endfunction()

# Sets <out> to the torch directory that the caller named: Torch_DIR or Torch_ROOT, which have to
# lead to one, else the first entry of CMAKE_PREFIX_PATH that does, else "".
function(elman_torch_from_prefixes out)
  set(${out} "" PARENT_SCOPE)
  foreach(named IN ITEMS "${Torch_DIR}" "${Torch_ROOT}" "$ENV{Torch_DIR}" "$ENV{Torch_ROOT}")
    if(named AND NOT named MATCHES "-NOTFOUND$")
      elman_torch_below("${named}" found)
      if(NOT found)
        message(FATAL_ERROR "Torch_DIR or Torch_ROOT is ${named}, where there is no LibTorch.")
      endif()
      set(${out} "${found}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
  string(REPLACE ":" ";" environment_prefixes "$ENV{CMAKE_PREFIX_PATH}")
  foreach(prefix IN LISTS CMAKE_PREFIX_PATH environment_prefixes)
    elman_torch_below("${prefix}" found)
    if(found)
      set(${out} "${found}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
endfunction()

# Asks a Python which torch it would import. Sets in the caller's scope <prefix>_EXECUTABLE,
# <prefix>_VERSION, <prefix>_BASE (the installation below a virtual environment) and <prefix>_TORCH
# (a directory), each "" where there is none.
function(elman_ask_python program prefix)
  foreach(key IN ITEMS executable version base torch)
    set(value_${key} "")
  endforeach()
  execute_process(COMMAND "${program}" "${_elman_torch_script}" OUTPUT_VARIABLE answer
                  ERROR_VARIABLE complaint RESULT_VARIABLE result)
  if(result EQUAL 0)
    string(REPLACE "\n" ";" lines "${answer}")
    foreach(line IN LISTS lines)
      if(line MATCHES "^([a-z_]+)=(.*)$")
        set(value_${CMAKE_MATCH_1} "${CMAKE_MATCH_2}")
      endif()
    endforeach()
  else()
    # A Python too old for the script does not parse it; messages still name its version.
    execute_process(COMMAND "${program}" -c
                            "import sys; print('%d.%d.%d' % sys.version_info[:3])"
                    OUTPUT_VARIABLE value_version OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    set(value_executable "${program}")
  endif()
  set(${prefix}_EXECUTABLE "${value_executable}" PARENT_SCOPE)
  set(${prefix}_VERSION "${value_version}" PARENT_SCOPE)
  set(${prefix}_BASE "${value_base}" PARENT_SCOPE)
  if(value_torch)
    get_filename_component(value_torch "${value_torch}" REALPATH)
  endif()
  set(${prefix}_TORCH "${value_torch}" PARENT_SCOPE)
endfunction()

# Sets <out> to the public version of the torch in <directory>, e.g. 2.11.0 of 2.11.0+cu130.
function(elman_torch_version directory out)
  set(text "")
  if(EXISTS "${directory}/version.py") # a wheel
    file(STRINGS "${directory}/version.py" text REGEX "^__version__ *= *")
  elseif(EXISTS "${directory}/build-version") # a LibTorch archive
    file(STRINGS "${directory}/build-version" text LIMIT_COUNT 1)
  endif()
  if(text MATCHES "([0-9]+\\.[0-9]+[0-9A-Za-z.]*)")
    set(${out} "${CMAKE_MATCH_1}" PARENT_SCOPE)
    return()
  endif()
  set(version "")
  foreach(header IN ITEMS include/torch/headeronly/version.h
                          include/torch/csrc/api/include/torch/version.h)
    if(EXISTS "${directory}/${header}" AND NOT version)
      file(STRINGS "${directory}/${header}" lines
           REGEX "^#define TORCH_VERSION_(MAJOR|MINOR|PATCH) [0-9]+")
      string(REGEX MATCHALL "[0-9]+" numbers "${lines}")
      list(JOIN numbers "." version)
    endif()
  endforeach()
  if(NOT version)
    message(FATAL_ERROR "The torch in ${directory} does not say its version.")
  endif()
  set(${out} "${version}" PARENT_SCOPE)
endfunction()

# Sets <out> to "" where elman supports this version of torch, else to a sentence.
function(elman_torch_objection directory version out)
  string(REGEX MATCH "^[0-9]+(\\.[0-9]+)*" release "${version}")
  set(${out} "" PARENT_SCOPE)
  if(release VERSION_LESS ELMAN_TORCH_MIN OR NOT release VERSION_LESS ELMAN_TORCH_BELOW)
    set(${out} "elman supports torch 2.11 to 2.15; the torch in ${directory} is ${version}."
        PARENT_SCOPE)
  endif()
endfunction()

# Sets <out> to the CUDA runtime that the torch in <directory> carries (wheels have it in a package of
# its own, LibTorch archives beside their libraries); to "" where it has none or uses the system's.
function(elman_torch_cudart directory out)
  file(GLOB found "${directory}/../nvidia/cu*/lib/libcudart.so.*" "${directory}/lib/libcudart*.so*")
  set(cudart "")
  if(found)
    list(GET found 0 cudart)
    get_filename_component(cudart "${cudart}" ABSOLUTE)
  endif()
  set(${out} "${cudart}" PARENT_SCOPE)
endfunction()

# Makes the imported target elman_torch of the torch in <directory>.
function(elman_torch_target directory)
  set(lib "${directory}/lib")
  set(include "${directory}/include")

  # What libtorch.so brings in anyway. Named by the program too, because the loader looks for what
  # libelman.so needs before it comes to what libtorch.so needs, and would not know where.
  set(cuda "")
  if(EXISTS "${lib}/libtorch_cuda.so")
    elman_torch_cudart("${directory}" cudart)
    set(cuda "${lib}/libtorch_cuda.so" "${lib}/libc10_cuda.so" ${cudart})
  endif()

  # The OpenMP runtime that this torch loads. at::parallel_for is a header with an `omp parallel` in
  # it, so whoever calls it is compiled with OpenMP and needs libgomp. Most builds of torch carry
  # their own, some under a name of their own: linked by that very file, the process has one runtime
  # with one pool of threads. A torch without one uses the system's, and so does elman then.
  file(GLOB gomp "${lib}/libgomp*.so*" "${directory}/../torch.libs/libgomp*.so*")
  if(gomp)
    list(GET gomp 0 gomp)
  else()
    set(gomp gomp)
  endif()

  file(STRINGS "${lib}/libc10.so" new_abi_names REGEX "__cxx11" LIMIT_COUNT 1)
  if(new_abi_names)
    set(new_abi 1)
  else()
    set(new_abi 0)
  endif()
  file(STRINGS "${include}/ATen/ATen.h" demands_20 REGEX "__cplusplus < 202002L")
  if(demands_20)
    set(standard cxx_std_20)
  else()
    set(standard cxx_std_17)
  endif()

  add_library(elman_torch INTERFACE IMPORTED GLOBAL)
  target_include_directories(elman_torch SYSTEM
                             INTERFACE "${include}" "${include}/torch/csrc/api/include")
  # libtorch.so itself has no symbols; it is what brings the CUDA backend into a C++ program.
  target_link_libraries(elman_torch INTERFACE "${lib}/libtorch.so" "${lib}/libtorch_cpu.so"
                                              "${lib}/libc10.so" ${cuda} "${gomp}")
  target_compile_definitions(elman_torch INTERFACE "_GLIBCXX_USE_CXX11_ABI=${new_abi}")
  target_compile_features(elman_torch INTERFACE ${standard})
  target_compile_options(elman_torch INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:-fopenmp>")
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    message(WARNING "elman is tested with GCC. ${CMAKE_CXX_COMPILER_ID} brings an OpenMP runtime "
                    "of its own, which then runs a second pool of threads beside torch's.")
    target_link_options(elman_torch INTERFACE -fopenmp)
  endif()
endfunction()
