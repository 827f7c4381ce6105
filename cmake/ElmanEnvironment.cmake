# The build's side of finding torch, and the virtual environments in the build folder. Nothing is
# installed outside of it.
#
# elman_find_torch()          finds torch, or installs it into build/venv; defines elman_torch
# elman_require_tools(<out>)  the Python of build/tools-venv: test and plot tools that see torch
# elman_require_docs_tools(<out>)  the Python of build/docs-venv: what makes and checks the documentation

include_guard(GLOBAL)
include(ElmanTorch)

set(ELMAN_DOWNLOAD_VERSION 2.11.0)
# In the source tree's build folder even for other build directories: 5 GB are wanted only once.
set(_elman_environments "${PROJECT_SOURCE_DIR}/build")

# Asks the active Python, `python3` on the PATH (so a virtual environment or what pyenv selects). It
# is looked up anew by every configuration: activating another environment takes effect.
macro(_elman_active_python prefix)
  if(Python3_EXECUTABLE)
    set(_elman_python "${Python3_EXECUTABLE}")
  else()
    unset(_elman_python)
    find_program(_elman_python NAMES python3 python NO_CACHE NO_DEFAULT_PATH PATHS ENV PATH)
  endif()
  foreach(_elman_key IN ITEMS EXECUTABLE VERSION BASE TORCH)
    set(${prefix}_${_elman_key} "")
  endforeach()
  if(_elman_python)
    elman_ask_python("${_elman_python}" ${prefix})
  endif()
endmacro()

# Runs a command with its output shown; stops with <hint> if it fails.
function(_elman_run hint)
  execute_process(COMMAND ${CMAKE_COMMAND} -E env --unset=PYTHONPATH --unset=PYTHONHOME ${ARGN}
                  RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "This failed: ${command}\n${hint}")
  endif()
endfunction()

function(_elman_make_venv directory python)
  file(REMOVE_RECURSE "${directory}")
  _elman_run("Debian and Ubuntu keep the venv module in the package python3-venv."
             "${python}" -m venv "${directory}")
endfunction()

function(_elman_check_python python version purpose)
  if(NOT version)
    message(FATAL_ERROR "${purpose} needs Python ${ELMAN_PYTHON_MIN} or newer; none was found.")
  elseif(version VERSION_LESS ELMAN_PYTHON_MIN)
    message(FATAL_ERROR "${purpose} needs Python ${ELMAN_PYTHON_MIN} or newer; ${python} is "
                        "${version}. Put a newer python3 first on the PATH.")
  endif()
endfunction()

# Installs torch into build/venv once. An interrupted run leaves no stamp and is begun anew.
function(_elman_download_torch python python_version out)
  set(venv "${_elman_environments}/venv")
  set(stamp "${venv}/.torch-${ELMAN_DOWNLOAD_VERSION}")
  file(MAKE_DIRECTORY "${_elman_environments}")
  file(LOCK "${_elman_environments}/venv.lock" GUARD FUNCTION)
  if(NOT EXISTS "${stamp}" OR NOT EXISTS "${venv}/bin/python3")
    _elman_check_python("${python}" "${python_version}" "Installing torch")
    message(
      STATUS
        "No PyTorch was found: neither CMAKE_PREFIX_PATH nor the active Python has one.\n"
        "   torch==${ELMAN_DOWNLOAD_VERSION} is being installed from PyPI into a virtual\n"
        "   environment of the build folder, ${venv}\n"
        "   It takes about 4.7 GB of disk and, on a quick line, 80 seconds; this happens once.\n"
        "   Deleting the folder undoes it. To use another PyTorch, activate its environment or\n"
        "   set CMAKE_PREFIX_PATH.")
    _elman_make_venv("${venv}" "${python}")
    _elman_run("Or install torch yourself, and activate its environment or set CMAKE_PREFIX_PATH."
               "${venv}/bin/python3" -m pip install --no-user --disable-pip-version-check
               "torch==${ELMAN_DOWNLOAD_VERSION}")
    file(TOUCH "${stamp}")
  endif()
  set(${out} "${venv}/bin/python3" PARENT_SCOPE)
endfunction()

# Finds torch and sets in the caller's scope ELMAN_TORCH_DIR, ELMAN_TORCH_VERSION (public version)
# and ELMAN_PYTHON: the Python that imports this torch, or "" where none does (a LibTorch archive).
function(elman_find_torch)
  elman_check_platform()
  _elman_active_python(active)
  set(python "${active_EXECUTABLE}")
  set(torch "")
  if(SKBUILD)
    # A wheel belongs to the environment that it is installed into, as its metadata say.
    set(torch "${active_TORCH}")
    if(NOT torch)
      message(FATAL_ERROR "There is no torch in the environment of ${python}. Install torch first.")
    endif()
  else()
    elman_torch_from_prefixes(torch)
    if(torch AND NOT torch STREQUAL active_TORCH)
      # The Python of the environment that the named torch lies in, if it lies in one.
      set(python "")
      get_filename_component(prefix "${torch}/../../../.." ABSOLUTE)
      if(EXISTS "${torch}/version.py" AND EXISTS "${prefix}/bin/python3")
        elman_ask_python("${prefix}/bin/python3" owner)
        if(owner_TORCH STREQUAL torch)
          set(python "${owner_EXECUTABLE}")
        endif()
      endif()
    elseif(NOT torch)
      set(torch "${active_TORCH}")
    endif()
  endif()
  if(NOT torch)
    if(NOT ELMAN_DOWNLOAD_TORCH)
      message(FATAL_ERROR "No PyTorch was found, and ELMAN_DOWNLOAD_TORCH is off. Set "
                          "CMAKE_PREFIX_PATH to LibTorch, or activate a Python environment that "
                          "has torch.")
    endif()
    _elman_download_torch("${active_EXECUTABLE}" "${active_VERSION}" python)
    elman_ask_python("${python}" own)
    set(torch "${own_TORCH}")
  endif()

  elman_torch_version("${torch}" version)
  elman_torch_objection("${torch}" "${version}" objection)
  if(objection)
    message(FATAL_ERROR "${objection}")
  endif()
  message(STATUS "Using torch ${version} in ${torch}")
  elman_torch_target("${torch}")
  set(ELMAN_TORCH_DIR "${torch}" PARENT_SCOPE)
  set(ELMAN_TORCH_VERSION "${version}" PARENT_SCOPE)
  set(ELMAN_PYTHON "${python}" PARENT_SCOPE)
endfunction()

# Sets <out> to the Python of build/<name>, which has what the file <requirements> of the source tree
# lists and sees the torch that the build uses; to "" where that torch has no Python side.
#
# The torch is reached by a .pth file: --system-site-packages would show the Python installation
# below, not another virtual environment. It is written after pip has run: pip never looks at it.
function(_elman_require_venv name requirements out)
  if(NOT ELMAN_PYTHON)
    set(${out} "" PARENT_SCOPE)
    return()
  endif()
  set(venv "${_elman_environments}/${name}")
  set(requirements "${PROJECT_SOURCE_DIR}/${requirements}")
  set_property(DIRECTORY "${PROJECT_SOURCE_DIR}" APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
                                                                 "${requirements}")
  file(SHA256 "${requirements}" hash)
  file(MAKE_DIRECTORY "${_elman_environments}")
  file(LOCK "${_elman_environments}/${name}.lock" GUARD FUNCTION)

  set(stamp "${venv}/.elman-tools")
  elman_ask_python("${ELMAN_PYTHON}" python)
  set(wanted "Python ${python_VERSION} of ${python_BASE}, requirements ${hash}")
  set(present "")
  if(EXISTS "${stamp}" AND EXISTS "${venv}/bin/python3")
    file(READ "${stamp}" present)
  endif()
  if(NOT present STREQUAL wanted)
    message(STATUS "Installing the tools of ${requirements} into ${venv} (once)")
    _elman_make_venv("${venv}" "${ELMAN_PYTHON}")
    _elman_run("Without a network the C++ part still builds: -DELMAN_BUILD_PYTHON=OFF"
               "${venv}/bin/python3" -m pip install --no-user --disable-pip-version-check --quiet
               --requirement "${requirements}")
    file(WRITE "${stamp}" "${wanted}")
  endif()
  file(GLOB site_packages "${venv}/lib/python3*/site-packages")
  get_filename_component(torch_site_packages "${ELMAN_TORCH_DIR}" DIRECTORY)
  file(WRITE "${site_packages}/elman_torch.pth" "${torch_site_packages}\n")
  set(${out} "${venv}/bin/python3" PARENT_SCOPE)
endfunction()

macro(elman_require_tools out)
  _elman_require_venv(tools-venv tests/python/requirements.txt ${out})
endmacro()

macro(elman_require_docs_tools out)
  _elman_require_venv(docs-venv docs/requirements.txt ${out})
endmacro()
