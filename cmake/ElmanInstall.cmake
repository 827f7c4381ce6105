# Installation: the library, its headers and what find_package(Elman) reads. The same rules fill the
# wheel, where everything lies inside the package: elman/lib, elman/include, elman/lib/cmake/Elman.

include_guard(GLOBAL)
include(ElmanInstallStepper)  # and what is common to both

# In a wheel torch lies beside elman, in the same site-packages. Elsewhere the program that links
# Elman::elman names torch's libraries itself and so has them loaded already.
set(install_rpath "$ORIGIN")
if(SKBUILD)
  # The second one where it lies a folder deeper, in a wheel for several versions of torch.
  list(APPEND install_rpath "$ORIGIN/../../torch/lib" "$ORIGIN/../../../torch/lib")
  if(ELMAN_WITH_CUDA AND ELMAN_TORCH_CUDART)
    get_filename_component(site_packages "${ELMAN_TORCH_DIR}" DIRECTORY)
    get_filename_component(cudart_dir "${ELMAN_TORCH_CUDART}" DIRECTORY)
    file(RELATIVE_PATH cudart_dir "${site_packages}" "${cudart_dir}")
    list(APPEND install_rpath "$ORIGIN/../../${cudart_dir}" "$ORIGIN/../../../${cudart_dir}")
  endif()
endif()
set_target_properties(elman PROPERTIES INSTALL_RPATH "${install_rpath}")

# A program may use elman by nothing but torch.ops.elman in a TorchScript file. Linkers that drop
# libraries without a referenced symbol (Ubuntu's does) would drop it, and the operators with it.
target_link_options(elman INTERFACE "LINKER:--no-as-needed")

install(TARGETS elman EXPORT ElmanTargets LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
        INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/elman" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        FILES_MATCHING PATTERN "*.h")
install(EXPORT ElmanTargets NAMESPACE Elman:: DESTINATION "${config_dir}")

install(FILES "${CMAKE_CURRENT_LIST_DIR}/ElmanTorch.cmake"
              "${CMAKE_CURRENT_LIST_DIR}/environment_torch.py" DESTINATION "${config_dir}")

# What elman/__init__.py compares with the installed torch before it loads the library.
configure_file("${CMAKE_CURRENT_LIST_DIR}/_build_info.py.in" "${PROJECT_BINARY_DIR}/_build_info.py"
               @ONLY)
if(SKBUILD)
  install(FILES "${PROJECT_BINARY_DIR}/_build_info.py" DESTINATION .)
endif()
