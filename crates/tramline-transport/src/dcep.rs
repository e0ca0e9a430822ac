//! Data channel establishment messages (RFC 8832 section 5).

use crate::sctp::Reliability;

/// DATA_CHANNEL_OPEN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open<'a> {
    pub(crate) ordered: bool,
    pub(crate) reliability: Reliability,
    pub(crate) label: &'a [u8],
}

/// A parsed establishment message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    Open(Open<'a>),
    Ack,
}

/// DATA_CHANNEL_ACK.
pub(crate) const ACK: [u8; 1] = [TYPE_ACK];

impl Open<'_> {
    /// With an empty protocol and priority 256, "normal" (RFC 8831 section 6.4).
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (kind, parameter) = match self.reliability {
            Reliability::Reliable => (0x00, 0),
            Reliability::Retransmits(count) => (0x01, count),
            Reliability::LifetimeMillis(millis) => (0x02, millis),
        };
        let kind = if self.ordered { kind } else { kind | UNORDERED };
        let mut out = Vec::with_capacity(OPEN_HEADER_LEN + self.label.len());
        out.extend_from_slice(&[TYPE_OPEN, kind]);
        out.extend_from_slice(&256u16.to_be_bytes());
        out.extend_from_slice(&parameter.to_be_bytes());
        out.extend_from_slice(&u16::try_from(self.label.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(&0u16.to_be_bytes());
        out.extend_from_slice(self.label);
        out
    }
}

/// `None` for anything that is neither OPEN nor ACK in full.
pub(crate) fn parse(bytes: &[u8]) -> Option<Message<'_>> {
    match *bytes.first()? {
        TYPE_ACK => Some(Message::Ack),
        TYPE_OPEN => {
            let header: &[u8; OPEN_HEADER_LEN] = bytes.first_chunk()?;
            let [_, kind, _, _, p0, p1, p2, p3, l0, l1, n0, n1] = *header;
            let parameter = u32::from_be_bytes([p0, p1, p2, p3]);
            let label_len = usize::from(u16::from_be_bytes([l0, l1]));
            let protocol_len = usize::from(u16::from_be_bytes([n0, n1]));
            let rest = &bytes[OPEN_HEADER_LEN..];
            if rest.len() < label_len + protocol_len {
                return None;
            }
            let reliability = match kind & !UNORDERED {
                0x00 => Reliability::Reliable,
                0x01 => Reliability::Retransmits(parameter),
                0x02 => Reliability::LifetimeMillis(parameter),
                _ => return None,
            };
            Some(Message::Open(Open {
                ordered: kind & UNORDERED == 0,
                reliability,
                label: &rest[..label_len],
            }))
        }
        _ => None,
    }
}

const TYPE_ACK: u8 = 0x02;
const TYPE_OPEN: u8 = 0x03;
const UNORDERED: u8 = 0x80;
const OPEN_HEADER_LEN: usize = 12;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_open_message_has_the_bytes_of_the_rfc() {
        let open = Open { ordered: false, reliability: Reliability::Retransmits(0), label: b"_lossy" };
        assert_eq!(open.encode(), b"\x03\x81\x01\x00\x00\x00\x00\x00\x00\x06\x00\x00_lossy");
    }

    proptest! {
        #[test]
        fn any_open_message_survives_the_round_trip(
            ordered: bool, kind in 0..3, value: u32, label in proptest::collection::vec(any::<u8>(), 0..100)
        ) {
            let reliability = match kind {
                0 => Reliability::Reliable,
                1 => Reliability::Retransmits(value),
                _ => Reliability::LifetimeMillis(value),
            };
            let open = Open { ordered, reliability, label: &label };
            let bytes = open.encode();
            prop_assert_eq!(parse(&bytes), Some(Message::Open(open)));
        }

        #[test]
        fn garbage_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse(&bytes);
        }
    }
}
