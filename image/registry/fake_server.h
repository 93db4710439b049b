// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// An HTTP server on loopback for tests that misbehaves as it is told: real sockets, real TLS.

#ifndef MSB_IMAGE_REGISTRY_FAKE_SERVER_H_
#define MSB_IMAGE_REGISTRY_FAKE_SERVER_H_

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "image/registry/url.h"

typedef struct ssl_ctx_st SSL_CTX;

namespace msb::image {

struct FakeRequest {
  std::string method;
  std::string target;
  std::map<std::string, std::string> fields;  // names in lower case
  std::string body;

  std::string Get(const std::string& name) const {
    const auto found = fields.find(name);
    return found == fields.end() ? "" : found->second;
  }
};

struct FakeReply {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> fields;
  std::string body;
  // What goes wrong.
  std::optional<uint64_t> announced_length;  // instead of the body's
  bool without_length = false;               // the end of the stream is the end of the body
  std::optional<size_t> cut_after;           // bytes of the body; then the connection is closed
  bool endless = false;                      // the body again and again
  absl::Duration pause;                      // in front of each byte of the body
  std::string raw;                           // sent instead of all of the above
};

// A self-signed certificate for 127.0.0.1, and the name localhost.
struct FakeCertificate {
  std::string pem;
  std::shared_ptr<SSL_CTX> server_context;
};
FakeCertificate MakeFakeCertificate();

class FakeServer {
 public:
  // Called on a thread per connection, several at once.
  using Handler = std::function<FakeReply(const FakeRequest&)>;

  explicit FakeServer(Handler handler, std::shared_ptr<SSL_CTX> tls = nullptr);
  ~FakeServer();
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;

  // "127.0.0.1:PORT"
  std::string host() const;
  Url origin() const {
    return {.tls = tls_ != nullptr, .host = "127.0.0.1", .port = port_, .target = "/"};
  }

  std::vector<FakeRequest> requests() const;
  int connections() const { return connections_; }
  // Ends all connections that wait for a next request.
  void CloseIdle();

 private:
  class Stream;
  void Accept();
  void Serve(int fd);
  std::optional<FakeRequest> ReadRequest(Stream& stream) const;
  bool SendReply(Stream& stream, const FakeReply& reply) const;

  const Handler handler_;
  const std::shared_ptr<SSL_CTX> tls_;
  UniqueFd listener_;
  uint16_t port_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> connections_ = 0;
  mutable absl::Mutex mutex_;
  std::vector<FakeRequest> requests_ ABSL_GUARDED_BY(mutex_);
  std::vector<int> open_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mutex_);
  std::thread acceptor_;
};

}  // namespace msb::image

#endif  // MSB_IMAGE_REGISTRY_FAKE_SERVER_H_
