// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/qemu/qmp_client.h"

#include <rapidjson/document.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <utility>

#include "absl/strings/str_cat.h"
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

void QmpClient::Execute(absl::string_view command, absl::string_view arguments, Done done) {
  if (!socket_.valid()) return done(absl::UnavailableError("QMP: QEMU is gone"));
  const uint64_t id = next_id_++;
  std::string line = absl::StrCat("{\"execute\":\"", command, "\",\"id\":", id);
  if (!arguments.empty()) absl::StrAppend(&line, ",\"arguments\":", arguments);
  absl::StrAppend(&line, "}\n");
  pending_[id] = std::move(done);
  if (!greeted_) {
    waiting_.push_back(std::move(line));
    return;
  }
  Send(line);
}

void QmpClient::Send(const std::string& line) {
  if (!socket_.valid()) return;
  const absl::StatusOr<ssize_t> sent = Syscall("send QMP command", [&] {
    return ::send(socket_.get(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  });
  // A few short commands fill no socket whose reader lives.
  if (sent.ok() && static_cast<size_t>(*sent) == line.size()) return;
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
    Send("{\"execute\":\"qmp_capabilities\"}\n");
    for (const std::string& waiting : std::exchange(waiting_, {})) Send(waiting);
    observer_.OnQmpReady();
    return absl::OkStatus();
  }
  if (message.HasMember("event")) {
    TellEvent(message, observer_);
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
  observer_.OnQmpEnd(std::move(why));
}

}  // namespace msb
