// Copyright 2026 The microsandbox authors
// SPDX-License-Identifier: Apache-2.0

#include "vmm/devices/legacy/serial.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "tests/support/matchers.h"

namespace msb {
namespace {

// Plays the driver.
class SerialTest : public ::testing::Test {
 protected:
  void Out(uint64_t port, uint8_t value) { serial_.Write(port, {&value, 1}); }
  uint8_t In(uint64_t port) {
    uint8_t value = 0;
    serial_.Read(port, {&value, 1});
    return value;
  }

  std::string sent_;
  int interrupts_ = 0;
  Serial serial_{[this](uint8_t byte) { sent_.push_back(static_cast<char>(byte)); },
                 [this] { ++interrupts_; }};
};

TEST_F(SerialTest, TransmitsWithoutInterruptsByDefault) {
  for (const char c : std::string("hi\n")) Out(0, static_cast<uint8_t>(c));

  EXPECT_EQ(sent_, "hi\n");
  EXPECT_EQ(interrupts_, 0);
  EXPECT_EQ(In(5), 0x60);  // ready for more
}

TEST_F(SerialTest, LooksLikeA16550A) {
  Out(2, 0x01);
  EXPECT_EQ(In(2) & 0xc0, 0xc0);
  Out(7, 0x5a);
  EXPECT_EQ(In(7), 0x5a);
}

TEST_F(SerialTest, EnablingTheInterruptTellsThatTheTransmitterIsEmpty) {
  Out(1, 0x02);
  EXPECT_EQ(interrupts_, 1);
  EXPECT_EQ(In(2) & 0x0f, 0x02);
  EXPECT_EQ(In(2) & 0x0f, 0x01);  // the first read has acknowledged it

  Out(1, 0x00);
  Out(1, 0x02);
  EXPECT_EQ(interrupts_, 2);
  EXPECT_EQ(In(2) & 0x0f, 0x02);
}

TEST_F(SerialTest, EachByteRaisesTheInterruptWhileEnabled) {
  Out(1, 0x02);
  Out(0, 'a');
  Out(0, 'b');
  EXPECT_EQ(interrupts_, 3);
  Out(1, 0x00);
  Out(0, 'c');
  EXPECT_EQ(interrupts_, 3);
  EXPECT_EQ(sent_, "abc");
}

TEST_F(SerialTest, TheDivisorIsNotSent) {
  Out(3, 0x83);
  Out(0, 0x34);
  Out(1, 0x12);
  EXPECT_EQ(In(0), 0x34);
  EXPECT_EQ(In(1), 0x12);
  Out(3, 0x03);
  EXPECT_EQ(In(1), 0x00);
  EXPECT_EQ(sent_, "");
}

TEST_F(SerialTest, LoopModeReflectsTheModemLinesAndSendsNothing) {
  EXPECT_EQ(In(6), 0xb0);
  Out(4, 0x1a);  // the test of Linux: loop, OUT2, RTS
  EXPECT_EQ(In(6), 0x90);
  Out(0, 'x');
  EXPECT_EQ(sent_, "");
}

TEST_F(SerialTest, AWideAccessTouchesOneRegister) {
  const std::array<uint8_t, 4> wide = {'a', 'b', 'c', 'd'};
  serial_.Write(0, wide);
  std::array<uint8_t, 4> back = {9, 9, 9, 9};
  serial_.Read(5, absl::MakeSpan(back));

  EXPECT_EQ(sent_, "a");
  EXPECT_EQ(back, (std::array<uint8_t, 4>{0x60, 0, 0, 0}));
}

TEST_F(SerialTest, ARestoredPortGoesOnWhereTheSavedOneStood) {
  Out(3, 0x83);
  Out(0, 0x01);
  Out(3, 0x1b);
  Out(7, 0x77);
  Out(1, 0x02);
  Serial restored([](uint8_t) {}, [] {});

  ASSERT_OK(restored.Restore(serial_.Save()));

  EXPECT_EQ(restored.Save().SerializeAsString(), serial_.Save().SerializeAsString());
  uint8_t identification = 0;
  restored.Read(2, {&identification, 1});
  EXPECT_EQ(identification & 0x0f, 0x02);
}

TEST_F(SerialTest, RefusesAStateBeyondTheRegisters) {
  msb::vmm::v1::SerialState state;
  state.set_interrupt_enable(0x10);
  EXPECT_THAT(serial_.Restore(state), HasReason(Reason::kStateInvalid));
  state.set_interrupt_enable(0);
  state.set_divisor(0x10000);
  EXPECT_THAT(serial_.Restore(state), HasReason(Reason::kStateInvalid));
}

}  // namespace
}  // namespace msb
