# Builds the Rust library with cargo, as part of the build, and puts it beside liblivekit.so.

find_program(TRAMLINE_CARGO cargo HINTS "$ENV{HOME}/.cargo/bin" "$ENV{CARGO_HOME}/bin")
if(NOT TRAMLINE_CARGO)
  message(FATAL_ERROR "cargo was not found; install Rust with rustup, or set TRAMLINE_CARGO to it")
endif()

get_filename_component(TRAMLINE_ROOT "${CMAKE_CURRENT_SOURCE_DIR}/.." ABSOLUTE)

set(TRAMLINE_CARGO_PROFILE "" CACHE STRING "Profile of the Rust library; empty for dev in Debug builds and release otherwise")
if(TRAMLINE_CARGO_PROFILE)
  set(cargo_profile "${TRAMLINE_CARGO_PROFILE}")
elseif(CMAKE_BUILD_TYPE STREQUAL "Debug")
  set(cargo_profile dev)
else()
  set(cargo_profile release)
endif()
set(cargo_folder "${cargo_profile}")
if(cargo_profile STREQUAL "dev")
  set(cargo_folder debug)
endif()

# Shared with cargo's own builds, unless the environment says otherwise.
if(DEFINED ENV{CARGO_TARGET_DIR})
  set(cargo_target_default "$ENV{CARGO_TARGET_DIR}")
else()
  set(cargo_target_default "${TRAMLINE_ROOT}/target")
endif()
set(TRAMLINE_CARGO_TARGET_DIR "${cargo_target_default}" CACHE PATH "Where cargo builds")

set(TRAMLINE_SONAME libtramline.so.0)
set(cargo_output "${TRAMLINE_CARGO_TARGET_DIR}/${cargo_folder}/libtramline.so")
set(TRAMLINE_LIBRARY "${CMAKE_LIBRARY_OUTPUT_DIRECTORY}/${TRAMLINE_SONAME}")

file(MAKE_DIRECTORY "${CMAKE_LIBRARY_OUTPUT_DIRECTORY}")
# Cargo knows what is out of date.
add_custom_target(tramline_cargo ALL
  COMMAND "${CMAKE_COMMAND}" -E env "CARGO_TARGET_DIR=${TRAMLINE_CARGO_TARGET_DIR}"
          "${TRAMLINE_CARGO}" build --locked --package tramline-c --profile ${cargo_profile}
  COMMAND "${CMAKE_COMMAND}" -E copy_if_different "${cargo_output}" "${TRAMLINE_LIBRARY}"
  COMMAND "${CMAKE_COMMAND}" -E create_symlink ${TRAMLINE_SONAME} "${CMAKE_LIBRARY_OUTPUT_DIRECTORY}/libtramline.so"
  BYPRODUCTS "${TRAMLINE_LIBRARY}"
  WORKING_DIRECTORY "${TRAMLINE_ROOT}"
  COMMENT "Building libtramline with cargo (${cargo_profile})"
  USES_TERMINAL
  VERBATIM)

set(TRAMLINE_HEADERS "${TRAMLINE_ROOT}/crates/tramline-c/include")
add_library(Tramline::tramline SHARED IMPORTED GLOBAL)
set_target_properties(Tramline::tramline PROPERTIES
  IMPORTED_LOCATION "${TRAMLINE_LIBRARY}"
  IMPORTED_SONAME ${TRAMLINE_SONAME}
  INTERFACE_INCLUDE_DIRECTORIES "${TRAMLINE_HEADERS}")
