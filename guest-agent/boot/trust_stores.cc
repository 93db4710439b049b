// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "guest-agent/boot/trust_stores.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "guest-agent/errno_status.h"

namespace msb {
namespace {

constexpr size_t kMaxCertificateBytes = 64 * 1024;
constexpr off_t kMaxBundleBytes = 16 << 20;
constexpr char kOwnDirectory[] = "/etc/microsandbox";
constexpr char kOwnFile[] = "/etc/microsandbox/ca.pem";
// The first that an image has is the one that variables name.
constexpr const char* kBundles[] = {
    "/etc/ssl/certs/ca-certificates.crt",                 // Debian, Alpine, Arch
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  // Fedora, RHEL
    "/etc/pki/tls/certs/ca-bundle.crt",                   // and older ones
    "/etc/ssl/ca-bundle.pem",                             // openSUSE
    "/etc/ssl/cert.pem",                                  // BSD's place; Alpine has a link there
};
constexpr const char* kSources[] = {"/usr/local/share/ca-certificates",
                                    "/etc/pki/ca-trust/source/anchors", "/etc/pki/trust/anchors",
                                    "/etc/ca-certificates/trust-source/anchors"};
constexpr const char* kReplacingVariables[] = {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE",
                                               "CURL_CA_BUNDLE", "AWS_CA_BUNDLE"};
constexpr const char* kAddingVariables[] = {"NODE_EXTRA_CA_CERTS", "DENO_CERT"};
constexpr absl::string_view kBegin = "# microsandbox: begin\n";
constexpr absl::string_view kEnd = "# microsandbox: end\n";

absl::Status Failed(absl::string_view path) {
  return ErrnoError(Reason::kSandboxStartFailed, absl::StrCat("trust stores: ", path), errno);
}

absl::Status CheckCertificate(const std::string& pem) {
  const bool looks_right = absl::StartsWith(pem, "-----BEGIN CERTIFICATE-----\n") &&
                           absl::EndsWith(pem, "-----END CERTIFICATE-----\n");
  if (looks_right && pem.size() <= kMaxCertificateBytes) return absl::OkStatus();
  return MakeError(Reason::kInvalidArgument, "trust_ca is no certificate in PEM form");
}

// A whole file, or none: programs may read it at any time.
absl::Status Replace(const std::string& path, absl::string_view text, mode_t mode) {
  const std::string temporary = absl::StrCat(path, ".microsandbox");
  ::unlink(temporary.c_str());
  const UniqueFd file(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!file.valid()) return Failed(temporary);
  ::fchmod(file.get(), mode);
  while (!text.empty()) {
    const ssize_t written = ::write(file.get(), text.data(), text.size());
    if (written < 0) return Failed(temporary);
    text.remove_prefix(static_cast<size_t>(written));
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) return Failed(path);
  return absl::OkStatus();
}

// The mount that `path` is on. Not its device: overlayfs has several. nullopt: there is nothing.
std::optional<uint64_t> MountOf(const std::string& path, int flags = 0) {
  struct statx info {};
  if (::statx(AT_FDCWD, path.c_str(), flags, STATX_MNT_ID, &info) != 0) return std::nullopt;
  return info.stx_mnt_id;
}

// Whether the file `path` and its directory are on the mount of `root`, or are not there yet.
// Elsewhere the user has mounted something, of the host perhaps: not ours to change, nor always
// possible.
bool IsOfTheImage(const std::string& root, const std::string& path) {
  const uint64_t mount = MountOf(root.empty() ? "/" : root).value_or(0);
  const std::string directory = path.substr(0, path.rfind('/'));
  return MountOf(directory).value_or(mount) == mount &&
         MountOf(path, AT_SYMLINK_NOFOLLOW).value_or(mount) == mount;
}

// Where the links of `path` lead within `root`; nullopt: no regular file.
std::optional<std::string> RealFile(const std::string& root, const std::string& path) {
  char resolved[PATH_MAX];
  struct stat info {};
  const std::string whole = root + path;
  if (::realpath(whole.c_str(), resolved) == nullptr || ::stat(resolved, &info) != 0 ||
      !S_ISREG(info.st_mode) || info.st_size > kMaxBundleBytes ||
      !absl::StartsWith(resolved, root)) {
    return std::nullopt;
  }
  return resolved;
}

absl::StatusOr<std::string> ReadWhole(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.valid()) return Failed(path);
  std::string text;
  char chunk[65536];
  while (true) {
    const ssize_t got = ::read(file.get(), chunk, sizeof(chunk));
    if (got < 0) return Failed(path);
    if (got == 0) return text;
    text.append(chunk, static_cast<size_t>(got));
    if (text.size() > static_cast<size_t>(kMaxBundleBytes)) {
      return MakeError(Reason::kSandboxStartFailed,
                       absl::StrCat("trust stores: ", path, " has more than 16 MiB"));
    }
  }
}

absl::Status AddToBundle(const std::string& path, const std::string& pem) {
  MSB_ASSIGN_OR_RETURN(std::string text, ReadWhole(path));
  const size_t begin = text.find(kBegin.data(), 0, kBegin.size());
  const size_t end =
      begin == std::string::npos ? begin : text.find(kEnd.data(), begin, kEnd.size());
  if (end != std::string::npos) text.erase(begin, end + kEnd.size() - begin);
  if (!text.empty() && text.back() != '\n') text += '\n';
  absl::StrAppend(&text, kBegin, pem, kEnd);
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return Failed(path);
  return Replace(path, text, info.st_mode & 07777);
}

// In place of an earlier one; nothing where it is not the image's.
absl::Status AddFile(const std::string& root, const std::string& path, const std::string& pem) {
  return IsOfTheImage(root, path) ? Replace(path, pem, 0644) : absl::OkStatus();
}

absl::Status AddOwnFile(const std::string& root, const std::string& pem) {
  if (!IsOfTheImage(root, root + kOwnDirectory)) return absl::OkStatus();
  ::mkdir((root + "/etc").c_str(), 0755);
  ::mkdir((root + kOwnDirectory).c_str(), 0755);
  return AddFile(root, root + kOwnFile, pem);
}

}  // namespace

absl::StatusOr<std::vector<std::string>> AddToTrustStores(const std::string& root,
                                                          const std::string& pem) {
  MSB_RETURN_IF_ERROR(CheckCertificate(pem));
  MSB_RETURN_IF_ERROR(AddOwnFile(root, pem));
  for (const char* directory : kSources) {
    struct stat info {};
    if (::stat((root + directory).c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) continue;
    MSB_RETURN_IF_ERROR(AddFile(root, absl::StrCat(root, directory, "/microsandbox.crt"), pem));
  }
  std::vector<std::string> variables;
  for (const char* bundle : kBundles) {
    const std::optional<std::string> file = RealFile(root, bundle);
    if (!file.has_value()) continue;
    if (variables.empty()) {
      for (const char* name : kReplacingVariables) {
        variables.push_back(absl::StrCat(name, "=", bundle));
      }
    }
    if (IsOfTheImage(root, *file)) MSB_RETURN_IF_ERROR(AddToBundle(*file, pem));
  }
  for (const char* name : kAddingVariables) variables.push_back(absl::StrCat(name, "=", kOwnFile));
  return variables;
}

}  // namespace msb
