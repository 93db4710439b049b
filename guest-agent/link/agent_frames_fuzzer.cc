// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Feeds the bytes of a connection to everything that reads what a host sends: framing, messages,
// dispatch, the control connection, the plan of a command, the checks of paths. Commands and file
// operations themselves are not carried out: the fuzzer would do to its machine whatever it finds.
//
// The first byte of an input says in what pieces the rest arrives.

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "guest-agent/agent.h"
#include "guest-agent/exec/command.h"
#include "guest-agent/files/path.h"
#include "guest-agent/link/connection.h"
#include "guest-agent/link/control_operation.h"
#include "guest-agent/link/exec_operation.h"
#include "guest-agent/link/guest.h"
#include "guest-agent/link/wire.h"

namespace msb {

// Each is several turns of the loop.
constexpr size_t kMostPieces = 64;

namespace {

class QuietGuest final : public Guest {
 public:
  absl::Status SetClock(uint64_t) override { return absl::OkStatus(); }
  agent::v1::GuestStats Stats() override { return {}; }
  void BeginShutdown(const ShutdownRequest&) override {}
};

// Takes bulk in bites, and stops to send something back now and then, as a command would.
class EchoOperation final : public Operation {
 public:
  explicit EchoOperation(Connection& connection) : connection_(connection) {}

  absl::Status OnInput(FrameInput& input) override {
    while (connection_.open()) {
      if (!connection_.output().empty()) {
        connection_.PauseInput();
        return absl::OkStatus();
      }
      MSB_ASSIGN_OR_RETURN(const auto item, input.Peek());
      if (!item) return absl::OkStatus();
      MSB_CHECK(item->field == FrameInput::kMessage || !item->bytes.empty());
      size_t bite = item->bytes.size();
      if (item->field == FrameInput::kMessage) {
        agent::v1::HostFrame frame;
        if (!frame.ParseFromArray(item->bytes.data(), static_cast<int>(bite))) {
          return MakeError(Reason::kFrameMalformed, "fuzz");
        }
        CheckRelativePath(frame.tree_entry().path()).IgnoreError();
      } else {
        bite = std::min<size_t>(bite, 17);
      }
      agent::v1::AgentFrame echo;
      echo.set_data(std::string(item->bytes.substr(0, bite)));
      input.Consume(bite);
      connection_.output().Append(echo);
      connection_.Flush();
    }
    return absl::OkStatus();
  }
  void OnOutputRoom() override {
    if (connection_.output().empty()) connection_.ResumeInput();
  }

 private:
  Connection& connection_;
};

struct World {
  World() {
    BlockSignals();
    auto made = Agent::Create(guest, {});
    MSB_CHECK(made.ok());
    agent = *std::move(made);
  }

  absl::StatusOr<std::unique_ptr<Operation>> Open(Connection& connection,
                                                  const agent::v1::Open& open) {
    if (open.has_control()) {
      return std::unique_ptr<Operation>(
          std::make_unique<ControlOperation>(connection, agent->execs(), file_workers, guest));
    }
    if (open.has_attach()) {
      return ExecOperation::Attach(connection, agent->execs(), open.attach());
    }
    if (open.has_exec()) MSB_RETURN_IF_ERROR(PlanCommand(open.exec(), users, {}).status());
    MSB_RETURN_IF_ERROR(CheckPath(open.exec().cwd().empty() ? "/" : open.exec().cwd()));
    return std::unique_ptr<Operation>(std::make_unique<EchoOperation>(connection));
  }

  // Serves what is ready, and what becomes ready by it.
  void Turn() {
    for (int i = 0; i < 2; ++i) {
      agent->loop().Post([this] { agent->loop().Stop(); });
      MSB_CHECK(agent->loop().Run().ok());
    }
  }

  QuietGuest guest;
  UserDatabase users{"/nonexistent"};
  const WorkerPool file_workers{1};
  std::unique_ptr<Agent> agent;
};

void Drain(int socket) {
  char answers[4096];
  while (::recv(socket, answers, sizeof(answers), MSG_DONTWAIT) > 0) {
  }
}

}  // namespace
}  // namespace msb

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static msb::World& world = *new msb::World();
  if (size < 1) return 0;
  const size_t piece = std::max<size_t>(data[0] == 0 ? size : data[0], size / msb::kMostPieces);
  int sockets[2];
  MSB_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets) == 0);
  msb::UniqueFd host(sockets[0]);
  const msb::Connection::Opener opener = [](msb::Connection& connection,
                                            const msb::agent::v1::Open& open) {
    return world.Open(connection, open);
  };
  msb::Connection connection(world.agent->loop(), msb::UniqueFd(sockets[1]), opener, [] {});
  MSB_CHECK(connection.Start().ok());
  for (size_t at = 1; at < size; at += piece) {
    const size_t part = std::min(piece, size - at);
    if (::send(host.get(), data + at, part, MSG_NOSIGNAL) < 0) break;
    world.Turn();
    msb::Drain(host.get());
  }
  ::shutdown(host.get(), SHUT_WR);
  world.Turn();
  msb::Drain(host.get());
  host.Reset();
  world.Turn();
  return 0;
}
