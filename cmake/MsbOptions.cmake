# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
#
# msb::options: the language level, warnings and hardening that all of our own code is built with.

include(GNUInstallDirs)

set(MSB_SANITIZE "" CACHE STRING "Sanitizers for all code, comma separated: address,undefined or thread")
option(MSB_WARNINGS_AS_ERRORS "Fail on any compiler warning" OFF)
option(MSB_FUZZ "Link fuzz harnesses with libFuzzer (clang) instead of the corpus replayer" OFF)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()

find_program(MSB_CCACHE ccache)
if(MSB_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER ${MSB_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${MSB_CCACHE})
endif()

add_library(msb_options INTERFACE)
add_library(msb::options ALIAS msb_options)
target_compile_options(msb_options INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wimplicit-fallthrough
  $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor>
  # Debian's Abseil and our own style call for neither of these.
  -Wno-sign-conversion -Wno-missing-field-initializers
  # A missed [[nodiscard]] loses a Status, and with it an error.
  $<$<COMPILE_LANGUAGE:CXX>:-Werror=unused-result>
  # MSB_EXCEPTIONS is for programs whose libraries report by exceptions (msbctl: CLI11).
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<NOT:$<BOOL:$<TARGET_PROPERTY:MSB_EXCEPTIONS>>>>:-fno-exceptions>
  -fstack-protector-strong
  $<$<BOOL:${MSB_WARNINGS_AS_ERRORS}>:-Werror>)
target_compile_definitions(msb_options INTERFACE
  _GLIBCXX_ASSERTIONS _FILE_OFFSET_BITS=64)
# _FORTIFY_SOURCE needs optimisation, and the sanitizers replace what it checks.
if(NOT MSB_SANITIZE)
  target_compile_definitions(msb_options INTERFACE $<$<NOT:$<CONFIG:Debug>>:_FORTIFY_SOURCE=2>)
endif()
target_include_directories(msb_options INTERFACE ${PROJECT_SOURCE_DIR})
if(MSB_SANITIZE)
  target_compile_options(msb_options INTERFACE
    -fsanitize=${MSB_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(msb_options INTERFACE -fsanitize=${MSB_SANITIZE})
  # Sanitizer runtimes make system calls that the VMM's seccomp filters forbid.
  target_compile_definitions(msb_options INTERFACE MSB_SANITIZED=1)
endif()
if(MSB_FUZZ)
  target_compile_options(msb_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
find_program(MSB_MOLD mold)
if(MSB_MOLD)
  target_link_options(msb_options INTERFACE -fuse-ld=mold)
endif()
target_link_options(msb_options INTERFACE -Wl,-z,relro,-z,now -Wl,--as-needed)
