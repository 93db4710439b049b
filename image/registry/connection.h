// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// A TCP or TLS connection that waits for no longer than it is told, and for nothing once it is
// cancelled.

#ifndef MSB_IMAGE_REGISTRY_CONNECTION_H_
#define MSB_IMAGE_REGISTRY_CONNECTION_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/unique_fd.h"
#include "image/registry/address_rules.h"
#include "image/registry/cancellation.h"
#include "image/registry/tls_context.h"
#include "image/registry/url.h"

struct addrinfo;
typedef struct ssl_st SSL;

namespace msb::image {

// For one thread. All errors have the reason kImagePullFailed, those worth another attempt are
// transient (retry.h); a cancelled call is absl's kCancelled.
class Connection {
 public:
  // Looks the name up and takes the first of its addresses that `allowed` covers and that answers.
  // `tls` and `cancellation` outlive the connection. The look-up itself is as long as the host's
  // resolver lets it be.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(const Url& url, Reach allowed,
                                                          absl::Duration timeout,
                                                          const TlsContext& tls,
                                                          const Cancellation& cancellation);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // 0 at the end of the stream.
  absl::StatusOr<size_t> Read(absl::Span<char> buffer, absl::Time deadline);
  absl::Status Write(absl::string_view bytes, absl::Time deadline);

  // Of the address that was connected to.
  Reach reach() const { return reach_; }
  const Url& url() const { return url_; }

 private:
  Connection(Url url, const Cancellation& cancellation)
      : url_(std::move(url)), cancellation_(cancellation) {}
  absl::Status ConnectTo(const addrinfo& address, absl::Time deadline);
  absl::Status StartTls(const TlsContext& tls, absl::Time deadline);
  absl::Status TlsFailure(const TlsContext& tls, int error);
  absl::Status WaitFor(short events, absl::Time deadline);
  // Waits for what the last TLS call wants, or turns its failure into a Status.
  absl::Status AfterTls(int result, absl::Time deadline);
  absl::Status Broken(absl::string_view what) const;

  const Url url_;
  const Cancellation& cancellation_;
  UniqueFd socket_;
  SSL* ssl_ = nullptr;
  Reach reach_ = Reach::kForbidden;
};

}  // namespace msb::image

#endif  // MSB_IMAGE_REGISTRY_CONNECTION_H_
