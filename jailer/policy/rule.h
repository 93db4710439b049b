// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// How a policy is written: a list of the system calls that a thread may make, each with the reason.
// What no rule names kills the process. Read by compile_policies at build time, by no program of
// ours at run time.

#ifndef MSB_JAILER_POLICY_RULE_H_
#define MSB_JAILER_POLICY_RULE_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "jailer/policy/filter.h"

namespace msb {

// Holds where `argument & mask == value`. Only numbers can be checked: what a pointer leads to may
// change behind the check.
struct ArgumentCheck {
  unsigned argument;  // from 0
  uint64_t mask;
  uint64_t value;
};

constexpr ArgumentCheck ArgumentIs(unsigned argument, uint64_t value) {
  return {argument, ~uint64_t{0}, value};
}
constexpr ArgumentCheck ArgumentHasNone(unsigned argument, uint64_t bits) {
  return {argument, bits, 0};
}
constexpr ArgumentCheck ArgumentHasAll(unsigned argument, uint64_t bits) {
  return {argument, bits, bits};
}

enum class Answer {
  kRun,
  kNoSuchCall,  // ENOSYS: a library then does it another way, or without
};

// All of them hold, where there are any.
class ArgumentChecks {
 public:
  static constexpr size_t kMost = 3;

  constexpr ArgumentChecks() = default;
  constexpr ArgumentChecks(ArgumentCheck check) : checks_{check}, size_(1) {}
  constexpr ArgumentChecks(std::initializer_list<ArgumentCheck> checks) {
    for (const ArgumentCheck& check : checks) checks_[size_++] = check;
  }
  constexpr absl::Span<const ArgumentCheck> list() const {
    return absl::MakeConstSpan(checks_, size_);
  }

 private:
  ArgumentCheck checks_[kMost] = {};
  size_t size_ = 0;
};

struct Rule {
  absl::string_view call;  // as libseccomp spells it
  absl::string_view reason;
  ArgumentChecks where = {};
  Answer answer = Answer::kRun;
};

using RuleSet = absl::Span<const Rule>;

// The sets of which a policy is made: rules/*.cc, one file each.
extern const RuleSet kEveryThreadRules;
extern const RuleSet kVmmLoopRules;
extern const RuleSet kKvmLoopRules;
extern const RuleSet kQemuLoopRules;
extern const RuleSet kSaveRules;
extern const RuleSet kVcpuRules;
extern const RuleSet kDiskRules;
extern const RuleSet kQemuRules;
extern const RuleSet kNetworkRules;
extern const RuleSet kNetRules;
extern const RuleSet kSecretsRules;
extern const RuleSet kFileServerRules;

struct PolicyText {
  SeccompPolicy policy;
  absl::string_view enumerator;  // of SeccompPolicy
  std::initializer_list<const RuleSet*> parts;
};

// Every policy, in the order of the enumeration.
inline const PolicyText kPolicyTexts[] = {
    {SeccompPolicy::kKvmLoop, "kKvmLoop", {&kEveryThreadRules, &kVmmLoopRules, &kKvmLoopRules}},
    {SeccompPolicy::kQemuLoop, "kQemuLoop", {&kEveryThreadRules, &kVmmLoopRules, &kQemuLoopRules}},
    {SeccompPolicy::kKvmSave,
     "kKvmSave",
     {&kEveryThreadRules, &kVmmLoopRules, &kKvmLoopRules, &kSaveRules}},
    {SeccompPolicy::kQemuSave,
     "kQemuSave",
     {&kEveryThreadRules, &kVmmLoopRules, &kQemuLoopRules, &kSaveRules}},
    {SeccompPolicy::kVcpu, "kVcpu", {&kEveryThreadRules, &kVcpuRules}},
    {SeccompPolicy::kDisk, "kDisk", {&kEveryThreadRules, &kDiskRules}},
    {SeccompPolicy::kQemu, "kQemu", {&kQemuRules}},
    {SeccompPolicy::kNet, "kNet", {&kEveryThreadRules, &kNetworkRules, &kNetRules}},
    {SeccompPolicy::kSecrets, "kSecrets", {&kEveryThreadRules, &kNetworkRules, &kSecretsRules}},
    {SeccompPolicy::kFileServer, "kFileServer", {&kEveryThreadRules, &kFileServerRules}},
};

}  // namespace msb

#endif  // MSB_JAILER_POLICY_RULE_H_
