# SPDX-License-Identifier: Apache-2.0
# A room is a folder of src/: one static library that links only the rooms its row in
# docs/architecture.md allows. tools/check_rooms holds the #includes to the same table.
function(trunkline_room name)
  cmake_parse_arguments(ROOM "" "" "ROOMS;LIBRARIES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.cpp)
  if(NOT sources)
    file(WRITE ${PROJECT_BINARY_DIR}/empty_${name}.cpp "")
    set(sources ${PROJECT_BINARY_DIR}/empty_${name}.cpp)
  endif()
  add_library(trunkline_${name} STATIC ${sources})
  set_target_properties(trunkline_${name} PROPERTIES LINKER_LANGUAGE CXX)
  trunkline_in_batches(trunkline_${name} 6)
  target_include_directories(trunkline_${name} PUBLIC
    ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/generated)
  list(TRANSFORM ROOM_ROOMS PREPEND trunkline_)
  target_link_libraries(trunkline_${name} PUBLIC ${ROOM_ROOMS} ${ROOM_LIBRARIES}
    PRIVATE $<BUILD_INTERFACE:trunkline_warnings>)
  # What cmake/install.cmake makes the one installed library of.
  set_property(GLOBAL APPEND PROPERTY TRUNKLINE_ROOMS trunkline_${name})
  set_property(GLOBAL APPEND PROPERTY TRUNKLINE_LIBRARIES ${ROOM_LIBRARIES})
endfunction()
