# SPDX-License-Identifier: Apache-2.0
# The rooms of the simulations, compiled again with the marks of core/probe.h alive. Under a sanitizer no
# fault is planted and no mark is looked at: there they are the rooms as they are.
add_library(sim_rooms INTERFACE)
if(TRUNKLINE_SANITIZE STREQUAL "")
  set(room_sources)
  foreach(room core ws outbox replay peers grid hub session)
    file(GLOB found CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${room}/*.cpp)
    list(APPEND room_sources ${found})
  endforeach()
  add_library(marked_rooms STATIC EXCLUDE_FROM_ALL ${room_sources})
  set_target_properties(marked_rooms PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 6)
  target_compile_definitions(marked_rooms PUBLIC TRUNKLINE_SIM=1)
  target_include_directories(marked_rooms PUBLIC ${PROJECT_SOURCE_DIR}/include
    ${PROJECT_SOURCE_DIR}/src ${PROJECT_BINARY_DIR}/generated)
  target_link_libraries(marked_rooms PUBLIC fmt::fmt OpenSSL::Crypto PkgConfig::simdjson ZLIB::ZLIB
    PRIVATE trunkline_warnings)
  target_link_libraries(sim_rooms INTERFACE marked_rooms)
else()
  target_compile_definitions(sim_rooms INTERFACE TRUNKLINE_SIM=1)
  target_link_libraries(sim_rooms INTERFACE trunkline_session trunkline_peers trunkline_grid)
endif()
