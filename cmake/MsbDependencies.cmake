# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
#
# Third-party libraries, all from the distribution.
#
# Abseil and Protobuf come in two linkages. gRPC is a shared library that brings the shared ones; the
# VMM and the guest agent are static executables, since neither finds a library in its empty root. So a
# library of ours never names Abseil or Protobuf; the executable that it ends in chooses:
#   msb::runtime_static   Abseil, protobuf-lite as archives (vmm, guest-agent, jailer, most tests)
#   msb::runtime_grpc     gRPC, Protobuf, Abseil as shared libraries (supervisor, tests)
#   msb::runtime_client   the same as archives, gRPC without TLS: msbctl starts for each command of a user's,
#                         and binding the shared ones takes it longer than all the rest of a start

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(GTest REQUIRED)
find_package(Protobuf REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_program(MSB_GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)

get_filename_component(MSB_LIBRARY_DIR ${Protobuf_LIBRARY} DIRECTORY)
file(GLOB MSB_ABSL_ARCHIVES ${MSB_LIBRARY_DIR}/libabsl_*.a)
list(FILTER MSB_ABSL_ARCHIVES EXCLUDE REGEX "_test_|scoped_mock")
if(NOT MSB_ABSL_ARCHIVES)
  message(FATAL_ERROR "no Abseil archives in ${MSB_LIBRARY_DIR}: install libabsl-dev")
endif()
find_library(MSB_PROTOBUF_LITE_ARCHIVE libprotobuf-lite.a REQUIRED)

# TLS of msb-secrets, which finds no library in its empty root either.
find_library(MSB_SSL_ARCHIVE libssl.a REQUIRED)
find_library(MSB_CRYPTO_ARCHIVE libcrypto.a REQUIRED)
add_library(msb_openssl INTERFACE)
add_library(msb::openssl ALIAS msb_openssl)
target_link_libraries(msb_openssl INTERFACE ${MSB_SSL_ARCHIVE} ${MSB_CRYPTO_ARCHIVE} Threads::Threads)

add_library(msb_runtime_static INTERFACE)
add_library(msb::runtime_static ALIAS msb_runtime_static)
target_link_libraries(msb_runtime_static INTERFACE
  ${MSB_PROTOBUF_LITE_ARCHIVE} -Wl,--start-group ${MSB_ABSL_ARCHIVES} -Wl,--end-group
  Threads::Threads)

add_library(msb_runtime_grpc INTERFACE)
add_library(msb::runtime_grpc ALIAS msb_runtime_grpc)
target_link_libraries(msb_runtime_grpc INTERFACE gRPC::grpc++ protobuf::libprotobuf Threads::Threads)

# What msb-image takes apart images with, as archives: it is static, and so are its tests.
find_library(MSB_SSL_ARCHIVE libssl.a REQUIRED)
find_library(MSB_CRYPTO_ARCHIVE libcrypto.a REQUIRED)
find_library(MSB_ZSTD_ARCHIVE libzstd.a REQUIRED)
find_library(MSB_ZLIB_ARCHIVE libz.a REQUIRED)

add_library(msb_openssl_static INTERFACE)
add_library(msb::openssl_static ALIAS msb_openssl_static)
target_link_libraries(msb_openssl_static INTERFACE
  ${MSB_SSL_ARCHIVE} ${MSB_CRYPTO_ARCHIVE} Threads::Threads)

set(MSB_CLIENT_ARCHIVES)
foreach(name grpc++_unsecure grpc_unsecure gpr address_sorting upb re2 cares z protobuf)
  find_library(MSB_ARCHIVE_${name} lib${name}.a REQUIRED)
  list(APPEND MSB_CLIENT_ARCHIVES ${MSB_ARCHIVE_${name}})
endforeach()
add_library(msb_runtime_client INTERFACE)
add_library(msb::runtime_client ALIAS msb_runtime_client)
target_link_libraries(msb_runtime_client INTERFACE
  -Wl,--start-group ${MSB_CLIENT_ARCHIVES} ${MSB_ABSL_ARCHIVES} -Wl,--end-group
  Threads::Threads ${CMAKE_DL_LIBS})
target_link_options(msb_runtime_client INTERFACE -static-libstdc++ -static-libgcc -Wl,--gc-sections)
