// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "image/registry/fake_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/check.h"

namespace msb::image {
namespace {

std::string ToPem(X509* certificate) {
  BIO* memory = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(memory, certificate);
  char* bytes = nullptr;
  const long length = BIO_get_mem_data(memory, &bytes);  // NOLINT: OpenSSL's type
  std::string pem(bytes, static_cast<size_t>(length));
  BIO_free(memory);
  return pem;
}

void AddNames(X509* certificate) {
  X509_EXTENSION* names =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost");
  MSB_CHECK(names != nullptr);
  X509_add_ext(certificate, names, -1);
  X509_EXTENSION_free(names);
}

}  // namespace

FakeCertificate MakeFakeCertificate() {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  MSB_CHECK(key != nullptr && certificate != nullptr);
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 24 * 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("fake registry"), -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  AddNames(certificate);
  MSB_CHECK(X509_sign(certificate, key, EVP_sha256()) > 0);
  FakeCertificate fake{.pem = ToPem(certificate),
                       .server_context = {SSL_CTX_new(TLS_server_method()), &SSL_CTX_free}};
  SSL_CTX_use_certificate(fake.server_context.get(), certificate);
  SSL_CTX_use_PrivateKey(fake.server_context.get(), key);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return fake;
}

// A connection, with TLS or without.
class FakeServer::Stream {
 public:
  Stream(int fd, SSL_CTX* tls) : fd_(fd) {
    if (tls == nullptr) return;
    ssl_ = SSL_new(tls);
    SSL_set_fd(ssl_, fd);
    ok_ = SSL_accept(ssl_) == 1;
  }
  ~Stream() {
    if (ssl_ != nullptr) SSL_free(ssl_);
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  bool ok() const { return ok_; }

  // Up to and with `end`; empty when the stream ends.
  std::string ReadUntil(const std::string& end) {
    while (true) {
      const size_t found = buffer_.find(end);
      if (found != std::string::npos) return Take(found + end.size());
      // No HTTP (a client that speaks TLS, say) is answered at once, as servers do.
      if (!buffer_.empty() && !absl::ascii_isalpha(buffer_[0])) return Take(buffer_.size());
      if (!Fill()) return "";
    }
  }
  std::string ReadBytes(size_t count) {
    while (buffer_.size() < count && Fill()) {
    }
    return Take(std::min(count, buffer_.size()));
  }
  bool Write(absl::string_view bytes) {
    while (!bytes.empty()) {
      const int count = static_cast<int>(std::min<size_t>(bytes.size(), 1 << 20));
      const ssize_t done =
          ssl_ != nullptr ? SSL_write(ssl_, bytes.data(), count)
                          : ::send(fd_, bytes.data(), static_cast<size_t>(count), MSG_NOSIGNAL);
      if (done <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(done));
    }
    return true;
  }

 private:
  bool Fill() {
    char piece[4096];
    const ssize_t count =
        ssl_ != nullptr ? SSL_read(ssl_, piece, sizeof piece) : ::recv(fd_, piece, sizeof piece, 0);
    if (count <= 0) return false;
    buffer_.append(piece, static_cast<size_t>(count));
    return true;
  }
  std::string Take(size_t count) {
    std::string taken = buffer_.substr(0, count);
    buffer_.erase(0, count);
    return taken;
  }

  const int fd_;
  SSL* ssl_ = nullptr;
  bool ok_ = true;
  std::string buffer_;
};

FakeServer::FakeServer(Handler handler, std::shared_ptr<SSL_CTX> tls)
    : handler_(std::move(handler)),
      tls_(std::move(tls)),
      listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  std::signal(SIGPIPE, SIG_IGN);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  MSB_CHECK(::bind(listener_.get(), generic, length) == 0);
  MSB_CHECK(::listen(listener_.get(), 64) == 0);
  MSB_CHECK(::getsockname(listener_.get(), generic, &length) == 0);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { Accept(); });
}

FakeServer::~FakeServer() {
  stopping_ = true;
  ::shutdown(listener_.get(), SHUT_RDWR);
  acceptor_.join();
  CloseIdle();
  std::vector<std::thread> threads;
  {
    const absl::MutexLock lock(&mutex_);
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) thread.join();
}

std::string FakeServer::host() const { return absl::StrCat("127.0.0.1:", port_); }

std::vector<FakeRequest> FakeServer::requests() const {
  const absl::MutexLock lock(&mutex_);
  return requests_;
}

void FakeServer::CloseIdle() {
  const absl::MutexLock lock(&mutex_);
  for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
}

void FakeServer::Accept() {
  while (true) {
    const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    ++connections_;
    const absl::MutexLock lock(&mutex_);
    open_.push_back(fd);
    threads_.emplace_back([this, fd] { Serve(fd); });
  }
}

void FakeServer::Serve(int fd) {
  {
    Stream stream(fd, tls_.get());
    while (stream.ok() && !stopping_) {
      std::optional<FakeRequest> request = ReadRequest(stream);
      if (!request.has_value()) break;
      {
        const absl::MutexLock lock(&mutex_);
        requests_.push_back(*request);
      }
      if (!SendReply(stream, handler_(*request))) break;
    }
  }
  const absl::MutexLock lock(&mutex_);
  open_.erase(std::find(open_.begin(), open_.end(), fd));
  ::close(fd);
}

std::optional<FakeRequest> FakeServer::ReadRequest(Stream& stream) const {
  const std::string head = stream.ReadUntil("\r\n\r\n");
  if (head.empty()) return std::nullopt;
  FakeRequest request;
  std::vector<std::string> lines = absl::StrSplit(head, "\r\n");
  const std::vector<std::string> words = absl::StrSplit(lines[0], ' ');
  request.method = words[0];
  request.target = words.size() > 1 ? words[1] : "";
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::pair<std::string, std::string> field =
        absl::StrSplit(lines[i], absl::MaxSplits(':', 1));
    request.fields[absl::AsciiStrToLower(field.first)] =
        std::string(absl::StripAsciiWhitespace(field.second));
  }
  size_t length = 0;
  if (absl::SimpleAtoi(request.Get("content-length"), &length)) {
    request.body = stream.ReadBytes(length);
  }
  return request;
}

// False when the connection is to be closed.
bool FakeServer::SendReply(Stream& stream, const FakeReply& reply) const {
  if (!reply.raw.empty()) {
    stream.Write(reply.raw);
    return false;
  }
  std::string head = absl::StrCat("HTTP/1.1 ", reply.status, " Reason\r\n");
  for (const auto& [name, value] : reply.fields) absl::StrAppend(&head, name, ": ", value, "\r\n");
  if (!reply.without_length) {
    absl::StrAppend(&head, "Content-Length: ", reply.announced_length.value_or(reply.body.size()),
                    "\r\n");
  }
  if (!stream.Write(absl::StrCat(head, "\r\n"))) return false;
  const std::string body = reply.body.substr(0, reply.cut_after.value_or(reply.body.size()));
  if (reply.pause > absl::ZeroDuration()) {
    for (size_t i = 0; i < body.size() && !stopping_; ++i) {
      absl::SleepFor(reply.pause);
      if (!stream.Write(body.substr(i, 1))) return false;
    }
    return true;
  }
  do {
    if (!stream.Write(body)) return false;
  } while (reply.endless && !stopping_);
  return !reply.without_length && !reply.cut_after.has_value() &&
         !reply.announced_length.has_value();
}

}  // namespace msb::image
