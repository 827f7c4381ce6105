# Installation of the stepper, and of what find_package(Elman) reads first.

include_guard(GLOBAL)
include(CMakePackageConfigHelpers)
if(SKBUILD)
  set(CMAKE_INSTALL_LIBDIR lib)
endif()
include(GNUInstallDirs)
set(config_dir "${CMAKE_INSTALL_LIBDIR}/cmake/Elman")

install(TARGETS elman_stepper EXPORT ElmanStepperTargets
        ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
        INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(FILES "${PROJECT_SOURCE_DIR}/include/elman/stepper.h"
              "${PROJECT_SOURCE_DIR}/include/elman/export.h"
        DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/elman")
install(EXPORT ElmanStepperTargets NAMESPACE Elman:: DESTINATION "${config_dir}")

configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/ElmanConfig.cmake.in"
                              "${PROJECT_BINARY_DIR}/cmake/ElmanConfig.cmake"
                              INSTALL_DESTINATION "${config_dir}"
                              NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/cmake/ElmanConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/cmake/ElmanConfig.cmake"
              "${PROJECT_BINARY_DIR}/cmake/ElmanConfigVersion.cmake" DESTINATION "${config_dir}")
