# SPDX-License-Identifier: Apache-2.0
if(TRUNKLINE_SANITIZE STREQUAL "asan")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(TRUNKLINE_SANITIZE STREQUAL "tsan")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
elseif(TRUNKLINE_SANITIZE STREQUAL "fuzz")
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
                      -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(NOT TRUNKLINE_SANITIZE STREQUAL "")
  message(FATAL_ERROR "TRUNKLINE_SANITIZE is '${TRUNKLINE_SANITIZE}'; it takes asan, tsan or fuzz")
endif()
add_compile_options(-fno-omit-frame-pointer)

# The presets of `./dev test` beside release: most of what they compile is others' headers, again and
# again. That each file compiles by itself is release's to prove.
function(trunkline_in_batches target files)
  if(TRUNKLINE_SANITIZE MATCHES "^[at]san$")
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE ${files})
  endif()
endfunction()
