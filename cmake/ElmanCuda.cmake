# CUDA, an optional part. Included before the targets are made.
#
# ELMAN_CUDA                AUTO (where nvcc is found and torch is a CUDA build), ON or OFF
# ELMAN_CUDA_ARCHITECTURES  what the kernels are compiled for, as CMAKE_CUDA_ARCHITECTURES. Default: those
#                           of the GPUs of this machine; where it has none, all that are supported
#
# elman_find_cuda()           sets ELMAN_WITH_CUDA and, if it is true, enables the language
# elman_link_cuda(<target>)   links what kernels need beside elman_torch
#
# nvcc is looked for where CUDACXX, CUDA_HOME and CUDA_PATH say, then on the PATH. Files in CUDA see
# no header of torch; torch's own list of architectures (find_package(Torch)) plays no part.

include_guard(GLOBAL)

set(ELMAN_CUDA AUTO CACHE STRING "Build the CUDA kernels: AUTO, ON or OFF")
set_property(CACHE ELMAN_CUDA PROPERTY STRINGS AUTO ON OFF)
set(ELMAN_CUDA_ARCHITECTURES "" CACHE STRING
    "Architectures of the CUDA kernels; empty: those of this machine's GPUs, or all where it has none")
# The last one also as PTX, for those to come.
set(_elman_cuda_all_architectures "80-real;86-real;89-real;90a-real;100-real;120")

# Sets <out> to the architectures of the GPUs that the driver shows; to "" where there are none.
function(_elman_cuda_architectures_here out)
  set(here "")
  find_program(nvidia_smi nvidia-smi NO_CACHE)
  if(nvidia_smi)
    execute_process(COMMAND "${nvidia_smi}" --query-gpu=compute_cap --format=csv,noheader
                    OUTPUT_VARIABLE text ERROR_QUIET RESULT_VARIABLE result)
    if(result EQUAL 0)
      string(REGEX MATCHALL "[0-9]+\\.[0-9]+" versions "${text}")
      list(REMOVE_DUPLICATES versions)
      foreach(version IN LISTS versions)
        string(REPLACE "." "" number "${version}")
        # 9.0 has instructions that only the architecture 90a names.
        string(REGEX REPLACE "^90$" "90a" number "${number}")
        list(APPEND here "${number}-real")
      endforeach()
    endif()
  endif()
  set(${out} "${here}" PARENT_SCOPE)
endfunction()

# Sets <out> to "" where CUDA code can be built here, else to the reason why not. Sets
# CMAKE_CUDA_COMPILER in the cache.
function(_elman_cuda_objection out)
  set(${out} "" PARENT_SCOPE)
  if(NOT EXISTS "${ELMAN_TORCH_DIR}/lib/libtorch_cuda.so")
    set(${out} "the torch in ${ELMAN_TORCH_DIR} is built without CUDA" PARENT_SCOPE)
    return()
  endif()
  if(NOT CMAKE_CUDA_COMPILER)
    unset(nvcc)
    find_program(nvcc NAMES $ENV{CUDACXX} nvcc NO_CACHE NO_DEFAULT_PATH
                 PATHS $ENV{CUDA_HOME}/bin $ENV{CUDA_PATH}/bin ENV PATH)
    if(NOT nvcc)
      set(${out} "nvcc is not on the PATH, and neither CUDACXX nor CUDA_HOME names it" PARENT_SCOPE)
      return()
    endif()
    set(CMAKE_CUDA_COMPILER "${nvcc}" CACHE FILEPATH "The CUDA compiler")
  endif()
  execute_process(COMMAND "${CMAKE_CUDA_COMPILER}" --version OUTPUT_VARIABLE text ERROR_QUIET)
  string(REGEX MATCH "release ([0-9]+)\\.[0-9]+" _ "${text}")
  set(toolkit "${CMAKE_MATCH_1}")
  string(REGEX MATCH "\\.so\\.([0-9]+)" _ "${ELMAN_TORCH_CUDART}")
  set(runtime "${CMAKE_MATCH_1}")
  if(runtime AND NOT runtime STREQUAL toolkit)
    set(${out} "torch uses CUDA ${runtime}, and ${CMAKE_CUDA_COMPILER} is of CUDA ${toolkit}"
        PARENT_SCOPE)
  endif()
endfunction()

macro(elman_find_cuda)
  set(ELMAN_WITH_CUDA FALSE)
  if(NOT ELMAN_CUDA MATCHES "^(AUTO|ON|OFF)$")
    message(FATAL_ERROR "ELMAN_CUDA is AUTO, ON or OFF, not ${ELMAN_CUDA}.")
  endif()
  if(NOT ELMAN_CUDA STREQUAL "OFF")
    elman_torch_cudart("${ELMAN_TORCH_DIR}" ELMAN_TORCH_CUDART)
    _elman_cuda_objection(_elman_cuda_objection)
    if(NOT _elman_cuda_objection)
      set(ELMAN_WITH_CUDA TRUE)
    elseif(ELMAN_CUDA STREQUAL "ON")
      message(FATAL_ERROR "ELMAN_CUDA is ON, but ${_elman_cuda_objection}.")
    else()
      message(STATUS "No CUDA kernels: ${_elman_cuda_objection}")
    endif()
  endif()
  if(ELMAN_WITH_CUDA)
    set(CMAKE_CUDA_ARCHITECTURES "${ELMAN_CUDA_ARCHITECTURES}")
    if(NOT CMAKE_CUDA_ARCHITECTURES)
      _elman_cuda_architectures_here(CMAKE_CUDA_ARCHITECTURES)
    endif()
    if(NOT CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES "${_elman_cuda_all_architectures}")
    endif()
    set(CMAKE_CUDA_RUNTIME_LIBRARY None) # that of torch, see elman_link_cuda
    set(CMAKE_CUDA_STANDARD 17)
    set(CMAKE_CUDA_STANDARD_REQUIRED ON)
    set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
    if(CMAKE_CXX_COMPILER AND NOT CMAKE_CUDA_HOST_COMPILER)
      set(CMAKE_CUDA_HOST_COMPILER "${CMAKE_CXX_COMPILER}")
    endif()
    enable_language(CUDA)
    message(STATUS "CUDA kernels: ${CMAKE_CUDA_COMPILER} ${CMAKE_CUDA_COMPILER_VERSION} for "
                   "${CMAKE_CUDA_ARCHITECTURES}")
  endif()
endmacro()

# torch's CUDA libraries are in elman_torch; here is the CUDA runtime where torch uses the system's.
function(elman_link_cuda target)
  if(NOT ELMAN_TORCH_CUDART)
    find_library(cudart cudart HINTS ${CMAKE_CUDA_IMPLICIT_LINK_DIRECTORIES} NO_CACHE REQUIRED)
    target_link_libraries(${target} PUBLIC "${cudart}")
  endif()
endfunction()
