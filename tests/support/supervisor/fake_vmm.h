// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The control socket of a VMM without a machine.

#ifndef MSB_TESTS_SUPPORT_SUPERVISOR_FAKE_VMM_H_
#define MSB_TESTS_SUPPORT_SUPERVISOR_FAKE_VMM_H_

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "msb/vmm/v1/control.pb.h"

namespace msb {

class FakeVmm {
 public:
  explicit FakeVmm(const std::string& control_socket);
  ~FakeVmm();

  // Tells all who watch, and those who watch later.
  void Emit(msb::vmm::v1::VmEvent::Kind kind);
  // What no VMM of ours would say, to all who are connected now.
  void SendRaw(const std::string& bytes);
  void WaitForWatcher();
  // Who connects from now on is refused.
  void StopListening();

 private:
  struct Client {
    UniqueFd fd;
    uint64_t watch_id = 0;
    bool watching = false;
  };
  void Accept();
  void Serve(const std::shared_ptr<Client>& client);
  void Answer(Client& client, const msb::vmm::v1::ControlRequest& request);
  void SendEventLocked(Client& client, const msb::vmm::v1::VmEvent& event);

  const UniqueFd listener_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<msb::vmm::v1::VmEvent> events_;
  std::vector<std::shared_ptr<Client>> clients_;
  std::vector<std::thread> threads_;
  bool paused_ = false;
  std::thread acceptor_;
};

}  // namespace msb

#endif  // MSB_TESTS_SUPPORT_SUPERVISOR_FAKE_VMM_H_
