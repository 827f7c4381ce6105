# cmake -DBUILD= -DSOURCE= -DREPOSITORY= -DCOMPILER= -DGENERATOR= -P run.cmake
# Configures elman with ELMAN_TORCH=OFF where no torch can be found, installs it, and builds a
# project that has only that, and the program of docs/stepper.md.

cmake_minimum_required(VERSION 3.25)
set(work "${BUILD}/stepper_consumer")
file(REMOVE_RECURSE "${work}")

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output)
  if(NOT result EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "Failed with ${result}: ${command}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

# No environment that could name a torch, and no Python to ask for one.
foreach(variable IN ITEMS CMAKE_PREFIX_PATH Torch_DIR Torch_ROOT VIRTUAL_ENV PYTHONPATH)
  unset(ENV{${variable}})
endforeach()
set(configure "${CMAKE_COMMAND}" -G "${GENERATOR}" "-DCMAKE_CXX_COMPILER=${COMPILER}"
              -DCMAKE_BUILD_TYPE=Release -DCMAKE_DISABLE_FIND_PACKAGE_Torch=ON
              -DCMAKE_DISABLE_FIND_PACKAGE_Python3=ON)
run(${configure} -S "${REPOSITORY}" -B "${work}/elman" -DELMAN_TORCH=OFF
    "-DCMAKE_INSTALL_PREFIX=${work}/prefix")
file(STRINGS "${work}/elman/CMakeCache.txt" found REGEX "[Tt]orch.*=/|Python.*=/")
list(FILTER found EXCLUDE REGEX "_SOURCE_DIR|_BINARY_DIR")
if(found)
  message(FATAL_ERROR "ELMAN_TORCH=OFF has looked for what it does not need: ${found}")
endif()
run("${CMAKE_COMMAND}" --build "${work}/elman" --target install)
run(${configure} -S "${SOURCE}" -B "${work}/build" "-DCMAKE_PREFIX_PATH=${work}/prefix")
run("${CMAKE_COMMAND}" --build "${work}/build")
foreach(capability IN ITEMS avx512 avx2 default)
  set(ENV{ATEN_CPU_CAPABILITY} "${capability}")
  run("${work}/build/consumer" "${SOURCE}/recorded.safetensors" "${SOURCE}/recorded.txt")
  message(STATUS "${output}")
endforeach()

# The program that docs/stepper.md shows, by its own CMakeLists.txt, with a file of the name it has there.
run(${configure} -S "${REPOSITORY}/examples/first_stepper" -B "${work}/first_stepper"
    "-DCMAKE_PREFIX_PATH=${work}/prefix")
run("${CMAKE_COMMAND}" --build "${work}/first_stepper")
run("${CMAKE_COMMAND}" -E copy "${SOURCE}/recorded.safetensors" "${work}/first_stepper/net.safetensors")
run("${CMAKE_COMMAND}" -E chdir "${work}/first_stepper" ./first_stepper)

# Without COMPONENTS, such an installation says what it lacks.
file(WRITE "${work}/all/CMakeLists.txt"
     "cmake_minimum_required(VERSION 3.25)\nproject(All CXX)\nfind_package(Elman REQUIRED)\n")
execute_process(COMMAND ${configure} -S "${work}/all" -B "${work}/all/build"
                        "-DCMAKE_PREFIX_PATH=${work}/prefix"
                OUTPUT_QUIET ERROR_VARIABLE complaint RESULT_VARIABLE result)
string(REGEX REPLACE "[ \n]+" " " complaint "${complaint}")
if(result EQUAL 0 OR NOT complaint MATCHES "has the stepper only: find_package.Elman COMPONENTS stepper")
  message(FATAL_ERROR "An installation without LibTorch should have said so: ${complaint}")
endif()
