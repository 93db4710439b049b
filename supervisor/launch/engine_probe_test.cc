// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// With scripts in the place of the VMM.

#include "supervisor/launch/engine_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace msb {
namespace {

using testing::HasSubstr;

class EngineProbeTest : public testing::Test {
 protected:
  EngineProbeTest() {
    options_.vmm_path = folder_.path() + "/vmm";
    options_.qemu_directory = folder_.path() + "/qemu";
    options_.cache_file = folder_.path() + "/cache";
  }
  // Each run leaves a mark, so that runs can be counted.
  void WriteVmm(const std::string& behind_the_mark) {
    folder_.Write("vmm", "#!/bin/sh\necho run >>" + folder_.path() + "/runs\n" + behind_the_mark);
    ::chmod(options_.vmm_path.c_str(), 0755);
  }
  long Runs() {
    const std::string runs = folder_.Read("runs");
    return std::count(runs.begin(), runs.end(), '\n');
  }
  TempDir folder_;
  EngineProbeOptions options_;
};

TEST_F(EngineProbeTest, AsksTheVmm) {
  WriteVmm(R"([ "$1" = --probe-kvm ] && echo '{"kvm":"emulated","loop_ms":1204.5,"detail":"x"}')");

  const EngineFacts facts = ProbeEngines(options_, ProbeCache::kUse);

  EXPECT_EQ(facts.kvm.state, KvmState::kEmulated);
  EXPECT_EQ(facts.kvm.loop_ms, 1204.5);
  EXPECT_EQ(facts.kvm.detail, "x");
}

TEST_F(EngineProbeTest, MeasuresOnceAndThenRemembers) {
  WriteVmm(R"(echo '{"kvm":"hardware","loop_ms":0.4,"detail":""}')");

  ProbeEngines(options_, ProbeCache::kUse);
  const EngineFacts again = ProbeEngines(options_, ProbeCache::kUse);

  EXPECT_EQ(again.kvm.state, KvmState::kHardware);
  EXPECT_EQ(again.kvm.loop_ms, 0.4);
  EXPECT_EQ(Runs(), 1);
}

TEST_F(EngineProbeTest, MeasuresAgainWhenAskedTo) {
  WriteVmm(R"(echo '{"kvm":"hardware"}')");
  ProbeEngines(options_, ProbeCache::kUse);

  ProbeEngines(options_, ProbeCache::kRefresh);

  EXPECT_EQ(Runs(), 2);
}

TEST_F(EngineProbeTest, MeasuresAgainWithAnotherVmm) {
  WriteVmm(R"(echo '{"kvm":"hardware"}')");
  ProbeEngines(options_, ProbeCache::kUse);
  WriteVmm(R"(echo '{"kvm":"unusable","detail":"gone"}')");

  EXPECT_EQ(ProbeEngines(options_, ProbeCache::kUse).kvm.state, KvmState::kUnusable);
}

TEST_F(EngineProbeTest, PassesOverACacheThatIsNoneOfIts) {
  WriteVmm(R"(echo '{"kvm":"hardware"}')");
  folder_.Write("cache", "nonsense\n{\"kvm\":\"unusable\"}");

  EXPECT_EQ(ProbeEngines(options_, ProbeCache::kUse).kvm.state, KvmState::kHardware);
}

TEST_F(EngineProbeTest, WorksWithoutACache) {
  WriteVmm(R"(echo '{"kvm":"hardware"}')");
  options_.cache_file = "";
  EXPECT_EQ(ProbeEngines(options_, ProbeCache::kUse).kvm.state, KvmState::kHardware);
  options_.cache_file = "/nonexistent/folder/cache";
  EXPECT_EQ(ProbeEngines(options_, ProbeCache::kUse).kvm.state, KvmState::kHardware);
}

TEST_F(EngineProbeTest, KvmIsUnusableWhenTheVmmFails) {
  const auto detail = [&] {
    const EngineFacts facts = ProbeEngines(options_, ProbeCache::kUse);
    EXPECT_EQ(facts.kvm.state, KvmState::kUnusable);
    return facts.kvm.detail;
  };
  EXPECT_THAT(detail(), HasSubstr("No such file"));
  WriteVmm("kill -SEGV $$\n");
  EXPECT_THAT(detail(), HasSubstr("killed by signal 11"));
  WriteVmm("echo something else\n");
  EXPECT_THAT(detail(), HasSubstr("something else"));
  EXPECT_FALSE(std::filesystem::exists(options_.cache_file)) << "a failure was kept";
}

TEST_F(EngineProbeTest, EndsAVmmThatHangs) {
  WriteVmm("exec sleep 1000\n");
  options_.time_limit = absl::Milliseconds(50);

  const EngineFacts facts = ProbeEngines(options_, ProbeCache::kUse);

  EXPECT_EQ(facts.kvm.state, KvmState::kUnusable);
  EXPECT_THAT(facts.kvm.detail, HasSubstr("no answer within 50ms"));
}

TEST_F(EngineProbeTest, LooksForQemusProgram) {
  WriteVmm(R"(echo '{"kvm":"hardware"}')");
  EXPECT_THAT(ProbeEngines(options_, ProbeCache::kUse).qemu_problem,
              HasSubstr("/qemu/bin/qemu-system-x86_64 is not there"));
  std::filesystem::create_directories(options_.qemu_directory + "/bin");
  folder_.Write("qemu/bin/qemu-system-x86_64", "");
  ::chmod((options_.qemu_directory + "/bin/qemu-system-x86_64").c_str(), 0755);
  EXPECT_EQ(ProbeEngines(options_, ProbeCache::kUse).qemu_problem, "");
  options_.qemu_directory = "";
  EXPECT_THAT(ProbeEngines(options_, ProbeCache::kUse).qemu_problem, HasSubstr("configured"));
}

}  // namespace
}  // namespace msb
