#include "schema.h"

#include <cstdint>

#include "text.h"

namespace livekit::internal {
namespace {

constexpr int number(int value) { return value; }

static_assert(number(TRAMLINE_FRAME_ENCODING_CUSTOM) == number(TRAMLINE_SCHEMA_ENCODING_CUSTOM));
static_assert(number(TRAMLINE_FRAME_ENCODING_UNSPECIFIED) == number(TRAMLINE_SCHEMA_ENCODING_UNSPECIFIED));
static_assert(number(TRAMLINE_FRAME_ENCODING_JSON) == DataTrackFrameEncoding::Json + 1);
static_assert(number(TRAMLINE_SCHEMA_ENCODING_JSON_SCHEMA) == DataTrackSchemaEncoding::JsonSchema + 1);

template <typename Encoding>
tramline_encoding encodingBelow(const Encoding& encoding) {
  if (encoding.isCustom()) return {TRAMLINE_FRAME_ENCODING_CUSTOM, borrow(encoding.customIdentifier())};
  const bool is_other = encoding.wellKnown() == Encoding::Other;
  const std::int32_t as_number = is_other ? number(TRAMLINE_FRAME_ENCODING_UNSPECIFIED) : static_cast<std::int32_t>(encoding.wellKnown()) + 1;
  return {as_number, {nullptr, 0}};
}

template <typename Encoding>
Encoding encodingAbove(const tramline_encoding& encoding) {
  if (encoding.number == TRAMLINE_FRAME_ENCODING_CUSTOM) return Encoding::custom(copy(encoding.custom));
  const bool is_known = encoding.number >= 1 && encoding.number <= static_cast<std::int32_t>(Encoding::Other);
  return is_known ? static_cast<typename Encoding::WellKnown>(encoding.number - 1) : Encoding::Other;
}

}  // namespace

tramline_encoding below(const DataTrackFrameEncoding& encoding) { return encodingBelow(encoding); }

tramline_schema_id below(const DataTrackSchemaId& schema) { return {borrow(schema.name), encodingBelow(schema.encoding)}; }

std::optional<DataTrackFrameEncoding> frameEncoding(const tramline_encoding& encoding) {
  if (encoding.number == TRAMLINE_FRAME_ENCODING_NONE) return std::nullopt;
  return encodingAbove<DataTrackFrameEncoding>(encoding);
}

std::optional<DataTrackSchemaId> schemaId(const tramline_schema_id& schema) {
  if (schema.name.len == 0) return std::nullopt;
  return DataTrackSchemaId{copy(schema.name), encodingAbove<DataTrackSchemaEncoding>(schema.encoding)};
}

}  // namespace livekit::internal
