// Values: results, handles, encodings, frames.

#include <memory>
#include <sstream>
#include <type_traits>

#include "support.h"

using namespace livekit;

namespace {

TEST(ResultTest, HoldsAValueOrAnError) {
  auto good = Result<int, std::string>::success(7);
  EXPECT_TRUE(good.ok());
  EXPECT_FALSE(good.hasError());
  EXPECT_TRUE(static_cast<bool>(good));
  EXPECT_EQ(good.value(), 7);
  EXPECT_THROW(static_cast<void>(good.error()), std::logic_error);
  const auto bad = Result<int, std::string>::failure("wrong");
  EXPECT_FALSE(bad.ok());
  EXPECT_EQ(bad.error(), "wrong");
  EXPECT_THROW(static_cast<void>(bad.value()), std::logic_error);
}

TEST(ResultTest, ValueAndErrorMayHaveOneType) {
  EXPECT_TRUE((Result<std::string, std::string>::success("a")).ok());
  EXPECT_TRUE((Result<std::string, std::string>::failure("a")).hasError());
}

TEST(ResultTest, MovesWhatCannotBeCopied) {
  auto made = Result<std::unique_ptr<int>, std::string>::success(std::make_unique<int>(3));
  const std::unique_ptr<int> taken = std::move(made).value();
  EXPECT_EQ(*taken, 3);
  const auto failed = Result<void, std::unique_ptr<int>>::failure(std::make_unique<int>(4));
  EXPECT_EQ(*failed.error(), 4);
  static_assert(std::is_same_v<decltype(std::declval<Result<int, int>&>().value()), int&>);
  static_assert(std::is_same_v<decltype(std::declval<const Result<int, int>&>().value()), const int&>);
  static_assert(std::is_same_v<decltype(std::declval<Result<int, int>>().value()), int&&>);
  static_assert(std::is_same_v<decltype(std::declval<const Result<int, int>>().error()), const int&&>);
  static_assert(std::is_same_v<decltype(std::declval<const Result<void, int>>().error()), const int&&>);
}

TEST(ResultTest, VoidHasNoValue) {
  const auto good = Result<void, std::string>::success();
  EXPECT_NO_THROW(good.value());
  EXPECT_THROW(static_cast<void>(good.error()), std::logic_error);
  const auto bad = Result<void, std::string>::failure("wrong");
  EXPECT_THROW(bad.value(), std::logic_error);
}

TEST(FfiHandleTest, OwnsItsNumber) {
  FfiHandle one(5);
  FfiHandle two(std::move(one));
  EXPECT_FALSE(one.valid());  // NOLINT: moved from, on purpose.
  EXPECT_EQ(two.get(), 5U);
  one = std::move(two);
  EXPECT_TRUE(one);
  EXPECT_EQ(one.release(), 5U);
  EXPECT_FALSE(one);
  one.reset(6);
  EXPECT_EQ(one.get(), 6U);
  static_assert(!std::is_copy_constructible_v<FfiHandle> && std::is_nothrow_move_constructible_v<FfiHandle>);
}

TEST(SchemaTest, EncodingsAreWellKnownOrNamed) {
  const DataTrackSchemaEncoding known = DataTrackSchemaEncoding::Ros2Msg;
  EXPECT_FALSE(known.isCustom());
  EXPECT_EQ(known.wellKnown(), DataTrackSchemaEncoding::Ros2Msg);
  const auto named = DataTrackSchemaEncoding::custom("mine");
  EXPECT_TRUE(named.isCustom());
  EXPECT_EQ(named.customIdentifier(), "mine");
  EXPECT_EQ(named.wellKnown(), DataTrackSchemaEncoding::Other);
  EXPECT_EQ(named, DataTrackSchemaEncoding::custom("mine"));
  EXPECT_NE(named, DataTrackSchemaEncoding::custom("yours"));
  EXPECT_NE(named, known);
  EXPECT_FALSE(DataTrackSchemaEncoding::custom("").isCustom());
  EXPECT_EQ(DataTrackFrameEncoding::custom("x"), DataTrackFrameEncoding::custom("x"));
  EXPECT_NE(DataTrackFrameEncoding(DataTrackFrameEncoding::Cdr), DataTrackFrameEncoding::Json);
  static_assert(!std::is_default_constructible_v<DataTrackSchemaEncoding> && !std::is_default_constructible_v<DataTrackFrameEncoding>);
  const DataTrackSchemaId id{"Imu", DataTrackSchemaEncoding::Ros2Idl};
  EXPECT_EQ(id, (DataTrackSchemaId{"Imu", DataTrackSchemaEncoding::Ros2Idl}));
  EXPECT_NE(id, (DataTrackSchemaId{"Imu"}));
}

TEST(FrameTest, TakesItsBytes) {
  std::vector<std::uint8_t> payload{1, 2, 3};
  const DataTrackFrame frame(std::move(payload), 9);
  EXPECT_EQ(frame.payload.size(), 3U);
  EXPECT_EQ(frame.user_timestamp, std::optional<std::uint64_t>(9));
  const DataTrackFrame copy = frame;
  EXPECT_EQ(copy.payload, frame.payload);
  EXPECT_FALSE(DataTrackFrame().user_timestamp.has_value());
  static_assert(std::is_nothrow_move_constructible_v<DataTrackFrame>);
}

TEST(ErrorTest, NumbersAreLivekits) {
  static_assert(static_cast<int>(PublishDataTrackErrorCode::INVALID_SCHEMA) == 10);
  static_assert(static_cast<int>(LocalDataTrackTryPushErrorCode::INTERNAL) == 4);
  static_assert(static_cast<int>(SubscribeDataTrackErrorCode::INTERNAL) == 6);
  static_assert(static_cast<int>(DisconnectReason::AgentError) == 16);
  static_assert(static_cast<int>(ConnectionState::Reconnecting) == 2);
  EXPECT_EQ(PublishDataTrackError().code, PublishDataTrackErrorCode::UNKNOWN);
  EXPECT_EQ(LocalDataTrackTryPushError().code, LocalDataTrackTryPushErrorCode::UNKNOWN);
  EXPECT_EQ(SubscribeDataTrackError().code, SubscribeDataTrackErrorCode::UNKNOWN);
}

}  // namespace
