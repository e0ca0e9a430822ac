// Schemas, the own metadata, and encryption.

#include "support.h"

using namespace livekit;

namespace {

using Participants = SdkTest;

/// Notes changes of participants as well, with what the participant itself says then.
class Watcher : public Recorder {
 public:
  void onParticipantMetadataChanged(Room&, const ParticipantMetadataChangedEvent& event) override {
    note("metadata " + event.old_metadata + ">" + event.new_metadata + "=" + event.participant->metadata());
  }
  void onParticipantNameChanged(Room&, const ParticipantNameChangedEvent& event) override {
    note("name " + event.old_name + ">" + event.new_name + "=" + event.participant->name());
  }
  void onParticipantAttributesChanged(Room&, const ParticipantAttributesChangedEvent& event) override {
    std::map<std::string, std::string> changed;
    for (const auto& [key, value] : event.changed_attributes) changed[key] = value;
    std::string text = "attributes";
    for (const auto& [key, value] : changed) text += " " + key + "=" + value;
    note(text + " of " + std::to_string(event.participant->attributes().size()));
  }
  void onParticipantsUpdated(Room&, const ParticipantsUpdatedEvent& event) override { note("updated " + event.participants.at(0)->identity()); }
  void onParticipantEncryptionStatusChanged(Room&, const ParticipantEncryptionStatusChangedEvent& event) override {
    note(std::string(event.is_encrypted ? "encrypts " : "in clear ") + event.participant->identity());
  }
  void onE2eeStateChanged(Room&, const E2eeStateChangedEvent& event) override {
    note("e2ee " + std::to_string(static_cast<int>(event.state)) + " " + event.participant->identity());
  }
};

TEST_F(Participants, TheOwnMetadataNameAndAttributesReachEverybody) {
  const auto name = testing_server::freshRoom();
  Client robot(name, "robot", "--can-update-own-metadata --attribute role=arm --attribute side=left");
  Watcher watcher;
  Room desk;
  desk.setDelegate(&watcher);
  ASSERT_TRUE(desk.connect(testing_server::url(), testing_server::token(name, "desk"), RoomOptions()));
  robot.me()->setMetadata("brain");
  EXPECT_TRUE(watcher.sees("metadata >brain=brain"));
  robot.me()->setName("Marvin");
  EXPECT_TRUE(watcher.sees("name >Marvin=Marvin"));
  robot.me()->setAttributes({{"side", ""}, {"mood", "low"}});
  EXPECT_TRUE(watcher.sees("attributes mood=low side= of 2"));
  EXPECT_TRUE(watcher.sees("updated robot"));
  desk.setDelegate(nullptr);
}

TEST_F(Participants, SettersThrowWhenTheServerRefusesAndAfterTheEnd) {
  Client robot(testing_server::freshRoom(), "robot");
  const auto me = robot.me();
  EXPECT_THROW(me->setMetadata("brain"), std::runtime_error);
  EXPECT_THROW(me->setName("Marvin"), std::runtime_error);
  EXPECT_THROW(me->setAttributes({{"a", "b"}}), std::runtime_error);
  EXPECT_TRUE(robot.room.disconnect());
  EXPECT_THROW(me->setMetadata("brain"), std::runtime_error);
}

TEST_F(Participants, ADelegateWaitsForItsOwnMetadata) {
  const auto name = testing_server::freshRoom();
  Client robot;
  Signal done;
  robot.events.onTrack = [&](Room& room, const auto&) {
    room.localParticipant().lock()->setMetadata("seen");
    EXPECT_FALSE(room.localParticipant().lock()->getSchema({"none"}, "desk").has_value());
    done.set();
  };
  setLogLevel(LogLevel::Off);
  robot.join(name, "robot", "--can-update-own-metadata");
  Client desk(name, "desk");
  const auto track = desk.publish("pose");
  EXPECT_TRUE(done.wait());
}

TEST_F(Participants, SchemasAreDefinedAndRead) {
  const auto name = testing_server::freshRoom();
  Client robot(name, "robot");
  Client desk(name, "desk");
  const DataTrackSchemaId imu{"sensor_msgs/msg/Imu", DataTrackSchemaEncoding::Ros2Msg};
  const DataTrackSchemaId mine{"mine", DataTrackSchemaEncoding::custom("my-language")};
  const std::string large(60'000, 'x');
  EXPECT_TRUE(robot.me()->defineSchema(imu, "float64 x"));
  EXPECT_TRUE(robot.me()->defineSchema(imu, large));
  EXPECT_EQ(desk.me()->getSchema(imu, "robot"), large);
  EXPECT_TRUE(desk.me()->defineSchema(mine, "text"));
  EXPECT_EQ(robot.me()->getSchema(mine, "desk"), "text");
  setLogLevel(LogLevel::Off);
  EXPECT_FALSE(robot.me()->defineSchema({"too-long", DataTrackSchemaEncoding::JsonSchema}, std::string(120'000, 'x')));
  EXPECT_FALSE(desk.me()->getSchema({"none", DataTrackSchemaEncoding::JsonSchema}, "robot").has_value());
  EXPECT_FALSE(desk.me()->getSchema(imu, "nobody").has_value());
}

TEST_F(Participants, SchemaAndEncodingAreSeenOnBothSides) {
  const auto name = testing_server::freshRoom();
  Client robot(name, "robot");
  Client desk(name, "desk");
  DataTrackPublishOptions options;
  options.name = "imu";
  options.schema = DataTrackSchemaId{"sensor_msgs/msg/Imu", DataTrackSchemaEncoding::Ros2Idl};
  options.frame_encoding = DataTrackFrameEncoding::Cdr;
  const auto imu = robot.me()->publishDataTrack(options);
  ASSERT_TRUE(imu) << imu.error().message;
  const auto remote = desk.events.track("imu");
  for (const auto* info : {&imu.value()->info(), &remote->info()}) {
    EXPECT_EQ(info->schema, options.schema);
    EXPECT_EQ(info->frame_encoding, options.frame_encoding);
  }
  options = {"own", DataTrackSchemaId{"own", DataTrackSchemaEncoding::custom("my-language")}, DataTrackFrameEncoding::custom("my-bytes")};
  const auto own = robot.me()->publishDataTrack(options);
  ASSERT_TRUE(own) << own.error().message;
  EXPECT_EQ(desk.events.track("own")->info().schema, options.schema);
  EXPECT_EQ(desk.events.track("own")->info().frame_encoding, options.frame_encoding);
  const auto plain = robot.publish("plain");
  EXPECT_FALSE(desk.events.track("plain")->info().schema.has_value());
  EXPECT_FALSE(desk.events.track("plain")->info().frame_encoding.has_value());
}

TEST_F(Participants, ASchemaThatDoesNotSuitTheEncodingIsATypedError) {
  Client robot(testing_server::freshRoom(), "robot");
  DataTrackPublishOptions options;
  options.name = "imu";
  options.schema = DataTrackSchemaId{"Imu", DataTrackSchemaEncoding::Protobuf};
  options.frame_encoding = DataTrackFrameEncoding::Cdr;
  const auto published = robot.me()->publishDataTrack(options);
  ASSERT_TRUE(published.hasError());
  EXPECT_EQ(published.error().code, PublishDataTrackErrorCode::INVALID_SCHEMA);
  EXPECT_FALSE(published.error().message.empty());
}

RoomOptions encrypted(const std::string& key, KeyDerivationFunction derivation = KeyDerivationFunction::PBKDF2) {
  RoomOptions options;
  options.encryption.emplace();
  options.encryption->key_provider_options.shared_key = bytes(key);
  options.encryption->key_provider_options.key_derivation_function = derivation;
  return options;
}

class Encryption : public SdkTest, public testing::WithParamInterface<KeyDerivationFunction> {};

TEST_P(Encryption, FramesArriveWithTheirStamps) {
  const auto name = testing_server::freshRoom();
  Client robot;
  Watcher watcher;
  Room desk;
  desk.setDelegate(&watcher);
  ASSERT_TRUE(robot.room.connect(testing_server::url(), testing_server::token(name, "robot"), encrypted("12345", GetParam())));
  ASSERT_TRUE(desk.connect(testing_server::url(), testing_server::token(name, "desk"), encrypted("12345", GetParam())));
  const auto track = robot.publish("secret");
  EXPECT_TRUE(track->info().uses_e2ee);
  const auto remote = watcher.track("secret");
  EXPECT_TRUE(remote->info().uses_e2ee);
  EXPECT_EQ(watcher.count("encrypts robot"), 1U);
  const auto stream = subscribeTo(*remote);
  const std::vector<std::uint8_t> payload(196'608, 7);
  const Pump pump(track, DataTrackFrame(std::vector<std::uint8_t>(payload), 5));
  DataTrackFrame frame;
  ASSERT_TRUE(stream->read(frame));
  EXPECT_EQ(frame.payload, payload);
  EXPECT_EQ(frame.user_timestamp, std::optional<std::uint64_t>(5));
  desk.setDelegate(nullptr);
}

INSTANTIATE_TEST_SUITE_P(Derivations, Encryption, testing::Values(KeyDerivationFunction::PBKDF2, KeyDerivationFunction::HKDF));

TEST_F(Participants, AWrongKeyIsToldAndTheRightOneSetLaterHelps) {
  const auto name = testing_server::freshRoom();
  setLogLevel(LogLevel::Off);
  Client robot;
  Watcher watcher;
  Room desk;
  desk.setDelegate(&watcher);
  ASSERT_TRUE(robot.room.connect(testing_server::url(), testing_server::token(name, "robot"), encrypted("right", KeyDerivationFunction::HKDF)));
  ASSERT_TRUE(desk.connect(testing_server::url(), testing_server::token(name, "desk"), encrypted("wrong", KeyDerivationFunction::HKDF)));
  const auto track = robot.publish("secret");
  const auto stream = subscribeTo(*watcher.track("secret"));
  const Pump pump(track, DataTrackFrame(bytes("hidden")));
  EXPECT_TRUE(watcher.sees("e2ee 3 robot"));
  desk.e2eeManager().lock()->keyProvider().lock()->setKey("robot", bytes("right"));
  DataTrackFrame frame;
  ASSERT_TRUE(stream->read(frame));
  EXPECT_EQ(frame.payload, bytes("hidden"));
  desk.setDelegate(nullptr);
}

TEST_F(Participants, KeysAreSetExportedAndRatcheted) {
  const auto name = testing_server::freshRoom();
  Client robot;
  EXPECT_TRUE(robot.room.e2eeManager().expired());
  ASSERT_TRUE(robot.room.connect(testing_server::url(), testing_server::token(name, "robot"), encrypted("12345")));
  const auto manager = robot.room.e2eeManager();
  const auto keys = manager.lock()->keyProvider().lock();
  EXPECT_EQ(keys->options().key_ring_size, kDefaultKeyRingSize);
  EXPECT_EQ(keys->exportSharedKey(), bytes("12345"));
  EXPECT_TRUE(keys->exportSharedKey(3).empty());
  EXPECT_TRUE(keys->ratchetSharedKey(3).empty());
  const auto next = keys->ratchetSharedKey();
  EXPECT_FALSE(next.empty());
  EXPECT_NE(next, bytes("12345"));
  EXPECT_EQ(keys->exportSharedKey(), next);
  keys->setKey("desk", bytes("own"), 2);
  EXPECT_EQ(keys->exportKey("desk", 2), bytes("own"));
  EXPECT_FALSE(keys->ratchetKey("desk", 2).empty());
  EXPECT_NE(keys->exportKey("desk", 2), bytes("own"));
  EXPECT_TRUE(robot.room.disconnect());
  EXPECT_TRUE(manager.expired());
}

TEST_F(Participants, EncryptionIsSwitchedForTracksToCome) {
  const auto name = testing_server::freshRoom();
  Client robot;
  ASSERT_TRUE(robot.room.connect(testing_server::url(), testing_server::token(name, "robot"), encrypted("12345")));
  const auto manager = robot.room.e2eeManager().lock();
  EXPECT_TRUE(manager->enabled());
  const auto sealed = robot.publish("sealed");
  manager->setEnabled(false);
  EXPECT_FALSE(manager->enabled());
  const auto open = robot.publish("open");
  auto cryptors = manager->frameCryptors();
  ASSERT_EQ(cryptors.size(), 1U);
  EXPECT_EQ(cryptors[0].participantIdentity(), "robot");
  EXPECT_FALSE(cryptors[0].enabled());
  cryptors[0].setEnabled(true);
  EXPECT_TRUE(manager->enabled());
  cryptors[0].setKeyIndex(4);
  EXPECT_EQ(manager->frameCryptors()[0].keyIndex(), 4);
  const auto again = robot.publish("again");
  EXPECT_TRUE(sealed->info().uses_e2ee);
  EXPECT_FALSE(open->info().uses_e2ee);
  EXPECT_TRUE(again->info().uses_e2ee);
  // There is no key at that index.
  setLogLevel(LogLevel::Off);
  EXPECT_EQ(again->tryPush(bytes("no")).error().code, LocalDataTrackTryPushErrorCode::INTERNAL);
}

TEST_F(Participants, AnotherWayOfEncryptionIsRefused) {
  setLogLevel(LogLevel::Off);
  const auto token = testing_server::token(testing_server::freshRoom(), "robot");
  Room room;
  RoomOptions options;
  options.encryption.emplace();
  options.encryption->encryption_type = EncryptionType::CUSTOM;
  EXPECT_FALSE(room.connect(testing_server::url(), token, options));
  options.encryption->encryption_type = EncryptionType::NONE;
  EXPECT_TRUE(room.connect(testing_server::url(), token, options));
  EXPECT_TRUE(room.e2eeManager().expired());
}

TEST_F(Participants, TheDefaultsAreLivekits) {
  const KeyProviderOptions options;
  EXPECT_FALSE(options.shared_key.has_value());
  EXPECT_EQ(std::string(options.ratchet_salt.begin(), options.ratchet_salt.end()), kDefaultRatchetSalt);
  EXPECT_EQ(options.ratchet_window_size, 16);
  EXPECT_EQ(options.failure_tolerance, -1);
  EXPECT_EQ(options.key_ring_size, 16);
  EXPECT_EQ(options.key_derivation_function, KeyDerivationFunction::PBKDF2);
  EXPECT_EQ(E2EEOptions().encryption_type, EncryptionType::GCM);
  const E2EEManager::FrameCryptor described(1, "robot", 2, true);
  EXPECT_EQ(described.participantIdentity(), "robot");
  EXPECT_EQ(described.keyIndex(), 2);
  EXPECT_TRUE(described.enabled());
}

}  // namespace
