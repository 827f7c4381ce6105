# cmake -DSOURCE= -DDESTINATION= -DBUILD_INFO= -DLIBRARY= -P stage_package.cmake
# Copies the package's Python files (a link would lead __file__ back to the source tree) and links
# the library.

cmake_minimum_required(VERSION 3.25)
file(GLOB_RECURSE wanted RELATIVE "${SOURCE}" "${SOURCE}/*.py" "${SOURCE}/*.pyi"
     "${SOURCE}/py.typed")
file(GLOB_RECURSE present RELATIVE "${DESTINATION}" "${DESTINATION}/*.py" "${DESTINATION}/*.pyi")
foreach(file IN LISTS present)
  if(NOT file IN_LIST wanted AND NOT file STREQUAL "_build_info.py")
    file(REMOVE "${DESTINATION}/${file}")
  endif()
endforeach()
foreach(file IN LISTS wanted)
  get_filename_component(directory "${DESTINATION}/${file}" DIRECTORY)
  file(MAKE_DIRECTORY "${directory}")
  file(COPY_FILE "${SOURCE}/${file}" "${DESTINATION}/${file}" ONLY_IF_DIFFERENT)
endforeach()
file(COPY_FILE "${BUILD_INFO}" "${DESTINATION}/_build_info.py" ONLY_IF_DIFFERENT)
file(MAKE_DIRECTORY "${DESTINATION}/lib")
get_filename_component(name "${LIBRARY}" NAME)
file(CREATE_LINK "${LIBRARY}" "${DESTINATION}/lib/${name}" SYMBOLIC)
