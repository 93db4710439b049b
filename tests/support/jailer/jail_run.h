// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Runs msb-jailer as the daemon would, with jail_probe in the place of the VMM, for tests.

#ifndef MSB_TESTS_SUPPORT_JAILER_JAIL_RUN_H_
#define MSB_TESTS_SUPPORT_JAILER_JAIL_RUN_H_

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "tests/support/temp_dir.h"

namespace msb {

// Why jails cannot be built here; nullopt when they can.
std::optional<std::string> NoJailHere();

struct JailResult {
  int exit_code = -1;                       // of the jailer
  std::string status;                       // what it wrote to its status descriptor
  std::string error;                        // and to stderr
  std::optional<int> probe;                 // wait status of the jailed process
  std::string output;                       // of the probe
  std::map<std::string, std::string> said;  // `output`, taken apart
};

// One jailer and what it left, removed with this object.
class JailRun {
 public:
  JailRun();
  ~JailRun();
  JailRun(const JailRun&) = delete;
  JailRun& operator=(const JailRun&) = delete;

  // The flags of an ordinary jail, without cgroup.
  std::vector<std::string> flags;
  std::vector<std::string> argv{"probe", "report"};
  // What runs in the jail; the probe unless told otherwise.
  std::string executable;
  // Capabilities that the jailer itself shall lack, and the user that it shall run as.
  std::vector<int> without_capabilities;
  uid_t jailer_uid = 0;
  // Beside these the jailer gets a few descriptors that nobody told it to keep.
  std::vector<int> kept_fds;

  void Remove(const std::string& flag_prefix);
  void Replace(const std::string& flag_prefix, const std::string& flag);
  // Adds the flags of all hierarchies of this host, v1 and v2, and a cgroup name of this run's own.
  void UseCgroup();
  // The folders of that cgroup, by controller; the v2 hierarchy is "unified".
  std::map<std::string, std::string> CgroupFolders() const;

  // Starts the jailer, reads its report to the end and waits for it.
  JailResult Start();
  // Closes the probe's stdin and waits for its end.
  void Finish(JailResult& result);
  // Start and Finish.
  JailResult Run();

  const std::string& folder() const { return folder_.path(); }
  static constexpr int kUid = 1'880'100'000;

 private:
  pid_t Spawn(const UniqueFd& input, const UniqueFd& output, const UniqueFd& error,
              const UniqueFd& status);

  TempDir folder_;
  UniqueFd probe_input_;
  UniqueFd probe_output_;
  std::string cgroup_;
};

}  // namespace msb

#endif  // MSB_TESTS_SUPPORT_JAILER_JAIL_RUN_H_
