// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// Answers a registry's challenge: the token protocol of the distribution project
// (docs/spec/auth/token.md, oauth.md there), or Basic.

#ifndef MSB_IMAGE_REGISTRY_AUTHENTICATOR_H_
#define MSB_IMAGE_REGISTRY_AUTHENTICATOR_H_

#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "image/registry/challenge.h"
#include "image/registry/http_client.h"
#include "image/registry/http_response.h"

namespace msb::image {

// All empty: anonymous.
struct Credentials {
  std::string username;
  std::string password;
  std::string identity_token;
};

// One for an endpoint. Thread-safe: one thread fetches a token, the others wait for it.
class Authenticator {
 public:
  Authenticator(Credentials credentials, std::string repository)
      : credentials_(std::move(credentials)), repository_(std::move(repository)) {}

  // For an Authorization header; empty until the registry has asked for it.
  std::string Authorization() const;

  // The registry has refused a request with `used` by the challenge in `head`: gets an
  // authorization that it may take, over `client`. kImageAccessDenied when there is nothing to try.
  absl::Status Answer(const ResponseHead& head, const std::string& used, HttpClient& client);

  bool has_credentials() const {
    return !credentials_.username.empty() || !credentials_.identity_token.empty();
  }

 private:
  absl::StatusOr<std::string> FetchToken(const Challenge& challenge, HttpClient& client) const;
  std::string Basic() const;
  absl::Status Denied(absl::string_view by) const;

  const Credentials credentials_;
  const std::string repository_;
  mutable absl::Mutex mutex_;
  std::string authorization_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace msb::image

#endif  // MSB_IMAGE_REGISTRY_AUTHENTICATOR_H_
