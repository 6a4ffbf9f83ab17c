# SPDX-License-Identifier: Apache-2.0
# Rooms are separate static libraries inside the build, so that each links only what its row allows.
# Outside there is one archive: libtrunkline, made of the object files of all rooms.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

get_property(rooms GLOBAL PROPERTY TRUNKLINE_ROOMS)
get_property(libraries GLOBAL PROPERTY TRUNKLINE_LIBRARIES)
list(REMOVE_DUPLICATES libraries)
# Only headers of these are used, and only inside the rooms: a consumer never sees them.
list(REMOVE_ITEM libraries Boost::headers nlohmann_json::nlohmann_json)

set(objects ${rooms})
list(TRANSFORM objects REPLACE "(.+)" "$<TARGET_OBJECTS:\\1>")
add_library(trunkline_library STATIC ${objects})
add_library(trunkline::trunkline ALIAS trunkline_library)
add_dependencies(trunkline_library ${rooms})
set_target_properties(trunkline_library PROPERTIES
  LINKER_LANGUAGE CXX OUTPUT_NAME trunkline EXPORT_NAME trunkline)
target_compile_features(trunkline_library INTERFACE cxx_std_23)
target_link_libraries(trunkline_library PRIVATE ${libraries})
file(GLOB public_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/trunkline/*.h)
target_sources(trunkline_library PUBLIC FILE_SET HEADERS
  BASE_DIRS ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/generated
  FILES ${public_headers} ${PROJECT_BINARY_DIR}/generated/trunkline/version.h)

# What a user of a static library has to find and link as well: worked out of what the rooms link, so
# that a new dependency cannot be forgotten in the package files.
set(find_dependencies "")
set(pkgconfig_targets "")
set(pkgconfig_requires "")
foreach(library ${libraries})
  if(library MATCHES "^PkgConfig::(.+)$")
    set(name ${CMAKE_MATCH_1})
    list(APPEND pkgconfig_targets ${name}:${${name}_MODULE_NAME})
    list(APPEND pkgconfig_requires ${${name}_MODULE_NAME})
  elseif(library STREQUAL "Threads::Threads")
    string(APPEND find_dependencies "find_dependency(Threads)\n")
  elseif(library MATCHES "^OpenSSL::(SSL|Crypto)$")
    string(TOLOWER lib${CMAKE_MATCH_1} module)
    list(APPEND pkgconfig_requires ${module})
    string(APPEND find_dependencies "find_dependency(OpenSSL 3.0)\n")
  elseif(library STREQUAL "prometheus-cpp::core")
    list(APPEND pkgconfig_requires prometheus-cpp-core)
    string(APPEND find_dependencies "find_dependency(prometheus-cpp COMPONENTS core)\n")
  elseif(library MATCHES "^(fmt|spdlog|ZLIB)::")
    string(TOLOWER ${CMAKE_MATCH_1} module)
    list(APPEND pkgconfig_requires ${module})
    string(APPEND find_dependencies "find_dependency(${CMAKE_MATCH_1})\n")
  else()
    message(FATAL_ERROR "cmake/install.cmake does not know how a user of the library finds ${library}")
  endif()
endforeach()
list(JOIN pkgconfig_requires " " pkgconfig_requires)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/trunkline)
install(TARGETS trunkline_library EXPORT trunklineTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT Development
  FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT Development)
install(EXPORT trunklineTargets NAMESPACE trunkline::
  DESTINATION ${package_dir} COMPONENT Development)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/trunklineConfig.cmake.in
  ${PROJECT_BINARY_DIR}/trunklineConfig.cmake INSTALL_DESTINATION ${package_dir}
  NO_SET_AND_CHECK_MACRO)
# SameMinorVersion while 0.x: a minor version may still break the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/trunklineConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/trunklineConfig.cmake
  ${PROJECT_BINARY_DIR}/trunklineConfigVersion.cmake
  DESTINATION ${package_dir} COMPONENT Development)

# The prefix is worked out from the place of the .pc file, so that the tree can be moved and
# `cmake --install --prefix` is right; how far up that is depends on the library folder's depth.
file(RELATIVE_PATH pkgconfig_to_prefix
  /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
string(REGEX REPLACE "/$" "" pkgconfig_to_prefix "${pkgconfig_to_prefix}")
configure_file(${PROJECT_SOURCE_DIR}/cmake/trunkline.pc.in
  ${PROJECT_BINARY_DIR}/trunkline.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/trunkline.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT Development)

if(TARGET trunkline)
  install(TARGETS trunkline RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT Runtime)
endif()
