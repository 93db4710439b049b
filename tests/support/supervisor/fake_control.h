// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// The control socket of an msb-net (ControlRequest, ControlResponse) or an msb-secrets
// (SecretsRequest, SecretsResponse): says "ok" to each request, one after the other.

#ifndef MSB_TESTS_SUPPORT_SUPERVISOR_FAKE_CONTROL_H_
#define MSB_TESTS_SUPPORT_SUPERVISOR_FAKE_CONTROL_H_

#include <poll.h>
#include <sys/socket.h>

#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "absl/time/time.h"
#include "base/frames.h"
#include "base/unix_socket.h"

namespace msb {

template <typename Request, typename Response>
class FakeControl {
 public:
  // Called on a thread of the fake's before it answers.
  using OnRequest = std::function<void(const Request&)>;

  FakeControl(const std::string& path, OnRequest on_request)
      : listener_(*ListenUnix(path)),
        on_request_(std::move(on_request)),
        thread_([this] { Serve(); }) {}
  ~FakeControl() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }

  // Whether somebody asks within that time, while a request is being served.
  bool AnotherAsks(absl::Duration within) const {
    pollfd ready{.fd = listener_.get(), .events = POLLIN, .revents = 0};
    return ::poll(&ready, 1, static_cast<int>(absl::ToInt64Milliseconds(within))) > 0;
  }

 private:
  void Serve() {
    while (true) {
      pollfd ready{.fd = listener_.get(), .events = POLLIN, .revents = 0};
      ::poll(&ready, 1, -1);
      if ((ready.revents & POLLHUP) != 0) return;
      const absl::StatusOr<UniqueFd> client = AcceptUnix(listener_.get(), Blocking::kYes);
      if (client.ok()) Answer(client->get());
    }
  }
  void Answer(int client) {
    const auto frame = ReadFrame(client, absl::InfiniteFuture());
    Request request;
    if (!frame.ok() || !frame->has_value() || !request.ParseFromString(**frame)) return;
    on_request_(request);
    Response response;
    response.mutable_ok();
    WriteFrame(client, response.SerializeAsString(), absl::InfiniteFuture()).IgnoreError();
  }

  const UniqueFd listener_;
  const OnRequest on_request_;
  std::thread thread_;
};

}  // namespace msb

#endif  // MSB_TESTS_SUPPORT_SUPERVISOR_FAKE_CONTROL_H_
