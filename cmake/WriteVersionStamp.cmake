# Copyright 2026 The microsandbox authors
# SPDX-License-Identifier: Apache-2.0
#
# Run at build time (cmake -P): writes base/version_stamp.h when its text changes, so that a commit
# rebuilds one file. Quiet outside a git checkout.
execute_process(COMMAND git -C ${SOURCE_DIR} rev-parse --short=9 HEAD
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
set(stamp "${VERSION}")
if(NOT failed AND commit)
  set(stamp "${VERSION} (${commit})")
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT "#define MSB_VERSION_STAMP \"${stamp}\"\n" @ONLY)
