// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/sandbox/metrics.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/time/clock.h"
#include "base/error.h"
#include "supervisor/sandbox/lifecycle.h"

namespace msb {
namespace {

using AgentResponse = absl::StatusOr<msb::agent::v1::ControlResponse>;
using VmmResponse = absl::StatusOr<msb::vmm::v1::ControlResponse>;

// Joins the answers of the three; gone once each of them has let go of it.
class Collection {
 public:
  explicit Collection(std::function<void(absl::StatusOr<msb::v1::Metrics>)> done)
      : done_(std::move(done)) {
    const int64_t now = absl::GetCurrentTimeNanos();
    metrics_.mutable_at()->set_seconds(now / 1'000'000'000);
    metrics_.mutable_at()->set_nanos(static_cast<int32_t>(now % 1'000'000'000));
  }
  Collection(const Collection&) = delete;
  Collection& operator=(const Collection&) = delete;

  void Expect(int sources) { missing_ = sources; }
  void Arrived() {
    if (--missing_ == 0) done_(std::move(metrics_));
  }
  msb::v1::Metrics& metrics() { return metrics_; }

 private:
  const std::function<void(absl::StatusOr<msb::v1::Metrics>)> done_;
  msb::v1::Metrics metrics_;
  int missing_ = 0;
};

void TakeUsage(const absl::StatusOr<Launcher::Usage>& usage, msb::v1::Metrics& metrics) {
  if (!usage.ok()) return;
  metrics.set_cpu_usage_ns(usage->cpu_ns);
  metrics.set_memory_usage_bytes(usage->memory_bytes);
  metrics.set_memory_limit_bytes(usage->memory_limit_bytes);
}

void TakeVmmStats(const VmmResponse& response, msb::v1::Metrics& metrics) {
  if (!response.ok()) return;
  uint64_t read = 0;
  uint64_t written = 0;
  for (const auto& disk : response->stats().disks()) {
    read += disk.read_bytes();
    written += disk.written_bytes();
  }
  metrics.set_disk_read_bytes(read);
  metrics.set_disk_written_bytes(written);
}

void TakeGuestStats(const AgentResponse& response, msb::v1::Metrics& metrics) {
  if (!response.ok()) return;
  const auto& stats = response->stats();
  metrics.set_guest_memory_total_bytes(stats.memory_total_bytes());
  metrics.set_guest_memory_available_bytes(stats.memory_available_bytes());
  metrics.set_disk_total_bytes(stats.disk_total_bytes());
  metrics.set_disk_free_bytes(stats.disk_free_bytes());
  metrics.set_processes(stats.processes());
}

}  // namespace

void CollectMetrics(const std::shared_ptr<Sandbox>& sandbox,
                    std::function<void(absl::StatusOr<msb::v1::Metrics>)> done) {
  const SandboxContext& context = sandbox->context();
  const std::shared_ptr<VmmControl> control = sandbox->control();
  if (!control) {
    return done(MakeError(Reason::kSandboxNotRunning,
                          absl::StrCat("the sandbox is ", StateName(sandbox->state()))));
  }
  const auto collection = std::make_shared<Collection>(std::move(done));
  const absl::StatusOr<Sandbox::Guest> guest = sandbox->UseGuest();
  collection->Expect(guest.ok() ? 4 : 2);
  context.workers.Run([&context, plan = sandbox->plan(), collection] {
    const absl::StatusOr<Launcher::Usage> usage = context.launcher.ReadUsage(plan);
    context.loop.Post([collection, usage] {
      TakeUsage(usage, collection->metrics());
      collection->Arrived();
    });
  });
  control->Stats([collection](const VmmResponse& response) {
    TakeVmmStats(response, collection->metrics());
    collection->Arrived();
  });
  if (!guest.ok()) return;
  msb::agent::v1::ControlRequest request;
  request.mutable_stats();
  guest->agent->Request(std::move(request), [&context, collection](const AgentResponse& response) {
    context.loop.Post([collection, response] {
      TakeGuestStats(response, collection->metrics());
      collection->Arrived();
    });
  });
  sandbox->CountExecs([collection, weak = std::weak_ptr<Sandbox>(sandbox)](const absl::Status&) {
    if (const auto held = weak.lock()) {
      collection->metrics().set_running_execs(static_cast<uint32_t>(held->running_execs().size()));
    }
    collection->Arrived();
  });
}

}  // namespace msb
