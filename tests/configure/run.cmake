# cmake -DSOURCE= -DBUILD= -DTORCH= -DCOMPILER= -DGENERATOR= -P run.cmake
# Configures the project as on a machine without the CUDA toolkit: that works, and asking for the
# kernels all the same is an error that says what is missing.

cmake_minimum_required(VERSION 3.25)
set(work "${BUILD}/without-toolkit")
file(REMOVE_RECURSE "${work}")

string(REPLACE ":" ";" directories "$ENV{PATH}")
set(path "")
foreach(directory IN LISTS directories)
  if(NOT EXISTS "${directory}/nvcc")
    list(APPEND path "${directory}")
  endif()
endforeach()
list(JOIN path ":" path)

function(configure cuda out_result out_text)
  execute_process(
    COMMAND
      "${CMAKE_COMMAND}" -E env --unset=CUDACXX --unset=CUDA_HOME --unset=CUDA_PATH "PATH=${path}"
      "${CMAKE_COMMAND}" -S "${SOURCE}" -B "${work}/${cuda}" -G "${GENERATOR}"
      "-DCMAKE_CXX_COMPILER=${COMPILER}" "-DCMAKE_PREFIX_PATH=${TORCH}" "-DELMAN_CUDA=${cuda}"
    RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE errors)
  string(REGEX REPLACE "[ \n]+" " " text "${output} ${errors}")
  set(${out_result} "${result}" PARENT_SCOPE)
  set(${out_text} "${text}" PARENT_SCOPE)
endfunction()

set(reason "nvcc is not on the PATH|the torch in [^ ]+ is built without CUDA")
configure(AUTO result text)
if(NOT result EQUAL 0 OR NOT text MATCHES "No CUDA kernels: (${reason})")
  message(FATAL_ERROR "Without the toolkit the project should configure, and say so: ${text}")
endif()
configure(ON result text)
if(result EQUAL 0 OR NOT text MATCHES "ELMAN_CUDA is ON, but (${reason})")
  message(FATAL_ERROR "ELMAN_CUDA=ON without the toolkit should be an error that says so: ${text}")
endif()
