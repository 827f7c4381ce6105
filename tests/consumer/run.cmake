# cmake -DBUILD= -DSOURCE= -DREPOSITORY= -DTORCH= -DTORCH_VERSION= ... -P run.cmake
# Installs the build into an empty prefix, looks that nothing there points into the build, builds the
# consumer against it and runs its programs. With -DPYTHON= and -DPYTHONPATH= it also runs the Python blocks of
# docs/deployment.md, and the C++ program of that page on the files that they write. The program that
# README.md shows is built and run, too.

cmake_minimum_required(VERSION 3.25)
set(work "${BUILD}/consumer")
set(prefix "${work}/prefix")
file(REMOVE_RECURSE "${work}")

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "Failed with ${result}: ${command}")
  endif()
endfunction()

run("${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${prefix}" --config "${CONFIG}")

file(GLOB_RECURSE library "${prefix}/libelman.so")
execute_process(COMMAND "${READELF}" --dynamic --wide "${library}" OUTPUT_VARIABLE dynamic
                COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCH "(RUNPATH|RPATH)[^\n]*\\[([^\n]*)\\]" _ "${dynamic}")
set(rpath "${CMAKE_MATCH_2}")
string(REPLACE ":" ";" rpath "${rpath}")
foreach(entry IN LISTS rpath)
  if(NOT entry MATCHES "^\\$ORIGIN")
    message(FATAL_ERROR "${library} has the build's path ${entry} in its RUNPATH.")
  endif()
endforeach()
string(REGEX REPLACE "[][+.*()^$?]" "\\\\\\0" build_path "${REPOSITORY}/|${TORCH}/")
file(GLOB_RECURSE installed "${prefix}/*.h" "${prefix}/*.cmake" "${library}")
foreach(file IN LISTS installed)
  file(STRINGS "${file}" line LIMIT_COUNT 1 REGEX "${build_path}")
  if(line)
    message(FATAL_ERROR "${file} names a path of the build: ${line}")
  endif()
endforeach()

# Lists (a launcher with arguments, prefixes) travel best in the environment.
set(ENV{CMAKE_CXX_COMPILER_LAUNCHER} "${LAUNCHER}")
set(options -G "${GENERATOR}" "-DCMAKE_CXX_COMPILER=${COMPILER}" -DCMAKE_BUILD_TYPE=Release)
set(configure "${CMAKE_COMMAND}" -S "${SOURCE}" ${options})
set(ENV{CMAKE_PREFIX_PATH} "${prefix}:${TORCH}")
run(${configure} -B "${work}/build")
run("${CMAKE_COMMAND}" --build "${work}/build")
run("${work}/build/train" "${work}/scripted.pt")
run("${work}/build/scripted" "${work}/scripted.pt")

# The program of README.md, by its own CMakeLists.txt.
run("${CMAKE_COMMAND}" -S "${REPOSITORY}/examples/first" ${options} -B "${work}/first")
run("${CMAKE_COMMAND}" --build "${work}/first")
run("${work}/first/first")
if(PYTHON)
  set(ENV{PYTHONPATH} "${PYTHONPATH}")
  set(ENV{PYTHONDONTWRITEBYTECODE} 1)
  file(MAKE_DIRECTORY "${work}/page")
  execute_process(COMMAND "${PYTHON}" "${SOURCE}/run_page.py" "${REPOSITORY}/docs/deployment.md" "${REPOSITORY}"
                  WORKING_DIRECTORY "${work}/page" COMMAND_ERROR_IS_FATAL ANY)
  set(files tagger_aoti.pt2 tagger.pt expected.pt)
  list(TRANSFORM files PREPEND "${work}/page/")
  run("${work}/build/deployed" ${files})
else()
  message(WARNING "docs/deployment.md was NOT run: there is no Python with this torch.")
endif()

# A torch of another version is refused, and the message names both versions.
set(other "${work}/other-torch")
foreach(file IN ITEMS lib/libtorch_cpu.so include/torch/csrc/api/include/torch/version.h)
  get_filename_component(directory "${other}/${file}" DIRECTORY)
  file(MAKE_DIRECTORY "${directory}")
  file(TOUCH "${other}/${file}")
endforeach()
file(WRITE "${other}/build-version" "2.10.1+cpu\n")
set(ENV{CMAKE_PREFIX_PATH} "${prefix}:${other}")
execute_process(COMMAND ${configure} -B "${work}/other"
                OUTPUT_QUIET ERROR_VARIABLE complaint RESULT_VARIABLE result)
string(REGEX REPLACE "[ \n]+" " " complaint "${complaint}")
string(FIND "${complaint}" "built with torch ${TORCH_VERSION}" built)
string(FIND "${complaint}" "is 2.10.1" found)
if(result EQUAL 0 OR built EQUAL -1 OR found EQUAL -1)
  message(FATAL_ERROR "Another torch should have been refused, naming both: ${complaint}")
endif()
