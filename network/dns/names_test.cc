// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include <string>

#include "network/dns/message.h"
#include "network/dns/pins.h"
#include "network/tls/client_hello.h"
#include "tests/support/matchers.h"

namespace msb::net {
namespace {

using namespace std::string_literals;
using testing::ElementsAre;
using testing::IsEmpty;

Bytes Of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

const std::string kQuery = "\x12\x34\1\0\0\1\0\0\0\0\0\0\7Example\3COM\0\0\1\0\1"s;
const std::string kAnswer =
    "\x12\x34\x81\x80\0\1\0\2\0\0\0\0\7example\3com\0\0\1\0\1"
    "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x5d\xb8\xd8\x22"
    "\xc0\x0c\0\1\0\1\0\0\0\x1e\0\4\x0a\0\0\1"s;

TEST(DnsMessageTest, ReadsAQuery) {
  const auto query = ParseDnsQuery(Of(kQuery));
  ASSERT_TRUE(query.has_value());
  EXPECT_EQ(query->id, 0x1234);
  EXPECT_EQ(query->name, "example.com");
  EXPECT_EQ(query->type, kDnsA);
}

TEST(DnsMessageTest, ReadsTheAddressesOfAnAnswerAndItsShortestLife) {
  const auto answer = ParseDnsAnswer(Of(kAnswer));
  ASSERT_TRUE(answer.has_value());
  EXPECT_THAT(answer->addresses,
              ElementsAre(*IpAddress::Parse("93.184.216.34"), *IpAddress::Parse("10.0.0.1")));
  EXPECT_EQ(answer->ttl, 30u);
}

TEST(DnsMessageTest, RefusesEveryCutOfAMessage) {
  for (size_t cut = 0; cut < kQuery.size(); ++cut) {
    EXPECT_FALSE(ParseDnsQuery(Of(kQuery.substr(0, cut))).has_value());
  }
  for (size_t cut = 0; cut < kAnswer.size(); ++cut) {
    EXPECT_FALSE(ParseDnsAnswer(Of(kAnswer.substr(0, cut))).has_value());
  }
}

TEST(DnsMessageTest, SurvivesNamesThatPointAtThemselves) {
  std::string loop = kQuery.substr(0, 12) + "\xc0\x0c\0\1\0\1"s;
  EXPECT_FALSE(ParseDnsQuery(Of(loop)).has_value());
}

TEST(DnsMessageTest, KeepsNamesWithOddBytesFromLookingLikeOthers) {
  std::string odd = kQuery;
  odd[14] = '.';
  EXPECT_EQ(ParseDnsQuery(Of(odd))->name, "e?ample.com");
}

TEST(DnsMessageTest, AnswersWithoutRecords) {
  const auto query = ParseDnsQuery(Of(kQuery));
  const std::string answer = MakeDnsAnswer(Of(kQuery), *query, DnsCode::kNoSuchName);
  const auto parsed = ParseDnsAnswer(Of(answer));
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->code, DnsCode::kNoSuchName);
  EXPECT_THAT(parsed->addresses, IsEmpty());
}

TEST(DnsMessageTest, CutsAnAnswerToItsQuestion) {
  const std::string cut = TruncateDnsAnswer(Of(kAnswer));
  const auto parsed = ParseDnsAnswer(Of(cut));
  ASSERT_TRUE(parsed.has_value());
  EXPECT_TRUE(parsed->truncated);
  EXPECT_EQ(parsed->question.name, "example.com");
  EXPECT_EQ(parsed->question.id, 0x1234);
  EXPECT_THAT(parsed->addresses, IsEmpty());
  EXPECT_EQ(TruncateDnsAnswer(Of(kQuery)), "");
}

TEST(NamePinsTest, RememberANameForItsLifeAndNotLonger) {
  NamePins pins;
  const absl::Time now = absl::UnixEpoch();
  const IpAddress address = *IpAddress::Parse("8.8.8.8");
  pins.Pin("a.com", {address}, 3600, now);
  pins.Pin("b.com", {address}, 1, now);
  EXPECT_THAT(pins.NamesOf(address, now), ElementsAre("a.com", "b.com"));
  EXPECT_THAT(pins.NamesOf(address, now + absl::Minutes(6)), ElementsAre("a.com"));
  EXPECT_THAT(pins.NamesOf(address, now + absl::Hours(2)), IsEmpty());
}

TEST(NamePinsTest, ForgetTheOldestWhenThereAreTooMany) {
  for (const NamePins::Limits& limits :
       {NamePins::Limits(), NamePins::Limits{.names = 50, .names_of_address = 2}}) {
    NamePins pins;
    pins.set_limits(limits);
    const absl::Time now = absl::UnixEpoch();
    for (uint32_t i = 0; i < 2 * limits.names; ++i) {
      pins.Pin("a.com", {IpAddress::V4(i)}, 60, now);
    }
    EXPECT_EQ(pins.size(), limits.names);
    EXPECT_THAT(pins.NamesOf(IpAddress::V4(0), now), IsEmpty());
    for (int i = 0; i < 100; ++i) pins.Pin(std::to_string(i), {IpAddress::V4(1)}, 60, now);
    EXPECT_EQ(pins.NamesOf(IpAddress::V4(1), now).size(), limits.names_of_address);
  }
}

std::string Vector(size_t length_bytes, const std::string& content) {
  std::string framed;
  for (size_t i = length_bytes; i-- > 0;) {
    framed.push_back(static_cast<char>(content.size() >> (8 * i)));
  }
  return framed + content;
}

std::string Hello(const std::string& extensions) {
  const std::string body = "\3\3"s + std::string(32, 'r') + Vector(1, "") + Vector(2, "\x13\1"s) +
                           Vector(1, "\0"s) + Vector(2, extensions);
  return "\x16\3\1"s + Vector(2, "\1"s + Vector(3, body));
}

std::string Sni(const std::string& name) {
  return "\0\0"s + Vector(2, Vector(2, "\0"s + Vector(2, name)));
}

TEST(ClientHelloTest, FindsTheNameAmongOtherExtensions) {
  const ClientHello hello =
      ParseClientHello(Hello("\0\x2b"s + Vector(2, "abc") + Sni("Example.com")));
  EXPECT_EQ(hello.state, ClientHello::State::kWhole);
  EXPECT_EQ(hello.server_name, "example.com");
}

TEST(ClientHelloTest, ReadsTheOuterNameOfAnEncryptedHello) {
  const std::string encrypted = "\xfe\x0d"s + Vector(2, "whatever it holds");  // RFC 9849
  const ClientHello hello = ParseClientHello(Hello(encrypted + Sni("outer.example")));
  EXPECT_EQ(hello.state, ClientHello::State::kWhole);
  EXPECT_EQ(hello.server_name, "outer.example");
}

TEST(ClientHelloTest, WaitsForTheRestHoweverItIsCut) {
  const std::string hello = Hello(Sni("example.com"));
  for (size_t cut = 0; cut < hello.size(); ++cut) {
    EXPECT_EQ(ParseClientHello(hello.substr(0, cut)).state, ClientHello::State::kNeedsMore);
  }
}

TEST(ClientHelloTest, ReadsEachByteOnceHoweverTheyCome) {
  // Records of one byte, each byte a segment: as much work as a guest can make of one hello.
  const std::string message =
      Hello("\0\x15"s + Vector(2, std::string(30000, '\0')) + Sni("example.com")).substr(5);
  ClientHelloReader reader;
  for (const char byte : message) {
    EXPECT_EQ(reader.hello().state, ClientHello::State::kNeedsMore);
    for (const char part : "\x16\3\1"s + Vector(2, std::string(1, byte))) {
      const auto one = static_cast<uint8_t>(part);
      reader.Read({&one, 1});
      ASSERT_LE(reader.held_bytes(), message.size());
    }
  }
  EXPECT_EQ(reader.hello().server_name, "example.com");
  EXPECT_EQ(reader.held_bytes(), 0u);
}

TEST(ClientHelloTest, TellsWhatItGaveUpOn) {
  ClientHelloReader nothing, half;
  nothing.GiveUp();
  EXPECT_EQ(nothing.hello().state, ClientHello::State::kNotTls);
  const uint8_t byte = 22;
  half.Read({&byte, 1});
  half.GiveUp();
  EXPECT_EQ(half.hello().state, ClientHello::State::kBroken);
}

TEST(ClientHelloTest, JoinsRecords) {
  const std::string message = Hello(Sni("example.com")).substr(5);
  const std::string cut =
      "\x16\3\1"s + Vector(2, message.substr(0, 20)) + "\x16\3\1"s + Vector(2, message.substr(20));
  EXPECT_EQ(ParseClientHello(cut).server_name, "example.com");
}

TEST(ClientHelloTest, TellsTlsWithoutANameFromWhatIsNoTls) {
  EXPECT_EQ(ParseClientHello(Hello("")).state, ClientHello::State::kWhole);
  EXPECT_EQ(ParseClientHello(Hello("")).server_name, "");
  for (const std::string& other :
       {"GET / HTTP/1.1"s, "\x13"s, "\x19\3\1"s, "\x16\x10"s, "\x80\0\2"s, "\x80\x2e\1\0"s}) {
    EXPECT_EQ(ParseClientHello(other).state, ClientHello::State::kNotTls);
  }
}

// Servers go on behind a warning, and with a version of old: a name must not be hidden so.
TEST(ClientHelloTest, RefusesWhatSomeServerTakesForABeginning) {
  const std::string hello = Hello(Sni("example.com"));
  std::string of_old = hello;
  of_old[1] = 2;
  for (const std::string& odd :
       {"\x15\3\1\0\2\1\x5a"s + hello, "\x14\3\1\0\1\1"s + hello, of_old, "\x80\x2e\1\3\1"s}) {
    EXPECT_EQ(ParseClientHello(odd).state, ClientHello::State::kBroken);
  }
  for (const std::string& few : {"\x15"s, "\x80"s, "\x80\x2e\1"s}) {
    EXPECT_EQ(ParseClientHello(few).state, ClientHello::State::kNeedsMore);
  }
}

TEST(ClientHelloTest, RefusesTwoNamesAndNamesThatAreNone) {
  EXPECT_EQ(ParseClientHello(Hello(Sni("a.com") + Sni("b.com"))).state,
            ClientHello::State::kBroken);
  EXPECT_EQ(ParseClientHello(Hello(Sni("a b"))).state, ClientHello::State::kBroken);
  EXPECT_EQ(ParseClientHello(Hello(Sni(""))).state, ClientHello::State::kBroken);
}

}  // namespace
}  // namespace msb::net
