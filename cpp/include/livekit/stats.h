#pragma once

/// @file
/// What a connection has counted.

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace livekit {

/// What all statistics have.
struct RtcStatsData {
  std::string id;                 ///< Unique among those of one room.
  std::int64_t timestamp_ms = 0;  ///< When it was read, in milliseconds since 1970.
};

/// The connection as a whole.
struct TransportStats {
  std::uint64_t packets_sent = 0;      ///< Datagrams that went.
  std::uint64_t packets_received = 0;  ///< Datagrams that came.
  std::uint64_t bytes_sent = 0;        ///< Bytes of those.
  std::uint64_t bytes_received = 0;    ///< Bytes of those.
};

/// The data channels together.
struct DataChannelStats {
  std::uint32_t messages_sent = 0;      ///< Messages that went: for a data track, the packets of its frames.
  std::uint32_t messages_received = 0;  ///< Messages that came.
};

/// The way to the server.
struct CandidatePairStats {
  double current_round_trip_time = 0;           ///< Over UDP, in seconds; 0 until it was measured.
  std::uint32_t packets_discarded_on_send = 0;  ///< Datagrams that the operating system did not take.
};

/// See TransportStats.
struct RtcTransportStats {
  RtcStatsData rtc;          ///< Which.
  TransportStats transport;  ///< What.
};

/// See DataChannelStats.
struct RtcDataChannelStats {
  RtcStatsData rtc;     ///< Which.
  DataChannelStats dc;  ///< What.
};

/// See CandidatePairStats.
struct RtcCandidatePairStats {
  RtcStatsData rtc;                   ///< Which.
  CandidatePairStats candidate_pair;  ///< What.
};

/// The kinds of statistics that there are without media.
using RtcStatsVariant = std::variant<RtcDataChannelStats, RtcTransportStats, RtcCandidatePairStats>;

/// One of the kinds.
struct RtcStats {
  RtcStatsVariant stats;  ///< Which one, and what.
};

/// What the connections of a session have counted. This SDK has one connection for both directions, whose statistics are the publisher's.
struct SessionStats {
  std::vector<RtcStats> publisher_stats;   ///< Of the connection that sends.
  std::vector<RtcStats> subscriber_stats;  ///< Of another connection that only receives, which this SDK has not.
};

}  // namespace livekit
