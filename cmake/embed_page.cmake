# SPDX-License-Identifier: Apache-2.0
# cmake -DOUT=… -DWEB=… -P embed_page.cmake: the files of web/ as a C++ source.
set(types html text/html js text/javascript css text/css svg image/svg+xml)
set(table "")
set(arrays "")
file(GLOB files RELATIVE ${WEB} ${WEB}/*.html ${WEB}/*.js ${WEB}/*.css ${WEB}/*.svg)
list(SORT files)
set(number 0)
foreach(file ${files})
  file(READ ${WEB}/${file} hex HEX)
  string(REGEX REPLACE "(..)" "\\\\x\\1" escaped "${hex}")
  # Literals of 4,000 bytes: compilers limit the length of one.
  string(LENGTH "${escaped}" length)
  set(literal "")
  set(at 0)
  while(at LESS length)
    string(SUBSTRING "${escaped}" ${at} 16000 piece)
    string(APPEND literal "    \"${piece}\"\n")
    math(EXPR at "${at} + 16000")
  endwhile()
  math(EXPR bytes "${length} / 4")
  string(REGEX REPLACE ".*\\." "" ending ${file})
  list(FIND types ${ending} index)
  math(EXPR index "${index} + 1")
  list(GET types ${index} type)
  set(path "/${file}")
  if(file STREQUAL "index.html")
    set(path "/")
  endif()
  string(APPEND table
    "  PageFile{\"${path}\", \"${type}; charset=utf-8\", std::string_view(\n${literal}    , ${bytes})},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(WRITE ${OUT} "// Generated from web/ by cmake/embed_page.cmake.
#include \"server/page.h\"

#include <algorithm>
#include <array>

namespace trunkline::server {

namespace {

constexpr std::array<PageFile, ${number}> kFiles = {
${table}};

}  // namespace

const PageFile* find_page_file(std::string_view path) {
  const auto* found = std::ranges::find(kFiles, path, &PageFile::path);
  return found == kFiles.end() ? nullptr : found;
}

}  // namespace trunkline::server
")
