#pragma once

/// @file
/// Texts and bytes of any length: written and read little by little, or whole.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <livekit/visibility.h>

struct tramline_content_reader;
struct tramline_content_writer;

namespace livekit {

class LocalParticipant;
namespace internal {
class RoomHandle;
class Session;
}  // namespace internal

/// Bytes of contents in one packet of a stream, at most.
constexpr std::size_t kStreamChunkSize = 15'000;

/// What a stream says of itself.
struct BaseStreamInfo {
  std::string stream_id;                          ///< Unique among the streams of its sender.
  std::string mime_type;                          ///< What is in it.
  std::string topic;                              ///< What it is about.
  std::int64_t timestamp = 0;                     ///< When it began, in milliseconds since 1970 by the sender's clock.
  std::optional<std::size_t> size;                ///< Its bytes, when they were known from the start.
  std::map<std::string, std::string> attributes;  ///< The sender's; those of the end come on top when it has been read to the end.
};

/// What a text says of itself.
struct TextStreamInfo : BaseStreamInfo {
  std::vector<std::string> attachments;           ///< Byte streams that belong to it.
  std::optional<std::string> reply_to_stream_id;  ///< The one that it answers.
};

/// What bytes say of themselves.
struct ByteStreamInfo : BaseStreamInfo {
  std::string name;  ///< The name of the file; empty for none.
};

namespace internal {
struct FreeReader {
  void operator()(tramline_content_reader* reader) const noexcept;
};
struct FreeWriter {
  void operator()(tramline_content_writer* writer) const noexcept;
};
}  // namespace internal

/// Reads a text that somebody sends. May be read on any thread, in a handler as well. One that is dropped ends the interest.
class LIVEKIT_API TextStreamReader {
 public:
  /// Of a stream without contents.
  explicit TextStreamReader(TextStreamInfo info);
  ~TextStreamReader();
  TextStreamReader(const TextStreamReader&) = delete;
  TextStreamReader& operator=(const TextStreamReader&) = delete;

  /// Waits for the next part, which are whole characters.
  /// @return false at the end, and, with a line in the log, when the rest does not come.
  bool readNext(std::string& out);
  /// Waits for all that was not read yet.
  std::string readAll();
  /// What it says of itself. Not to be asked while another thread reads.
  const TextStreamInfo& info() const noexcept { return info_; }

 private:
  friend class internal::Session;
  TextStreamReader(TextStreamInfo info, tramline_content_reader* reader);

  TextStreamInfo info_;
  std::unique_ptr<tramline_content_reader, internal::FreeReader> reader_;
};

/// Reads bytes that somebody sends; see TextStreamReader.
class LIVEKIT_API ByteStreamReader {
 public:
  /// Of a stream without contents.
  explicit ByteStreamReader(ByteStreamInfo info);
  ~ByteStreamReader();
  ByteStreamReader(const ByteStreamReader&) = delete;
  ByteStreamReader& operator=(const ByteStreamReader&) = delete;

  /// Waits for the next part.
  /// @return false at the end, and, with a line in the log, when the rest does not come.
  bool readNext(std::vector<std::uint8_t>& out);
  /// What they say of themselves. Not to be asked while another thread reads.
  const ByteStreamInfo& info() const noexcept { return info_; }

 private:
  friend class internal::Session;
  ByteStreamReader(ByteStreamInfo info, tramline_content_reader* reader);

  ByteStreamInfo info_;
  std::unique_ptr<tramline_content_reader, internal::FreeReader> reader_;
};

/// Takes the texts of a topic, and who sends them. Called on the thread of the delegate.
using TextStreamHandler = std::function<void(std::shared_ptr<TextStreamReader>, const std::string& participant_identity)>;
/// Takes the bytes of a topic, and who sends them. Called on the thread of the delegate.
using ByteStreamHandler = std::function<void(std::shared_ptr<ByteStreamReader>, const std::string& participant_identity)>;

/// What the writers have in common. Usable from any thread; writes come one after the other. A writer that is dropped before close() tells the
/// receivers that the stream was given up.
class LIVEKIT_API BaseStreamWriter {
 public:
  virtual ~BaseStreamWriter();
  BaseStreamWriter(const BaseStreamWriter&) = delete;
  BaseStreamWriter& operator=(const BaseStreamWriter&) = delete;

  /// Its id.
  const std::string& streamId() const noexcept { return id_; }
  /// What it is about.
  const std::string& topic() const noexcept { return topic_; }
  /// What is in it.
  const std::string& mimeType() const noexcept { return mime_type_; }
  /// When it was made, in milliseconds since 1970.
  std::int64_t timestampMs() const noexcept { return timestamp_ms_; }
  /// Whether close() was called.
  bool isClosed() const noexcept;

  /// Ends the stream, with attributes on top of the first ones, and waits until all of it has arrived at the server. A reason that is not empty
  /// makes it a failure for the receivers.
  /// @throws std::runtime_error when it is closed already, or the session has ended.
  void close(const std::string& reason = "", const std::map<std::string, std::string>& attributes = {});

 protected:
  /// @cond
  BaseStreamWriter(LocalParticipant& participant, std::string topic, std::map<std::string, std::string> attributes, std::string stream_id,
                   std::optional<std::size_t> total_size, std::string mime_type, std::vector<std::string> destination_identities,
                   std::string sender_identity);
  /// Sends what was not sent of the header, and then these bytes.
  void writeBytes(const std::uint8_t* data, std::size_t size);
  void fill(BaseStreamInfo& info) const;

  std::string name_;
  std::string reply_to_id_;
  bool is_text_ = false;
  /// @endcond

 private:
  void open();
  void send(const std::uint8_t* data, std::size_t size);

  std::shared_ptr<internal::RoomHandle> room_;
  std::string topic_;
  std::map<std::string, std::string> attributes_;
  std::string id_;
  std::optional<std::size_t> total_size_;
  std::string mime_type_;
  std::vector<std::string> destinations_;
  std::string sender_identity_;
  std::int64_t timestamp_ms_;
  mutable std::mutex mutex_;
  std::unique_ptr<tramline_content_writer, internal::FreeWriter> writer_;
  /// Of a text: the beginning of a character whose rest is still to come.
  std::string rest_;
  bool is_closed_ = false;
};

/// Writes a text little by little. A character may be split between two writes.
class LIVEKIT_API TextStreamWriter : public BaseStreamWriter {
 public:
  /// The stream begins with the first write. An empty id is replaced by 32 random digits; no destinations are everybody else in the room.
  explicit TextStreamWriter(LocalParticipant& participant, const std::string& topic = "", const std::map<std::string, std::string>& attributes = {},
                            const std::string& stream_id = "", std::optional<std::size_t> total_size = std::nullopt, const std::string& reply_to_id = "",
                            const std::vector<std::string>& destination_identities = {}, const std::string& sender_identity = "");
  ~TextStreamWriter() override;

  /// Writes a part, and waits while the network is slower than the writer.
  /// @throws std::runtime_error when the stream is closed, or the session has ended.
  void write(const std::string& text);
  /// What the text says of itself.
  const TextStreamInfo& info() const noexcept { return info_; }

 private:
  TextStreamInfo info_;
};

/// Writes bytes little by little.
class LIVEKIT_API ByteStreamWriter : public BaseStreamWriter {
 public:
  /// As for TextStreamWriter; `name` is the name of a file.
  ByteStreamWriter(LocalParticipant& participant, const std::string& name, const std::string& topic = "",
                   const std::map<std::string, std::string>& attributes = {}, const std::string& stream_id = "",
                   std::optional<std::size_t> total_size = std::nullopt, const std::string& mime_type = "application/octet-stream",
                   const std::vector<std::string>& destination_identities = {}, const std::string& sender_identity = "");
  ~ByteStreamWriter() override;

  /// Writes a part, and waits while the network is slower than the writer.
  /// @throws std::runtime_error when the stream is closed, or the session has ended.
  void write(const std::vector<std::uint8_t>& data);
  /// What the bytes say of themselves.
  const ByteStreamInfo& info() const noexcept { return info_; }

 private:
  ByteStreamInfo info_;
};

}  // namespace livekit
