# Run by ctest after its tests: prints the closing line of pytest, if this run of ctest included it.

cmake_minimum_required(VERSION 3.25)
file(GLOB logs "${BUILD}/Testing/Temporary/LastTest.log*")
list(GET logs -1 log)
file(STRINGS "${log}" lines
     REGEX "^=+ .*(passed|failed|error|skipped|no tests ran).* in [0-9.]+s.* =+$")
if(lines)
  list(GET lines -1 line)
  execute_process(COMMAND "${CMAKE_COMMAND}" -E echo "\n${line}\n")
endif()
