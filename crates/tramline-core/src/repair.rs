//! What a sender does about losses, invisibly for the receiver.
//!
//! The channel of data tracks is announced without retransmission, and receivers need not know more: what is sent again, and
//! when, is the sender's choice. Two things can be done for a packet. Spares of it ride ahead of the next packets of
//! its track under the same number of SCTP, so that a loss is mended one frame later, before that frame is seen. Or it is
//! sent again once it is known to be lost, which takes a round trip more.
//!
//! A frame of one packet gets spares and is not sent again: it would come after a newer one, and receivers were
//! promised order. A frame of several packets takes its time anyway; its lost packets are sent again for as long as they can
//! arrive before its deadline, and then it is given up whole.

use std::time::Duration;

use tramline_wire::Marker;

/// What is done about losses of a track's packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Repair {
    /// Spares for frames of one packet, as many as the path has shown to need; lost packets of larger frames are sent again in time.
    #[default]
    Auto,
    /// Nothing: a packet that is lost is gone.
    Off,
    /// As `Auto`, and frames of one packet are sent again as well. They may arrive after newer ones, see
    /// [`LateFrames`](crate::fanout::LateFrames).
    Always,
}

/// What is done for one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mending {
    /// Spares that ride ahead of the next packets.
    pub copies: u8,
    /// Whether it is sent again when it is lost.
    pub retransmit: bool,
}

impl Repair {
    /// For a packet with this marker, when `suggested_copies` spares pay off on the path.
    pub fn mending(self, marker: Marker, suggested_copies: u8) -> Mending {
        let is_whole_frame = marker == Marker::Single;
        match self {
            Self::Off => Mending::default(),
            Self::Auto if is_whole_frame => Mending { copies: suggested_copies, retransmit: false },
            Self::Auto => Mending { copies: 0, retransmit: true },
            Self::Always => {
                Mending { copies: if is_whole_frame { suggested_copies } else { 0 }, retransmit: true }
            }
        }
    }
}

/// How long after a packet has left the queue it is of use at its destination, if the queue's frames may be no older than `max_age`.
///
/// Repeating it takes a round trip and a half: this is enough for one of 160 ms. A frame older than this is history.
pub fn lifetime(max_age: Option<Duration>) -> Duration {
    max_age.map_or(LONGEST_LIFETIME, |max_age| max_age.clamp(SHORTEST_LIFETIME, LONGEST_LIFETIME))
}

const SHORTEST_LIFETIME: Duration = Duration::from_millis(250);
const LONGEST_LIFETIME: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_always_sends_a_frame_of_one_packet_again() {
        let mending = |repair: Repair, marker| repair.mending(marker, 2);
        let nothing = Mending::default();
        for marker in [Marker::Single, Marker::Start, Marker::Inter, Marker::Final] {
            assert_eq!(mending(Repair::Off, marker), nothing);
        }
        assert_eq!(mending(Repair::Auto, Marker::Single), Mending { copies: 2, retransmit: false });
        assert_eq!(mending(Repair::Auto, Marker::Inter), Mending { copies: 0, retransmit: true });
        assert_eq!(mending(Repair::Always, Marker::Single), Mending { copies: 2, retransmit: true });
        assert_eq!(mending(Repair::Always, Marker::Final), Mending { copies: 0, retransmit: true });
    }

    #[test]
    fn a_lifetime_has_room_for_a_round_trip_and_an_end() {
        let ms = Duration::from_millis;
        assert_eq!(lifetime(Some(ms(100))), ms(250));
        assert_eq!(lifetime(Some(ms(700))), ms(700));
        assert_eq!(lifetime(None), ms(10_000));
    }
}
