// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/virtio/fs/fs_device.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/syscall.h"
#include "base/wait_for.h"
#include "vmm/devices/virtio/kick.h"

namespace msb {
namespace {

using fs_handover::Answer;
using fs_handover::AnswerKind;

virtio::FsConfig MakeConfig(const std::string& tag) {
  virtio::FsConfig config = {};
  std::memcpy(config.tag, tag.data(), std::min(tag.size(), sizeof(config.tag)));
  config.num_request_queues = 1;
  return config;
}

absl::Status GuestError(absl::string_view what) {
  return MakeError(Reason::kGuestViolation, absl::StrCat("fs: ", what));
}

absl::Status ServerError(absl::string_view what) {
  return MakeError(Reason::kHostError, absl::StrCat("file server: ", what));
}

}  // namespace

absl::StatusOr<std::unique_ptr<FsDevice>> FsDevice::Create(EventLoop& loop, UniqueFd server,
                                                           Options options) {
  if (options.tag.empty() || options.tag.size() > virtio::kFsTagBytes) {
    return MakeError(Reason::kVmSpecInvalid,
                     absl::StrCat("a tag has 1..", virtio::kFsTagBytes, " bytes"));
  }
  MSB_ASSIGN_OR_RETURN(InFlightTable table, InFlightTable::Create());
  std::unique_ptr<FsDevice> device(
      new FsDevice(loop, std::move(server), std::move(table), std::move(options)));
  MSB_RETURN_IF_ERROR(loop.Watch(device->server_.get(), EPOLLIN,
                                 [raw = device.get()](uint32_t) { raw->OnServerWord(); }));
  return device;
}

FsDevice::FsDevice(EventLoop& loop, UniqueFd server, InFlightTable table, Options options)
    : loop_(loop),
      options_(std::move(options)),
      config_(MakeConfig(options_.tag)),
      server_(std::move(server)),
      table_(std::move(table)),
      next_turn_(loop, [this] { GoOnRefusing(); }) {}

FsDevice::~FsDevice() {
  StopRefusing();
  if (!server_is_gone()) loop_.Unwatch(server_.get());
}

absl::Span<const uint8_t> FsDevice::config() const {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(&config_), sizeof(config_));
}

absl::Status FsDevice::Activate(uint64_t, absl::Span<Virtqueue* const> queues) {
  std::copy(queues.begin(), queues.end(), queues_.begin());
  for (uint16_t index = 0; index < queues_.size(); ++index) {
    if (queues_[index] == nullptr || queues_[index]->suspended()) continue;
    MSB_RETURN_IF_ERROR(OnNotify(index));
  }
  return absl::OkStatus();
}

absl::Status FsDevice::OnNotify(uint16_t index) {
  if (queues_[index] == nullptr || held_[index]) return absl::OkStatus();
  // A queue that starts later than another: both are handed over anew, in one order.
  if (!ComeToRest()) return absl::OkStatus();  // the guest has broken it, and has to reset it
  if (!server_is_gone()) HandOver();
  return server_is_gone() ? StartRefusing() : absl::OkStatus();
}

void FsDevice::HandOver() {
  const bool has_running = absl::c_any_of(
      queues_, [](const Virtqueue* queue) { return queue != nullptr && !queue->suspended(); });
  if (!has_running) return;
  table_.Clear();
  const absl::Status sent = fs_handover::SendServe(server_.get(), queues_, table_.file());
  if (!sent.ok()) return OnServerEnd(sent);
  for (size_t i = 0; i < queues_.size(); ++i) {
    held_[i] = queues_[i] != nullptr && !queues_[i]->suspended();
  }
}

// When it returns, the server touches memory no more: it has said so, or it is gone.
absl::StatusOr<FsDevice::TakenBack> FsDevice::TakeBack(TakenBack known) {
  MSB_RETURN_IF_ERROR(fs_handover::SendStop(server_.get()));
  const absl::Time deadline = absl::Now() + options_.patience;
  while (true) {
    const absl::Status waited = WaitFor(server_.get(), POLLIN, deadline);
    if (absl::IsDeadlineExceeded(waited)) {
      return ServerError(
          absl::StrCat("no end of its requests in ", absl::FormatDuration(options_.patience)));
    }
    MSB_RETURN_IF_ERROR(waited);
    MSB_ASSIGN_OR_RETURN(const std::optional<Answer> answer, ReceiveAnswer());
    if (!answer.has_value()) continue;
    if (answer->kind == AnswerKind::kStopped) {
      MSB_RETURN_IF_ERROR(TakePositions(*answer, known));
      return known;
    }
    if (answer->kind != AnswerKind::kBroken) return ServerError("it answered what is no answer");
    known = TakenBack::kBroken;  // said before it heard that it is to stop
  }
}

absl::Status FsDevice::TakePositions(const Answer& answer, TakenBack how) {
  for (size_t i = 0; i < queues_.size(); ++i) {
    if (!held_[i]) continue;
    const Answer::Position& position = answer.positions[i];
    if (how == TakenBack::kAtRest && position.next_available != position.next_used) {
      return ServerError("it gave back a queue with requests under way");
    }
    queues_[i]->SetPosition(position.next_available, position.next_used);
  }
  held_ = {};
  return absl::OkStatus();
}

// nullopt when there is none yet.
absl::StatusOr<std::optional<Answer>> FsDevice::ReceiveAnswer() {
  Answer answer;
  const ssize_t got = ::recv(server_.get(), &answer, sizeof(answer), MSG_DONTWAIT);
  if (got == sizeof(answer)) return answer;
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
  // An answer is sent in one piece, and so it arrives.
  return ServerError(got == 0 ? "it has hung up" : "it sent a part of an answer");
}

void FsDevice::OnServerWord() {
  const absl::StatusOr<std::optional<Answer>> answer = ReceiveAnswer();
  if (!answer.ok()) return OnServerEnd(answer.status());
  if (!answer->has_value()) return;
  if ((*answer)->kind != AnswerKind::kBroken || !handed_over()) {
    return OnServerEnd(ServerError("it said what it was not asked"));
  }
  const auto back = TakeBack(TakenBack::kBroken);
  if (!back.ok()) return OnServerEnd(back.status());
  Report(GuestError("request that is none"));
}

void FsDevice::DropServer(const absl::Status& why) {
  MSB_LOG(kError) << "mounts of tag " << EscapeForLog(options_.tag)
                  << " are gone: " << why.message();
  loop_.Unwatch(server_.get());
  // One that lives all the same learns of it by this.
  ::shutdown(server_.get(), SHUT_RDWR);
  server_.Reset();
}

void FsDevice::OnServerEnd(const absl::Status& why) {
  DropServer(why);
  absl::Status status;
  for (uint16_t index = 0; index < queues_.size(); ++index) {
    if (!std::exchange(held_[index], false)) continue;
    status.Update(Recover(index));
  }
  if (status.ok()) status.Update(StartRefusing());
  Report(status);
}

absl::Status FsDevice::Recover(uint16_t index) {
  Virtqueue& queue = *queues_[index];
  const uint16_t used = queue.PublishedUsed();
  MSB_ASSIGN_OR_RETURN(std::vector<DescriptorChain> chains,
                       queue.Recover(used, table_.Unanswered(index, queue.layout().size, used)));
  for (DescriptorChain& chain : chains) {
    MSB_RETURN_IF_ERROR(RefuseOne(index, std::move(chain)));
  }
  return queue.Flush();
}

absl::Status FsDevice::StartRefusing() {
  StopRefusing();
  const absl::Status started = RefuseAll();
  if (!started.ok()) StopRefusing();  // the kicks are not ours for longer than that
  return started;
}

absl::Status FsDevice::RefuseAll() {
  for (uint16_t index = 0; index < queues_.size(); ++index) {
    if (queues_[index] == nullptr || queues_[index]->suspended()) continue;
    const int kick = queues_[index]->events().kick;
    if (kick >= 0) {
      MSB_RETURN_IF_ERROR(loop_.Watch(kick, EPOLLIN, [this, index](uint32_t) { OnKick(index); }));
      kicks_[index] = kick;
    }
    MSB_RETURN_IF_ERROR(RefuseAvailable(index));
  }
  return absl::OkStatus();
}

void FsDevice::StopRefusing() {
  for (int& kick : kicks_) {
    if (kick >= 0) loop_.Unwatch(std::exchange(kick, -1));
  }
  next_turn_.Cancel();
  stalled_ = {};
}

void FsDevice::OnKick(uint16_t index) {
  if (!TakeKick(kicks_[index])) return loop_.Unwatch(std::exchange(kicks_[index], -1));
  Report(RefuseAvailable(index));
}

absl::Status FsDevice::RefuseAvailable(uint16_t index) {
  Virtqueue& queue = *queues_[index];
  stalled_[index] = false;
  for (int refused = 0; refused < kMaxRefusalsPerTurn; ++refused) {
    MSB_ASSIGN_OR_RETURN(const bool has_next, queue.HasNext());
    if (!has_next) return queue.Flush();
    MSB_ASSIGN_OR_RETURN(DescriptorChain chain, queue.Pop());
    MSB_RETURN_IF_ERROR(RefuseOne(index, std::move(chain)));
  }
  stalled_[index] = true;
  next_turn_.Ask();
  return queue.Flush();
}

// What the guest's kernel knows as a file system whose server is gone.
absl::Status FsDevice::RefuseOne(uint16_t index, DescriptorChain chain) {
  virtio::FuseRequestHeader header;
  const absl::Span<uint8_t> bytes(reinterpret_cast<uint8_t*>(&header), sizeof(header));
  if (chain.CopyOut(0, bytes) != bytes.size()) return GuestError("request without a header");
  if (chain.writable().empty()) return queues_[index]->Complete(std::move(chain), 0);
  const virtio::FuseReplyHeader reply{
      .length = sizeof(reply), .error = -ENOTCONN, .unique = header.unique};
  if (chain.writable_bytes() < sizeof(reply)) return GuestError("no room for a reply's header");
  chain.CopyIn(0, absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(&reply), sizeof(reply)));
  return queues_[index]->Complete(std::move(chain), sizeof(reply));
}

void FsDevice::GoOnRefusing() {
  absl::Status status;
  for (uint16_t index = 0; index < queues_.size(); ++index) {
    if (stalled_[index] && status.ok()) status.Update(RefuseAvailable(index));
  }
  Report(status);
}

void FsDevice::Report(const absl::Status& status) {
  if (status.ok()) return;
  StopRefusing();
  if (notifier() != nullptr) notifier()->OnGuestViolation(status);
}

void FsDevice::Reset() {
  if (handed_over()) {
    const auto back = TakeBack(TakenBack::kAtRest);
    if (!back.ok()) DropServer(back.status());
  }
  StopRefusing();
  held_ = {};
  queues_ = {};
}

void FsDevice::Quiesce() {
  if (ComeToRest()) StopRefusing();
}

// False when the guest turns out to have broken the rules, which is reported.
bool FsDevice::ComeToRest() {
  if (!handed_over()) return true;
  const absl::StatusOr<TakenBack> back = TakeBack(TakenBack::kAtRest);
  if (!back.ok()) {
    OnServerEnd(back.status());
    return true;
  }
  if (*back == TakenBack::kAtRest) return true;
  Report(GuestError("request that is none"));
  return false;
}

msb::vmm::v1::DeviceState FsDevice::Save() const {
  msb::vmm::v1::DeviceState state;
  state.mutable_fs()->set_tag(options_.tag);
  return state;
}

absl::Status FsDevice::Restore(const msb::vmm::v1::DeviceState& state) {
  if (!state.has_fs()) return MakeError(Reason::kStateInvalid, "fs: state of another device");
  if (state.fs().tag() != options_.tag) {
    return MakeError(Reason::kStateInvalid, "fs: the tag is not the one that was saved");
  }
  return absl::OkStatus();
}

}  // namespace msb
