// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msbctl: the command line of microsandbox.

#include "sdks/msbctl/application.h"

int main(int argc, char** argv) { return msb::RunCommandLine(argc, argv); }
