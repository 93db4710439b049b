// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// msbctl logs, stats, events, doctor, info.

#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "sdks/msbctl/command_line.h"

namespace msb {
namespace {

std::string StateName(msb::v1::SandboxState state) {
  return state == msb::v1::SANDBOX_STATE_UNSPECIFIED ? "removed" : WordOf(state);
}

std::string Clock(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%H:%M:%E3S",
                          absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos()),
                          absl::LocalTimeZone());
}

absl::StatusOr<int> Logs(Session& session, const msb::v1::LogsRequest& request) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  const auto context = client->NewContext();
  const auto reader = client->sandboxes().Logs(context.get(), request);
  msb::v1::LogsChunk chunk;
  while (reader->Read(&chunk)) {
    std::fwrite(chunk.data().data(), 1, chunk.data().size(), stdout);
    std::fflush(stdout);
  }
  MSB_RETURN_IF_ERROR(Client::Outcome(reader->Finish(), *context));
  return kExitOk;
}

// CPU use needs two readings: the first line of a stream has none.
std::string StatsLine(const msb::v1::Metrics& now, const msb::v1::Metrics* before) {
  std::string cpu = "-";
  if (before != nullptr) {
    const double wall = static_cast<double>(now.at().seconds() - before->at().seconds()) * 1e9 +
                        (now.at().nanos() - before->at().nanos());
    const double used = static_cast<double>(now.cpu_usage_ns() - before->cpu_usage_ns());
    cpu = absl::StrFormat("%.1f %%", wall > 0 ? 100 * used / wall : 0.0);
  }
  return absl::StrFormat(
      "%-9s %-24s %-24s %-20s %5d %5d", cpu,
      absl::StrCat(Bytes(now.memory_usage_bytes()), " / ", Bytes(now.memory_limit_bytes())),
      absl::StrCat(Bytes(now.guest_memory_available_bytes()), " / ",
                   Bytes(now.guest_memory_total_bytes())),
      absl::StrCat(Bytes(now.disk_free_bytes()), " / ", Bytes(now.disk_total_bytes())),
      now.processes(), now.running_execs());
}

absl::StatusOr<int> Stats(Session& session, const std::string& sandbox, const std::string& every) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  msb::v1::GetMetricsRequest request;
  request.set_sandbox(sandbox);
  if (!every.empty()) {
    MSB_ASSIGN_OR_RETURN(*request.mutable_interval(), ParseDuration(every));
  }
  const auto context = client->NewContext();
  const auto reader = client->sandboxes().GetMetrics(context.get(), request);
  msb::v1::Metrics metrics;
  msb::v1::Metrics before;
  bool first = true;
  while (reader->Read(&metrics)) {
    if (session.format() == Format::kJson) {
      std::fputs(ToJsonLine(metrics).c_str(), stdout);
    } else {
      if (first) {
        std::printf("%-9s %-24s %-24s %-20s %5s %5s\n", "CPU", "HOST MEMORY / LIMIT",
                    "GUEST FREE / TOTAL", "DISK FREE / SIZE", "PROCS", "EXECS");
      }
      std::printf("%s\n", StatsLine(metrics, first ? nullptr : &before).c_str());
    }
    std::fflush(stdout);
    before = metrics;
    first = false;
  }
  MSB_RETURN_IF_ERROR(Client::Outcome(reader->Finish(), *context));
  return kExitOk;
}

std::string EventText(const msb::v1::Event& event) {
  if (event.has_state_change()) {
    const auto& change = event.state_change();
    std::string text = absl::StrCat(StateName(change.from()), " -> ", StateName(change.to()));
    if (change.reason() != msb::v1::REASON_UNSPECIFIED) {
      absl::StrAppend(&text, " [", WordOf(change.reason()), "]");
    }
    if (!change.detail().empty()) absl::StrAppend(&text, ": ", Printable(change.detail()));
    return text;
  }
  if (event.has_exec()) {
    const auto& exec = event.exec();
    const std::string command = CommandLine(exec.argv());
    if (exec.kind() == msb::v1::ExecEvent::KIND_STARTED) {
      return absl::StrCat("exec ", exec.exec_id(), " started: ", command);
    }
    return absl::StrCat("exec ", exec.exec_id(), " exited ", exec.exit_code(), " after ",
                        ForPeople(exec.duration()), ": ", command);
  }
  if (event.has_image()) {
    const auto& image = event.image();
    return absl::StrCat("image ", Printable(image.name()), " ", WordOf(image.kind()), " ",
                        image.digest());
  }
  if (event.has_companion()) {
    const auto& companion = event.companion();
    std::string text = absl::StrCat(
        companion.name(),
        companion.state() == msb::v1::COMPANION_STATE_RUNNING ? " runs again" : " has ended");
    if (companion.reason() != msb::v1::REASON_UNSPECIFIED) {
      absl::StrAppend(&text, " [", msb::v1::Reason_Name(companion.reason()).substr(7), "]");
    }
    if (!companion.detail().empty()) absl::StrAppend(&text, ": ", Printable(companion.detail()));
    return text;
  }
  return "older events are no longer kept";
}

absl::StatusOr<int> Events(Session& session, const std::string& sandbox) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  msb::v1::WatchEventsRequest request;
  request.set_sandbox(sandbox);
  const auto context = client->NewContext();
  const auto reader = client->system().WatchEvents(context.get(), request);
  msb::v1::Event event;
  while (reader->Read(&event)) {
    if (session.format() == Format::kJson) {
      std::fputs(ToJsonLine(event).c_str(), stdout);
    } else {
      const std::string line = absl::StrFormat("%s  %-24s %s", Clock(event.at()),
                                               event.sandbox_name(), EventText(event));
      std::printf("%s\n", Cut(line, TerminalColumns(STDOUT_FILENO)).c_str());
    }
    std::fflush(stdout);
  }
  MSB_RETURN_IF_ERROR(Client::Outcome(reader->Finish(), *context));
  return kExitOk;
}

const char* Mark(msb::v1::Check::Result result) {
  const bool colour = TakesColour(STDOUT_FILENO);
  switch (result) {
    case msb::v1::Check::RESULT_OK:
      return colour ? "\x1b[32mok\x1b[0m     " : "ok     ";
    case msb::v1::Check::RESULT_WARNING:
      return colour ? "\x1b[33mwarning\x1b[0m" : "warning";
    default:
      return colour ? "\x1b[31mfailed\x1b[0m " : "failed ";
  }
}

absl::StatusOr<int> Doctor(Session& session) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  const auto context = client->NewContext();
  const auto reader = client->system().Diagnose(context.get(), msb::v1::DiagnoseRequest());
  msb::v1::Check check;
  int exit_code = kExitOk;
  while (reader->Read(&check)) {
    if (check.result() == msb::v1::Check::RESULT_FAILED) exit_code = kExitFailure;
    if (session.format() == Format::kJson) {
      std::fputs(ToJsonLine(check).c_str(), stdout);
      continue;
    }
    std::printf("%s  %-12s %s\n", Mark(check.result()), check.name().c_str(),
                Printable(check.finding()).c_str());
    if (!check.remedy().empty()) {
      std::printf("%23s%s\n", "-> ", Printable(check.remedy()).c_str());
    }
    std::fflush(stdout);
  }
  MSB_RETURN_IF_ERROR(Client::Outcome(reader->Finish(), *context));
  return exit_code;
}

absl::StatusOr<int> Info(Session& session) {
  MSB_ASSIGN_OR_RETURN(Client * client, session.client());
  MSB_ASSIGN_OR_RETURN(const msb::v1::Info info,
                       client->Call(client->system(), &msb::v1::SystemService::Stub::GetInfo,
                                    msb::v1::GetInfoRequest()));
  std::fputs(ToJson(info).c_str(), stdout);
  return kExitOk;
}

}  // namespace

void AddObserveCommands(CLI::App& app, Session& session) {
  auto* logs = app.add_subcommand("logs", "the console of a sandbox's guest");
  logs->group(kObserveGroup);
  logs->footer("Examples:\n  msbctl logs box\n  msbctl logs -f --tail 4096 box");
  auto request = std::make_shared<msb::v1::LogsRequest>();
  auto name = std::make_shared<std::string>();
  auto follow = std::make_shared<bool>(false);
  auto tail = std::make_shared<uint64_t>(0);
  logs->add_option("sandbox", *name, "name or id")->required();
  logs->add_flag("-f,--follow", *follow, "and what comes");
  logs->add_option("--tail", *tail, "only so much of the end of what is kept")->type_name("BYTES");
  logs->callback([&session, request, name, follow, tail] {
    request->set_sandbox(*name);
    request->set_follow(*follow);
    request->set_tail_bytes(*tail);
    session.End(Logs(session, *request));
  });

  auto* stats = app.add_subcommand("stats", "what a sandbox consumes");
  stats->group(kObserveGroup);
  stats->footer("Examples:\n  msbctl stats box\n  msbctl --format json stats --every 1 box");
  auto sandbox = std::make_shared<std::string>();
  auto every = std::make_shared<std::string>();
  stats->add_option("sandbox", *sandbox, "name or id")->required();
  stats->add_option("--every", *every, "again at this interval: 1, 500ms")->type_name("TIME");
  stats->callback([&session, sandbox, every] { session.End(Stats(session, *sandbox, *every)); });

  auto* events = app.add_subcommand("events", "what happens, as it happens");
  events->group(kObserveGroup);
  events->footer("Examples:\n  msbctl events\n  msbctl --format json events box | jq -r .kind");
  auto of = std::make_shared<std::string>();
  events->add_option("sandbox", *of, "only of this one");
  events->callback([&session, of] { session.End(Events(session, *of)); });

  auto* doctor = app.add_subcommand("doctor", "check the host, the daemon and its engines");
  doctor->group(kHostGroup);
  doctor->callback([&session] { session.End(Doctor(session)); });
  auto* info = app.add_subcommand("info", "the daemon, as JSON");
  info->group(kHostGroup);
  info->callback([&session] { session.End(Info(session)); });
}

}  // namespace msb
