// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The options that describe a new sandbox, shared by `run` and `create`.

#ifndef MSB_SDKS_MSBCTL_SANDBOX_OPTIONS_H_
#define MSB_SDKS_MSBCTL_SANDBOX_OPTIONS_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "google/protobuf/map.h"
#include "msb/v1/sandbox.pb.h"

namespace msb {

struct SandboxOptions {
  std::string name;
  std::string image;
  std::string pull;
  uint32_t vcpus = 0;
  std::string memory;
  std::string disk;
  double cpus = 0;
  std::string engine;
  std::vector<std::string> labels;
  std::string idle_timeout;
  std::string lifetime;
  std::string network;
  std::vector<std::string> allow;
  std::vector<std::string> deny;
  std::vector<std::string> ports;
  std::vector<std::string> secrets;
  std::vector<std::string> joined;   // private networks
  std::vector<std::string> volumes;  // SOURCE:PATH[:OPTIONS]
  std::vector<std::string> mounts;   // the same, of the host
  std::vector<std::string> tmpfs;    // PATH[:SIZE]

  void Declare(CLI::App& command);
  absl::StatusOr<msb::v1::SandboxSpec> ToSpec() const;

 private:
  absl::Status AddMounts(msb::v1::SandboxSpec& spec) const;
};

// "NAME=VALUE" words into `map`. A bare NAME takes its value from this process's environment, or is
// empty.
enum class BareName { kFromEnvironment, kIsEmpty };
absl::Status ParseAssignments(const std::vector<std::string>& words, BareName bare,
                              google::protobuf::Map<std::string, std::string>& map);

}  // namespace msb

#endif  // MSB_SDKS_MSBCTL_SANDBOX_OPTIONS_H_
