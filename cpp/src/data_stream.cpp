#include <livekit/data_stream.h>

#include <chrono>
#include <random>
#include <stdexcept>
#include <utility>

#include <livekit/local_participant.h>
#include <tramline.h>

#include "content.h"
#include "log.h"
#include "room_handle.h"
#include "text.h"

namespace livekit {

namespace internal {

void FreeReader::operator()(tramline_content_reader* reader) const noexcept { tramline_content_reader_free(reader); }

void FreeWriter::operator()(tramline_content_writer* writer) const noexcept { tramline_content_writer_free(writer); }

namespace {

struct FreeAttributes {
  void operator()(tramline_attributes* attributes) const noexcept { tramline_attributes_free(attributes); }
};

std::map<std::string, std::string> attributesOf(const tramline_content_reader* reader) {
  tramline_attributes* list = nullptr;
  std::map<std::string, std::string> attributes;
  if (tramline_content_reader_attributes(reader, &list) != TRAMLINE_OK) return attributes;
  const std::unique_ptr<tramline_attributes, FreeAttributes> owned(list);
  for (std::size_t i = 0; i < tramline_attributes_len(list); ++i) {
    tramline_str key{};
    tramline_str value{};
    if (tramline_attributes_at(list, i, &key, &value) == TRAMLINE_OK) attributes[copy(key)] = copy(value);
  }
  return attributes;
}

void fill(BaseStreamInfo& info, const tramline_content_info& told, const tramline_content_reader* reader) {
  info.stream_id = copy(told.id);
  info.mime_type = copy(told.mime_type);
  info.topic = copy(told.topic);
  info.timestamp = told.timestamp_ms;
  if (told.total_length != UINT64_MAX) info.size = static_cast<std::size_t>(told.total_length);
  info.attributes = attributesOf(reader);
}

/// The next part, or false; what the end brings goes into `info`.
template <typename Part>
bool readPart(tramline_content_reader* reader, BaseStreamInfo& info, Part& out) {
  out.clear();
  if (reader == nullptr) return false;
  tramline_bytes part{};
  const tramline_status status = tramline_content_reader_next(reader, -1, &part);
  if (status == TRAMLINE_OK) {
    out.assign(part.data, part.data + part.len);
    tramline_bytes_free(part);
    return true;
  }
  if (status == TRAMLINE_ENDED) {
    info.attributes = attributesOf(reader);
  } else if (status != TRAMLINE_CLOSED) {
    log(LogLevel::Warn, "the stream " + info.stream_id + " did not come whole: " + tramline_last_error());
  }
  return false;
}

std::string randomId() {
  std::random_device random;
  std::string id;
  for (int i = 0; i < 32; ++i) id.push_back("0123456789abcdef"[random() % 16]);
  return id;
}

/// How many bytes at the end begin a character that is not complete.
std::size_t incompleteTail(const std::string& text) {
  for (std::size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xC0U) == 0x80U) continue;
    const std::size_t needed = byte >= 0xF0U ? 4 : byte >= 0xE0U ? 3 : byte >= 0xC0U ? 2 : 1;
    return needed > back ? back : 0;
  }
  return 0;
}

}  // namespace

TextStreamInfo textInfo(const tramline_content_reader* reader) {
  TextStreamInfo info;
  tramline_content_info told{};
  told.struct_size = sizeof told;
  if (tramline_content_reader_info(reader, &told) != TRAMLINE_OK) return info;
  fill(info, told, reader);
  for (std::size_t i = 0; i < told.attachment_count; ++i) info.attachments.push_back(copy(told.attachments[i]));
  if (told.reply_to_id.len != 0) info.reply_to_stream_id = copy(told.reply_to_id);
  return info;
}

ByteStreamInfo byteInfo(const tramline_content_reader* reader) {
  ByteStreamInfo info;
  tramline_content_info told{};
  told.struct_size = sizeof told;
  if (tramline_content_reader_info(reader, &told) != TRAMLINE_OK) return info;
  fill(info, told, reader);
  info.name = copy(told.name);
  return info;
}

}  // namespace internal

// ---- Reading.

TextStreamReader::TextStreamReader(TextStreamInfo info) : TextStreamReader(std::move(info), nullptr) {}
TextStreamReader::TextStreamReader(TextStreamInfo info, tramline_content_reader* reader) : info_(std::move(info)), reader_(reader) {}
TextStreamReader::~TextStreamReader() = default;

bool TextStreamReader::readNext(std::string& out) { return internal::readPart(reader_.get(), info_, out); }

std::string TextStreamReader::readAll() {
  std::string all;
  std::string part;
  while (readNext(part)) all += part;
  return all;
}

ByteStreamReader::ByteStreamReader(ByteStreamInfo info) : ByteStreamReader(std::move(info), nullptr) {}
ByteStreamReader::ByteStreamReader(ByteStreamInfo info, tramline_content_reader* reader) : info_(std::move(info)), reader_(reader) {}
ByteStreamReader::~ByteStreamReader() = default;

bool ByteStreamReader::readNext(std::vector<std::uint8_t>& out) { return internal::readPart(reader_.get(), info_, out); }

// ---- Writing.

BaseStreamWriter::BaseStreamWriter(LocalParticipant& participant, std::string topic, std::map<std::string, std::string> attributes, std::string stream_id,
                                   std::optional<std::size_t> total_size, std::string mime_type, std::vector<std::string> destination_identities,
                                   std::string sender_identity)
    : room_(participant.room_),
      topic_(std::move(topic)),
      attributes_(std::move(attributes)),
      id_(stream_id.empty() ? internal::randomId() : std::move(stream_id)),
      total_size_(total_size),
      mime_type_(std::move(mime_type)),
      destinations_(std::move(destination_identities)),
      sender_identity_(std::move(sender_identity)),
      timestamp_ms_(std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count()) {}

BaseStreamWriter::~BaseStreamWriter() = default;

bool BaseStreamWriter::isClosed() const noexcept {
  const std::lock_guard lock(mutex_);
  return is_closed_;
}

void BaseStreamWriter::fill(BaseStreamInfo& info) const {
  info.stream_id = id_;
  info.mime_type = mime_type_;
  info.topic = topic_;
  info.timestamp = timestamp_ms_;
  info.size = total_size_;
  info.attributes = attributes_;
}

void BaseStreamWriter::open() {
  if (writer_) return;
  const auto room = room_->lock();
  if (!room) throw std::runtime_error("the stream was not opened: the session has ended");
  std::vector<tramline_attribute> attributes;
  for (const auto& [key, value] : attributes_) attributes.push_back({internal::borrow(key), internal::borrow(value)});
  std::vector<tramline_str> destinations;
  for (const auto& identity : destinations_) destinations.push_back(internal::borrow(identity));
  tramline_content_options options{};
  tramline_content_options_defaults(&options, sizeof options);
  options.topic = internal::borrow(topic_);
  options.id = internal::borrow(id_);
  options.attributes = attributes.data();
  options.attribute_count = attributes.size();
  options.destinations = destinations.data();
  options.destination_count = destinations.size();
  options.mime_type = internal::borrow(mime_type_);
  options.name = internal::borrow(name_);
  options.reply_to_id = internal::borrow(reply_to_id_);
  options.sender_identity = internal::borrow(sender_identity_);
  if (total_size_) options.total_length = *total_size_;
  tramline_content_writer* writer = nullptr;
  const auto begin = is_text_ ? tramline_room_open_text : tramline_room_open_bytes;
  if (begin(room.get(), &options, &writer) != TRAMLINE_OK) throw std::runtime_error(std::string("the stream was not opened: ") + tramline_last_error());
  writer_.reset(writer);
}

void BaseStreamWriter::send(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return;
  if (tramline_content_writer_write(writer_.get(), data, size) != TRAMLINE_OK) {
    throw std::runtime_error(std::string("the stream was not written: ") + tramline_last_error());
  }
}

void BaseStreamWriter::writeBytes(const std::uint8_t* data, std::size_t size) {
  const std::lock_guard lock(mutex_);
  if (is_closed_) throw std::runtime_error("the stream was not written: it is closed");
  open();
  if (!is_text_) return send(data, size);
  rest_.append(reinterpret_cast<const char*>(data), size);
  const std::size_t whole = rest_.size() - internal::incompleteTail(rest_);
  const std::string text = rest_.substr(0, whole);
  rest_.erase(0, whole);
  send(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
}

void BaseStreamWriter::close(const std::string& reason, const std::map<std::string, std::string>& attributes) {
  const std::lock_guard lock(mutex_);
  if (is_closed_) throw std::runtime_error("the stream was not closed: it is closed already");
  is_closed_ = true;
  open();
  if (!rest_.empty()) throw std::runtime_error("the stream was not closed: the text ends within a character");
  std::vector<tramline_attribute> below;
  for (const auto& [key, value] : attributes) below.push_back({internal::borrow(key), internal::borrow(value)});
  if (tramline_content_writer_close(writer_.get(), reason.data(), reason.size(), below.data(), below.size()) != TRAMLINE_OK) {
    throw std::runtime_error(std::string("the stream was not closed: ") + tramline_last_error());
  }
}

TextStreamWriter::TextStreamWriter(LocalParticipant& participant, const std::string& topic, const std::map<std::string, std::string>& attributes,
                                   const std::string& stream_id, std::optional<std::size_t> total_size, const std::string& reply_to_id,
                                   const std::vector<std::string>& destination_identities, const std::string& sender_identity)
    : BaseStreamWriter(participant, topic, attributes, stream_id, total_size, "text/plain", destination_identities, sender_identity) {
  is_text_ = true;
  reply_to_id_ = reply_to_id;
  fill(info_);
  if (!reply_to_id.empty()) info_.reply_to_stream_id = reply_to_id;
}

TextStreamWriter::~TextStreamWriter() = default;

void TextStreamWriter::write(const std::string& text) { writeBytes(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()); }

ByteStreamWriter::ByteStreamWriter(LocalParticipant& participant, const std::string& name, const std::string& topic,
                                   const std::map<std::string, std::string>& attributes, const std::string& stream_id,
                                   std::optional<std::size_t> total_size, const std::string& mime_type,
                                   const std::vector<std::string>& destination_identities, const std::string& sender_identity)
    : BaseStreamWriter(participant, topic, attributes, stream_id, total_size, mime_type, destination_identities, sender_identity) {
  name_ = name;
  fill(info_);
  info_.name = name;
}

ByteStreamWriter::~ByteStreamWriter() = default;

void ByteStreamWriter::write(const std::vector<std::uint8_t>& data) { writeBytes(data.data(), data.size()); }

}  // namespace livekit
