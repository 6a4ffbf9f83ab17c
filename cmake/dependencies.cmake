# SPDX-License-Identifier: Apache-2.0
# Debian 12 packages only; `./dev setup` installs them.
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(Boost 1.81 REQUIRED)
find_package(fmt REQUIRED)
find_package(ZLIB REQUIRED)
# Input to zlib is const.
target_compile_definitions(ZLIB::ZLIB INTERFACE ZLIB_CONST)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(simdjson REQUIRED IMPORTED_TARGET simdjson)
# Bad input from the network must not throw: without exceptions an unchecked result does not compile.
target_compile_definitions(PkgConfig::simdjson INTERFACE SIMDJSON_EXCEPTIONS=0)
pkg_check_modules(yamlcpp REQUIRED IMPORTED_TARGET yaml-cpp)
pkg_check_modules(liburing REQUIRED IMPORTED_TARGET liburing)
pkg_check_modules(tomlplusplus REQUIRED IMPORTED_TARGET tomlplusplus)
find_package(prometheus-cpp REQUIRED CONFIG COMPONENTS core)
find_package(CLI11 REQUIRED)
# Optional, and only for who includes trunkline/grid_msgpack.h: nothing of the library's own does.
# Debian 12's package cannot be installed beside Boost 1.81; `./dev setup` unpacks it below build/.
find_path(MSGPACK_CXX_INCLUDE_DIR msgpack/v3/parse.hpp
  HINTS ${PROJECT_SOURCE_DIR}/build/packages/usr/include)
if(MSGPACK_CXX_INCLUDE_DIR)
  add_library(trunkline_msgpack INTERFACE)
  target_include_directories(trunkline_msgpack SYSTEM INTERFACE ${MSGPACK_CXX_INCLUDE_DIR})
  target_compile_definitions(trunkline_msgpack INTERFACE MSGPACK_NO_BOOST)
else()
  message(STATUS "msgpack-cxx is missing (./dev setup): what uses trunkline/grid_msgpack.h is left out")
endif()
if(TRUNKLINE_DEVELOPER)
  find_package(GTest REQUIRED)
  find_package(SQLite3 REQUIRED)
endif()
