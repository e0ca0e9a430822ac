//! Statistics of a session in WebRTC's shape.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use tramline::RoomStats;

use crate::{
    client::{Client, handles},
    proto::{self, ffi_event, get_session_stats_callback as callback, rtc_stats},
};

pub(crate) fn report(
    client: &Arc<Client>,
    request: &proto::GetSessionStatsRequest,
) -> proto::GetSessionStatsResponse {
    let async_id = client.async_id(request.request_async_id);
    let room = handles().room(request.room_handle);
    let job = {
        let client = Arc::clone(client);
        async move {
            let stats = match room {
                Some(room) => room.room().stats().await.ok_or("the room is not connected any more"),
                None => Err("the handle is no room's"),
            };
            let message = match stats {
                // One connection carries both directions.
                Ok(stats) => callback::Message::Result(callback::Result {
                    publisher_stats: entries(&stats),
                    subscriber_stats: Vec::new(),
                }),
                Err(error) => callback::Message::Error(error.to_owned()),
            };
            let event = proto::GetSessionStatsCallback { async_id, message: Some(message) };
            client.emit(ffi_event::Message::GetSessionStats(event));
        }
    };
    client.spawn(job);
    proto::GetSessionStatsResponse { async_id }
}

fn entries(stats: &RoomStats) -> Vec<proto::RtcStats> {
    let timestamp = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or_default();
    let rtc = |id: &str| proto::RtcStatsData { id: id.to_owned(), timestamp };
    let transport = proto::TransportStats {
        packets_sent: stats.transport.datagrams_sent,
        packets_received: stats.transport.datagrams_received,
        bytes_sent: stats.transport.bytes_sent,
        bytes_received: stats.transport.bytes_received,
        ice_role: proto::IceRole::IceControlling as i32,
        dtls_state: Some(proto::DtlsTransportState::DtlsTransportConnected as i32),
        ice_state: Some(proto::IceTransportState::IceTransportConnected as i32),
        dtls_role: proto::DtlsRole::DtlsUnknown as i32,
        selected_candidate_pair_changes: count(stats.transport.address_changes),
        ..Default::default()
    };
    let channel = proto::DataChannelStats {
        // The counters are those of all channels.
        label: "_data_track".to_owned(),
        data_channel_identifier: 102,
        state: Some(proto::DataChannelState::DcOpen as i32),
        messages_sent: count(stats.transport.messages_sent),
        messages_received: count(stats.transport.messages_received),
        ..Default::default()
    };
    let connection = proto::PeerConnectionStats { data_channels_opened: 3, data_channels_closed: 0 };
    [
        rtc_stats::Stats::PeerConnection(rtc_stats::PeerConnection { rtc: rtc("P"), pc: connection }),
        rtc_stats::Stats::Transport(rtc_stats::Transport { rtc: rtc("T"), transport }),
        rtc_stats::Stats::DataChannel(rtc_stats::DataChannel { rtc: rtc("D"), dc: channel }),
    ]
    .map(|stats| proto::RtcStats { stats: Some(stats) })
    .into()
}

/// WebRTC's counters have 32 bits here.
fn count(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
