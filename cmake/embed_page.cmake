# SPDX-License-Identifier: Apache-2.0
# Files for browsers as a C++ source: embed_page(TARGET FOLDER TEMPLATE) adds to the target a source
# that is made of the template, @table@ in it being a row {path, content type, content} a file, and
# index.html the path "/". Run as a script (cmake -DOUT=… -DFOLDER=… -DTEMPLATE=… -P) it writes that
# source.
if(NOT CMAKE_SCRIPT_MODE_FILE)
  set(TRUNKLINE_EMBED_PAGE ${CMAKE_CURRENT_LIST_FILE})
  function(embed_page target folder template)
    file(GLOB files CONFIGURE_DEPENDS ${folder}/*)
    set(source ${PROJECT_BINARY_DIR}/generated/${target}_page.cpp)
    add_custom_command(OUTPUT ${source}
      COMMAND ${CMAKE_COMMAND} -DOUT=${source} -DFOLDER=${folder} -DTEMPLATE=${template}
              -P ${TRUNKLINE_EMBED_PAGE}
      DEPENDS ${files} ${template} ${TRUNKLINE_EMBED_PAGE} VERBATIM)
    target_sources(${target} PRIVATE ${source})
  endfunction()
  return()
endif()

set(types html text/html js text/javascript css text/css svg image/svg+xml)
set(table "")
file(GLOB files RELATIVE ${FOLDER} ${FOLDER}/*.html ${FOLDER}/*.js ${FOLDER}/*.css ${FOLDER}/*.svg)
list(SORT files)
foreach(file ${files})
  file(READ ${FOLDER}/${file} hex HEX)
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
    "  {\"${path}\", \"${type}; charset=utf-8\", {\n${literal}    , ${bytes}}},\n")
endforeach()
configure_file(${TEMPLATE} ${OUT} @ONLY)
