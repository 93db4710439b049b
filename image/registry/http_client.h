// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

// HTTP as a registry's client needs it: one request at a time, redirects, connections kept for the
// next request, bounded in size and time.

#ifndef MSB_IMAGE_REGISTRY_HTTP_CLIENT_H_
#define MSB_IMAGE_REGISTRY_HTTP_CLIENT_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "image/registry/cancellation.h"
#include "image/registry/connection.h"
#include "image/registry/http_response.h"
#include "image/registry/tls_context.h"
#include "image/registry/url.h"

namespace msb::image {

struct HttpRequest {
  std::string method = "GET";
  Url url;
  std::vector<std::pair<std::string, std::string>> fields;
  // Sent to the origin of `url` alone, not to where it redirects.
  std::string authorization;
  std::string body;
};

struct HttpAnswer {
  ResponseHead head;
  Url url;                 // of the last request: redirects are followed
  std::string error_body;  // the beginning of the body, of a status other than 2xx
};

struct HttpTimeouts {
  absl::Duration connect = absl::Seconds(15);
  // In which the head of an answer, or 4 KiB more of its body, must have come.
  absl::Duration stall = absl::Seconds(30);
};

// For one thread.
class HttpClient {
 public:
  // Of a body with status 2xx; see ResponseParser.
  using BodySink = ResponseParser::BodySink;

  // `endpoint` is the origin that the caller has chosen: no other host may be nearer to us than it
  // (address_rules.h). `tls` and `cancellation` outlive the client.
  HttpClient(Url endpoint, const TlsContext& tls, HttpTimeouts timeouts,
             const Cancellation& cancellation)
      : endpoint_(std::move(endpoint)),
        tls_(tls),
        timeouts_(timeouts),
        cancellation_(cancellation) {}

  // Any answer that is one is OK, whatever its status. Errors are those of Connection and of
  // `sink`.
  absl::StatusOr<HttpAnswer> Fetch(const HttpRequest& request, const BodySink& sink);

  // The whole body of an answer with status 2xx; kImageTooLarge when it is longer than `max_bytes`,
  // with `what` as its name.
  struct Document {
    HttpAnswer answer;
    std::string body;
  };
  absl::StatusOr<Document> FetchDocument(const HttpRequest& request, uint64_t max_bytes,
                                         absl::string_view what);

  const Url& endpoint() const { return endpoint_; }

 private:
  struct Exchanged {
    HttpAnswer answer;
    bool reusable = false;  // the connection
  };
  absl::StatusOr<HttpAnswer> FetchOnce(const HttpRequest& request, const BodySink& sink);
  absl::StatusOr<Exchanged> Exchange(Connection& connection, const HttpRequest& request,
                                     const BodySink& sink);
  absl::StatusOr<std::unique_ptr<Connection>> Connect(const Url& url);
  absl::Status ReadAnswer(Connection& connection, ResponseParser& parser);
  std::unique_ptr<Connection> TakeIdle(const Url& url);

  const Url endpoint_;
  const TlsContext& tls_;
  const HttpTimeouts timeouts_;
  const Cancellation& cancellation_;
  // What the endpoint may lead to; known once we have been connected to it.
  Reach endpoint_reach_ = Reach::kPublic;
  std::vector<std::unique_ptr<Connection>> idle_;
  std::vector<char> buffer_;
  size_t buffered_ = 0;  // bytes of buffer_ that the connection in use has given
  bool answer_began_ = false;
};

}  // namespace msb::image

#endif  // MSB_IMAGE_REGISTRY_HTTP_CLIENT_H_
