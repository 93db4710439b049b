// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/qemu/qmp_client.h"

#include <rapidjson/document.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/descriptors.h"
#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/syscall.h"

namespace msb {
namespace {

absl::Status NotQmp(absl::string_view detail) {
  return MakeError(Reason::kQemuError, absl::StrCat("QMP: ", detail));
}

// The member `name` of `object`, or null where `object` is none or has none.
const rapidjson::Value* Member(const rapidjson::Value* object, const char* name) {
  if (object == nullptr || !object->IsObject()) return nullptr;
  const auto member = object->FindMember(name);
  return member == object->MemberEnd() ? nullptr : &member->value;
}

absl::string_view Text(const rapidjson::Value* value) {
  if (value == nullptr || !value->IsString()) return "";
  return absl::string_view(value->GetString(), value->GetStringLength());
}

void TellEvent(const rapidjson::Value& message, QmpObserver& observer) {
  const absl::string_view event = Text(Member(&message, "event"));
  const rapidjson::Value* data = Member(&message, "data");
  if (event == "SHUTDOWN") {
    observer.OnQmpShutdown(Text(Member(data, "reason")));
  } else if (event == "BALLOON_CHANGE") {
    const rapidjson::Value* actual = Member(data, "actual");
    if (actual != nullptr && actual->IsUint64()) observer.OnQmpBalloonChange(actual->GetUint64());
  }
}

// How a transfer of state has ended, if that is what an event says.
std::optional<absl::Status> TransferEnd(const rapidjson::Value& message) {
  if (Text(Member(&message, "event")) != "MIGRATION") return std::nullopt;
  const absl::string_view status = Text(Member(Member(&message, "data"), "status"));
  if (status == "completed") return absl::OkStatus();
  if (status == "failed") return NotQmp("the transfer of the machine's state failed");
  return std::nullopt;
}

// x-ignore-shared: memory that others have mapped stays where it is. events: MIGRATION says how it
// goes on.
constexpr char kTransferCapabilities[] =
    R"({"capabilities":[{"capability":"x-ignore-shared","state":true},)"
    R"({"capability":"events","state":true}]})";

}  // namespace

absl::StatusOr<std::unique_ptr<QmpClient>> QmpClient::Create(EventLoop& loop, UniqueFd socket,
                                                             QmpObserver& observer) {
  std::unique_ptr<QmpClient> client(new QmpClient(loop, std::move(socket), observer));
  MSB_RETURN_IF_ERROR(loop.Watch(client->socket_.get(), EPOLLIN,
                                 [raw = client.get()](uint32_t) { raw->OnReadable(); }));
  return client;
}

QmpClient::~QmpClient() {
  if (socket_.valid()) loop_.Unwatch(socket_.get());
}

void QmpClient::Balloon(uint64_t bytes, Done done) {
  Execute("balloon", absl::StrCat("{\"value\":", bytes, "}"), std::move(done));
}

void QmpClient::SetLink(absl::string_view name, Link link, Done done) {
  Execute(
      "set_link",
      absl::StrCat("{\"name\":\"", name, "\",\"up\":", link == Link::kUp ? "true" : "false", "}"),
      std::move(done));
}

void QmpClient::SaveState(UniqueFd file, Done done) {
  BeginTransfer(std::move(done));
  Execute("migrate-set-capabilities", kTransferCapabilities, TransferStep());
  Execute("getfd", R"({"fdname":"state"})", TransferStep(), std::move(file));
  Execute("migrate", R"({"uri":"fd:state"})", TransferStep());
}

void QmpClient::RestoreState(int fd, Done done) {
  BeginTransfer(std::move(done));
  Execute("migrate-set-capabilities", kTransferCapabilities, TransferStep());
  Execute("migrate-incoming", absl::StrCat(R"({"uri":"fd:)", fd, R"("})"), TransferStep());
}

void QmpClient::BeginTransfer(Done done) {
  if (transfer_ != nullptr) return done(NotQmp("a transfer of state is under way"));
  transfer_ = std::move(done);
}

// `done` may begin another.
void QmpClient::EndTransfer(const absl::Status& status) {
  if (const Done done = std::exchange(transfer_, nullptr); done != nullptr) done(status);
}

QmpClient::Done QmpClient::TransferStep() {
  return [this](const absl::Status& status) {
    if (!status.ok()) EndTransfer(status);
  };
}

void QmpClient::Execute(absl::string_view command, absl::string_view arguments, Done done,
                        UniqueFd attached) {
  if (!socket_.valid()) return done(absl::UnavailableError("QMP: QEMU is gone"));
  const uint64_t id = next_id_++;
  std::string line = absl::StrCat("{\"execute\":\"", command, "\",\"id\":", id);
  if (!arguments.empty()) absl::StrAppend(&line, ",\"arguments\":", arguments);
  absl::StrAppend(&line, "}\n");
  pending_[id] = std::move(done);
  Command whole{.line = std::move(line), .attached = std::move(attached)};
  if (!greeted_) {
    waiting_.push_back(std::move(whole));
    return;
  }
  Send(whole);
}

void QmpClient::Send(const Command& command) {
  if (!socket_.valid()) return;
  const int attached = command.attached.get();
  const auto descriptors =
      command.attached.valid() ? absl::MakeConstSpan(&attached, 1) : absl::Span<const int>();
  // Without waiting: a few short commands fill no socket whose reader lives.
  const absl::Status sent =
      WriteWithDescriptors(socket_.get(), command.line, descriptors, absl::InfinitePast());
  if (sent.ok()) return;
  // The end is told by the event loop: a caller of ours does not expect it inside its call.
  ::shutdown(socket_.get(), SHUT_RDWR);
}

// One read a turn of the loop: a QEMU that talks without end keeps nobody waiting.
bool QmpClient::OnReadable() {
  if (!socket_.valid()) return false;
  const absl::StatusOr<bool> read = ReadOnce();
  if (!read.ok()) End(read.status());
  return read.ok() && *read;
}

void QmpClient::Drain() {
  while (OnReadable()) {
  }
}

// False when there is nothing more for now.
absl::StatusOr<bool> QmpClient::ReadOnce() {
  char bytes[4096];
  const absl::StatusOr<ssize_t> got = Syscall(
      "recv QMP", [&] { return ::recv(socket_.get(), bytes, sizeof(bytes), MSG_DONTWAIT); });
  if (absl::IsUnavailable(got.status())) return false;
  if (!got.ok()) return WithReason(Reason::kQemuError, "QMP", got.status());
  if (*got == 0) return absl::UnavailableError("QMP: QEMU hung up");
  received_.append(bytes, static_cast<size_t>(*got));
  size_t begin = 0;
  for (size_t end = 0; (end = received_.find('\n', begin)) != std::string::npos; begin = end + 1) {
    MSB_RETURN_IF_ERROR(HandleLine(absl::string_view(received_).substr(begin, end - begin)));
  }
  received_.erase(0, begin);
  if (received_.size() > kMaxLineBytes) return NotQmp("line of more than 64 KiB");
  return true;
}

absl::Status QmpClient::HandleLine(absl::string_view line) {
  rapidjson::Document message;
  // Iterative: nesting costs no stack.
  message.Parse<rapidjson::kParseIterativeFlag>(line.data(), line.size());
  if (message.HasParseError() || !message.IsObject()) return NotQmp("line that is no JSON object");
  if (message.HasMember("QMP")) {
    if (std::exchange(greeted_, true)) return NotQmp("second greeting");
    Send({.line = "{\"execute\":\"qmp_capabilities\"}\n"});
    for (const Command& waiting : std::exchange(waiting_, {})) Send(waiting);
    observer_.OnQmpReady();
    return absl::OkStatus();
  }
  if (message.HasMember("event")) {
    TellEvent(message, observer_);
    if (const auto end = TransferEnd(message)) EndTransfer(*end);
    return absl::OkStatus();
  }
  const rapidjson::Value* id = Member(&message, "id");
  const rapidjson::Value* error = Member(&message, "error");
  if (id == nullptr || !id->IsUint64()) {
    return error == nullptr ? absl::OkStatus() : NotQmp("capabilities were refused");
  }
  const auto command = pending_.extract(id->GetUint64());
  if (command.empty()) return NotQmp("answer to no command");
  command.mapped()(error == nullptr ? absl::OkStatus()
                                    : NotQmp(EscapeForLog(Text(Member(error, "desc")))));
  return absl::OkStatus();
}

void QmpClient::End(absl::Status why) {
  loop_.Unwatch(socket_.get());
  socket_.Reset();
  for (auto& [id, done] : std::exchange(pending_, {})) done(why);
  EndTransfer(why);
  observer_.OnQmpEnd(std::move(why));
}

}  // namespace msb
