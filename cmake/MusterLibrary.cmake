# muster_library(NAME HEADERS ... SOURCES ... PROTOS ... PUBLIC ... PRIVATE ... [ASIO])
#
# Declares the library of one top-level folder: muster_NAME, used as muster::NAME.  Its public headers live in
# include/muster/NAME/ and nowhere else, so a folder can include only the folders that it links, and a folder may link
# only what was declared before it: that is what keeps the direction discovery -> node -> cache -> unsplit -> lab -> app.
# ASIO: most sources include Boost.Asio; they share a precompiled header.
function(muster_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "ASIO" "" "HEADERS;SOURCES;PROTOS;PUBLIC;PRIVATE")
  foreach(link IN LISTS arg_PUBLIC arg_PRIVATE)
    if(link MATCHES "^muster::" AND NOT TARGET ${link})
      message(FATAL_ERROR "${name} may not link ${link}: it is declared further down")
    endif()
  endforeach()
  add_library(muster_${name} STATIC)
  add_library(muster::${name} ALIAS muster_${name})
  list(TRANSFORM arg_HEADERS PREPEND include/muster/${name}/)
  list(TRANSFORM arg_SOURCES PREPEND src/)
  target_sources(muster_${name}
    PUBLIC FILE_SET HEADERS BASE_DIRS include FILES ${arg_HEADERS}
    PRIVATE ${arg_SOURCES})
  muster_compile_options(muster_${name})
  target_include_directories(muster_${name} PRIVATE src)
  target_link_libraries(muster_${name} PUBLIC ${arg_PUBLIC} PRIVATE ${arg_PRIVATE})
  set_target_properties(muster_${name} PROPERTIES EXPORT_NAME ${name})
  install(TARGETS muster_${name} EXPORT muster ARCHIVE FILE_SET HEADERS)
  if(arg_PROTOS)
    muster_protos(${name} ${arg_PROTOS})
  endif()
  if(arg_ASIO)
    target_precompile_headers(muster_${name} PRIVATE ${PROJECT_SOURCE_DIR}/cmake/asio_pch.h)
  endif()
endfunction()

# The wire and disk formats of a folder: src/NAME.proto, included as "NAME.pb.h" by that folder alone.
function(muster_protos name)
  set(out ${CMAKE_CURRENT_BINARY_DIR}/protos)
  file(MAKE_DIRECTORY ${out})
  add_library(muster_${name}_protos STATIC)
  foreach(proto IN LISTS ARGN)
    get_filename_component(stem ${proto} NAME_WE)
    add_custom_command(
      OUTPUT ${out}/${stem}.pb.cc ${out}/${stem}.pb.h
      COMMAND protobuf::protoc --cpp_out=${out} -I ${CMAKE_CURRENT_SOURCE_DIR}/src ${CMAKE_CURRENT_SOURCE_DIR}/src/${proto}
      DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/${proto} protobuf::protoc
      VERBATIM)
    target_sources(muster_${name}_protos PRIVATE ${out}/${stem}.pb.cc ${out}/${stem}.pb.h)
  endforeach()
  target_include_directories(muster_${name}_protos SYSTEM PUBLIC $<BUILD_INTERFACE:${out}>)
  install(TARGETS muster_${name}_protos EXPORT muster ARCHIVE)
  target_link_libraries(muster_${name}_protos PUBLIC protobuf::libprotobuf-lite)
  target_compile_features(muster_${name}_protos PUBLIC cxx_std_20)
  target_link_libraries(muster_${name} PRIVATE muster_${name}_protos)
endfunction()

# Warnings and language level of all that is ours, tests and examples included.
function(muster_compile_options target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wnon-virtual-dtor -Wold-style-cast
    -Wno-missing-field-initializers  # designated initialisers name what differs from the default
    # g++ 12 is wrong about these when it optimises: frames of coroutines, std::string's operator+.
    $<$<CXX_COMPILER_ID:GNU>:-Wno-mismatched-new-delete;-Wno-array-bounds;-Wno-restrict;-Wno-stringop-overflow>
    $<$<BOOL:${MUSTER_WERROR}>:-Werror>)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
endfunction()
