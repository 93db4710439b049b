// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "supervisor/launch/engine_choice.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/error.h"

namespace msb {
namespace {

namespace pb = msb::vmm::v1;

// "KVM works only by emulation here (timed loop: 1204 ms)".
std::string DescribeKvm(const KvmFinding& kvm) {
  const std::string loop = kvm.loop_ms > 0 ? absl::StrFormat(" (timed loop: %.*f ms)",
                                                             kvm.loop_ms < 100 ? 2 : 0, kvm.loop_ms)
                                           : "";
  switch (kvm.state) {
    case KvmState::kHardware:
      return absl::StrCat("the hardware runs guests through KVM", loop);
    case KvmState::kEmulated:
      return absl::StrCat("KVM emulates every instruction of a guest's kernel here", loop);
    case KvmState::kUnusable:
      break;
  }
  return absl::StrCat("KVM cannot be used here: ", kvm.detail.empty() ? "no reason" : kvm.detail);
}

EngineChoice Choice(pb::Engine engine, absl::string_view explanation) {
  return {.engine = engine, .explanation = std::string(explanation)};
}

absl::StatusOr<EngineChoice> ChooseKvm(const EngineFacts& facts, absl::string_view why) {
  if (facts.kvm.state == KvmState::kUnusable) {
    return MakeError(Reason::kKvmUnavailable, DescribeKvm(facts.kvm));
  }
  return Choice(pb::ENGINE_KVM, absl::StrCat("kvm, since ", why));
}

absl::StatusOr<EngineChoice> ChooseQemu(const EngineFacts& facts, absl::string_view why) {
  if (!facts.qemu_problem.empty()) {
    return MakeError(Reason::kQemuUnavailable, facts.qemu_problem);
  }
  return Choice(pb::ENGINE_QEMU, absl::StrCat("qemu, since ", why));
}

absl::StatusOr<EngineChoice> ChooseBest(const EngineFacts& facts) {
  const std::string kvm = DescribeKvm(facts.kvm);
  if (facts.kvm.state == KvmState::kHardware) return ChooseKvm(facts, kvm);
  if (facts.qemu_problem.empty()) return ChooseQemu(facts, kvm);
  if (facts.kvm.state == KvmState::kEmulated) {
    return ChooseKvm(facts, absl::StrCat("it works, if slowly, and QEMU does not (",
                                         facts.qemu_problem, "): ", kvm));
  }
  return MakeError(Reason::kKvmUnavailable,
                   absl::StrCat("no engine can run: ", kvm, "; QEMU: ", facts.qemu_problem));
}

}  // namespace

absl::StatusOr<EngineChoice> ChooseEngine(const EngineFacts& facts, EnginePreference preference) {
  switch (preference) {
    case EnginePreference::kKvm:
      return ChooseKvm(facts, absl::StrCat("it was asked for; ", DescribeKvm(facts.kvm)));
    case EnginePreference::kQemu:
      return ChooseQemu(facts, absl::StrCat("it was asked for; ", DescribeKvm(facts.kvm)));
    case EnginePreference::kAuto:
      break;
  }
  return ChooseBest(facts);
}

KvmKind KvmKindOf(const KvmFinding& finding) {
  return finding.state == KvmState::kEmulated ? KvmKind::kEmulatedRing0 : KvmKind::kHardware;
}

}  // namespace msb
