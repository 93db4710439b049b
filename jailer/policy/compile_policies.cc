// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// compile_policies: runs at build time and prints a C++ file with every policy as the BPF program
// that the kernel takes. libseccomp does the compiling.

#include <linux/filter.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "jailer/policy/rule.h"

namespace msb {
namespace {

[[noreturn]] void Fail(absl::string_view policy, absl::string_view what, int error) {
  std::fprintf(stderr, "compile_policies: %s: %s: error %d\n", std::string(policy).c_str(),
               std::string(what).c_str(), error);
  std::exit(1);
}

void Add(scmp_filter_ctx context, const PolicyText& policy, const Rule& rule) {
  const std::string name(rule.call);
  const int number = ::seccomp_syscall_resolve_name(name.c_str());
  if (number == __NR_SCMP_ERROR) Fail(policy.enumerator, "there is no call " + name, 0);
  if (rule.reason.empty()) Fail(policy.enumerator, "no reason for " + name, 0);
  const uint32_t action = rule.answer == Answer::kRun ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(ENOSYS);
  std::vector<scmp_arg_cmp> checks;
  for (const ArgumentCheck& check : rule.where.list()) {
    checks.push_back(SCMP_CMP64(check.argument, SCMP_CMP_MASKED_EQ, check.mask, check.value));
  }
  const int error = ::seccomp_rule_add_array(context, action, number,
                                             static_cast<unsigned>(checks.size()), checks.data());
  if (error != 0) Fail(policy.enumerator, "the rule for " + name, error);
}

std::vector<sock_filter> Read(int fd) {
  std::vector<sock_filter> program(static_cast<size_t>(::lseek(fd, 0, SEEK_END)) /
                                   sizeof(sock_filter));
  const size_t bytes = program.size() * sizeof(sock_filter);
  if (::pread(fd, program.data(), bytes, 0) != static_cast<ssize_t>(bytes)) program.clear();
  return program;
}

std::vector<sock_filter> Compile(const PolicyText& policy) {
  scmp_filter_ctx context = ::seccomp_init(SCMP_ACT_KILL_PROCESS);
  if (context == nullptr) Fail(policy.enumerator, "seccomp_init", ENOMEM);
  // A call of another architecture's table, x32 among them, is a call that no rule names.
  int error = ::seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  // A binary tree by number: as quick for the last call as for the first.
  if (error == 0) error = ::seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  if (error != 0) Fail(policy.enumerator, "seccomp_attr_set", error);
  for (const RuleSet* part : policy.parts) {
    for (const Rule& rule : *part) Add(context, policy, rule);
  }
  const UniqueFd file(::memfd_create("bpf", MFD_CLOEXEC));
  error = ::seccomp_export_bpf(context, file.get());
  if (error != 0) Fail(policy.enumerator, "seccomp_export_bpf", error);
  ::seccomp_release(context);
  std::vector<sock_filter> program = Read(file.get());
  if (program.empty() || program.size() > BPF_MAXINSNS) Fail(policy.enumerator, "its length", 0);
  return program;
}

void Print(const PolicyText& policy, const std::vector<sock_filter>& program) {
  std::printf("constexpr sock_filter %s[] = {\n", std::string(policy.enumerator).c_str());
  for (const sock_filter& line : program) {
    std::printf("    {0x%02x, %u, %u, 0x%08x},\n", line.code, line.jt, line.jf, line.k);
  }
  std::printf("};\n\n");
}

int Main() {
  std::printf(
      "// Made by compile_policies from jailer/policy/rules.\n\n"
      "#include \"jailer/policy/filter.h\"\n\n"
      "namespace msb {\nnamespace {\n\n");
  for (const PolicyText& policy : kPolicyTexts) Print(policy, Compile(policy));
  std::printf(
      "}  // namespace\n\n"
      "absl::Span<const sock_filter> CompiledPolicy(SeccompPolicy policy) {\n"
      "  switch (policy) {\n");
  for (const PolicyText& policy : kPolicyTexts) {
    const std::string name(policy.enumerator);
    std::printf("    case SeccompPolicy::%s:\n      return %s;\n", name.c_str(), name.c_str());
  }
  std::printf("  }\n  return {};\n}\n\n}  // namespace msb\n");
  return 0;
}

}  // namespace
}  // namespace msb

int main() { return msb::Main(); }
