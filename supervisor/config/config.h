// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Everything that an operator can set. The one table of names, defaults, ranges and meanings is
// settings.cc; docs/configuration.md is made from it.

#ifndef MSB_SUPERVISOR_CONFIG_CONFIG_H_
#define MSB_SUPERVISOR_CONFIG_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace msb {

struct DaemonConfig {
  std::string socket;
  std::string socket_group;
  std::string tcp_address;  // empty: no TCP
  std::string token_file;
  std::string runtime_directory;
  std::string data_directory;
  std::string assets_directory;
  std::string libexec_directory;
  std::string vmm;
  std::string jailer;
  std::string net;
  std::string image;
  std::string fs;
  std::string secrets;
  std::string log_level;
  uint32_t workers = 0;
  absl::Duration shutdown_grace;
};

struct SandboxDefaults {
  std::string image;
  std::string engine;  // "auto", "kvm" or "qemu"
  uint32_t vcpus = 0;
  uint32_t memory_mib = 0;
  uint32_t disk_mib = 0;
  uint32_t cpu_milli = 0;
  // Zero: no limit.
  absl::Duration idle_timeout;
  absl::Duration lifetime;
  absl::Duration exec_timeout;
  absl::Duration stop_grace;
  absl::Duration stop_margin;
  absl::Duration start_timeout;
};

struct LimitsConfig {
  uint32_t max_sandboxes = 0;
  uint32_t max_vcpus = 0;
  uint32_t max_memory_mib = 0;
  uint32_t max_total_memory_mib = 0;  // 0: no limit
  uint32_t max_disk_mib = 0;
  uint32_t max_execs_per_sandbox = 0;
  uint32_t max_connections_per_user = 0;
  uint32_t max_calls_per_connection = 0;
  uint32_t exec_ring_kib = 0;
  uint32_t max_exec_ring_kib = 0;
  uint32_t stream_window_kib = 0;
  uint32_t console_log_kib = 0;
};

struct AgentConfig {
  absl::Duration connect_timeout;
  absl::Duration request_timeout;
  absl::Duration loss_settle;
  uint32_t warm_connections = 0;
  uint32_t io_threads = 0;
};

struct JailConfig {
  std::string cgroup_parent;
  std::string cgroups;  // "required" or "available"
  std::string seccomp;  // "enforced" or "off-for-debugging"
  uint32_t base_uid = 0;
  uint32_t kvm_overhead_mib = 0;
  uint32_t qemu_overhead_mib = 0;
};

struct NetworkConfig {
  std::string preset;  // "none", "public" or "all"
  std::string ca_store;
  uint32_t mtu = 0;
  uint32_t max_flows = 0;
  uint32_t max_connecting = 0;
  absl::Duration tcp_idle;
  absl::Duration udp_idle;
  uint32_t max_lookups = 0;
  uint32_t max_dns_connections = 0;
  uint32_t max_names = 0;
  uint32_t max_names_of_address = 0;
  uint32_t max_members = 0;
  uint32_t max_ports = 0;
  uint32_t kib_per_second_up = 0;  // 0: no limit
  uint32_t kib_per_second_down = 0;
  uint32_t packets_per_second = 0;
  uint32_t memory_mib = 0;
  uint32_t cpu_milli = 0;
};

struct SecretsConfig {
  uint32_t max_connections = 0;
  uint32_t max_head_kib = 0;
  uint32_t max_body_kib = 0;  // 0: no body is held
  uint32_t max_values_kib = 0;
  absl::Duration handshake_timeout;
  uint32_t memory_mib = 0;
  uint32_t cpu_milli = 0;
};

struct ImagesConfig {
  std::string pull_policy;           // "missing", "always" or "never"
  std::vector<std::string> mirrors;  // "REGISTRY=HOST[:PORT]"
  std::vector<std::string> plain_http;
  std::vector<std::string> skip_tls_verification;
  std::string ca_file;     // empty: none
  uint32_t max_names = 0;  // of one user
  uint32_t max_layers = 0;
  uint32_t max_blob_mib = 0;
  uint32_t max_image_mib = 0;
  uint32_t max_layer_mib = 0;
  uint32_t max_entries = 0;  // of one layer
  uint32_t max_archive_entries = 0;
  uint32_t max_compression_ratio = 0;
  uint32_t store_mib = 0;    // 0: no limit
  uint32_t partial_mib = 0;  // 0: nothing is kept
  absl::Duration partial_age;
  uint32_t parallel_jobs = 0;
  uint32_t parallel_downloads = 0;
  uint32_t parallel_unpacks = 0;
  uint32_t max_attempts = 0;
  absl::Duration connect_timeout;
  absl::Duration stall_timeout;
  absl::Duration silence_timeout;
  uint32_t memory_mib = 0;
  uint32_t cpu_milli = 0;
  uint32_t pids_max = 0;
};

struct MountsConfig {
  std::string host;  // whose directories: "none", "socket" or "all"
  uint32_t memory_mib = 0;
  uint32_t cpu_milli = 0;
  uint32_t max_inodes = 0;
  uint32_t max_open_files = 0;
  uint32_t threads = 0;
  uint32_t quota_mib = 0;  // of a mount that names none; 0: none
};

struct BootSnapshotsConfig {
  uint32_t max_count = 0;  // 0: none
  absl::Duration delay;
};

struct EventsConfig {
  uint32_t kept = 0;
};

struct Config {
  DaemonConfig daemon;
  SandboxDefaults sandbox;
  LimitsConfig limits;
  AgentConfig agent;
  JailConfig jail;
  NetworkConfig network;
  SecretsConfig secrets;
  ImagesConfig images;
  MountsConfig mounts;
  BootSnapshotsConfig boot_snapshots;
  EventsConfig events;
};

}  // namespace msb

#endif  // MSB_SUPERVISOR_CONFIG_CONFIG_H_
