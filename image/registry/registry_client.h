// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// One repository at one endpoint, by the OCI distribution specification (v1.1): manifests and
// blobs.

#ifndef MSB_IMAGE_REGISTRY_REGISTRY_CLIENT_H_
#define MSB_IMAGE_REGISTRY_REGISTRY_CLIENT_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "image/blob/digest.h"
#include "image/limits.h"
#include "image/registry/authenticator.h"
#include "image/registry/cancellation.h"
#include "image/registry/http_client.h"
#include "image/registry/tls_context.h"
#include "image/registry/url.h"

namespace msb::image {

// What the threads that talk to an endpoint share.
struct RegistryEndpoint {
  Url origin;
  std::string repository;
  TlsContext tls;
  Authenticator authenticator;
};

struct FetchedManifest {
  std::string bytes;
  std::string media_type;  // as sent
  Digest digest;           // of `bytes`
};

// For one thread. Errors have a reason of docs/errors.md's images; transient ones say so (retry.h).
class RegistryClient {
 public:
  RegistryClient(RegistryEndpoint& endpoint, const Limits& limits,
                 const Cancellation& cancellation);

  // `reference` is a tag or a digest, which the answer's bytes then have.
  absl::StatusOr<FetchedManifest> FetchManifest(const std::string& reference);

  // The bytes of a blob from `offset` on, or from its beginning if the server will have it so:
  // `sink` looks at the head. A server that finds nothing there (416) is kOutOfRange.
  absl::Status FetchBlob(const Digest& digest, uint64_t offset, const HttpClient::BodySink& sink);

  std::string name() const { return endpoint_.origin.Authority(); }

 private:
  // Makes requests until the registry takes the authorization, or there is none that it would take.
  template <typename Attempt>
  auto Authorized(HttpRequest& request, Attempt attempt) -> decltype(attempt(request));

  RegistryEndpoint& endpoint_;
  const Limits limits_;
  HttpClient http_;
};

// The error that an answer with a status other than 2xx stands for. `what` names what was asked
// for.
absl::Status StatusOfAnswer(const HttpAnswer& answer, absl::string_view what);

}  // namespace msb::image

#endif  // MSB_IMAGE_REGISTRY_REGISTRY_CLIENT_H_
