//! INIT and INIT ACK (RFC 9260 sections 3.3.2 and 3.3.3).

use super::{kind, padded, read_u16, read_u32};

/// Parameter types.
pub(crate) mod extension {
    pub(crate) const STATE_COOKIE: u16 = 7;
    pub(crate) const UNRECOGNIZED: u16 = 8;
    /// RFC 9653: which lower layer protects the packets better than a checksum.
    pub(crate) const ZERO_CHECKSUM: u16 = 0x8001;
    /// RFC 5061 section 4.2.7: chunk types that the sender understands.
    pub(crate) const SUPPORTED_CHUNKS: u16 = 0x8008;
    /// RFC 3758 section 3.1.
    pub(crate) const FORWARD_TSN: u16 = 0xc000;
    /// RFC 9653 section 4: the lower layer is DTLS.
    pub(crate) const METHOD_DTLS: u32 = 1;
}

/// What INIT and INIT ACK have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Init<'a> {
    pub(crate) tag: u32,
    pub(crate) window: u32,
    pub(crate) outbound_streams: u16,
    pub(crate) inbound_streams: u16,
    pub(crate) tsn: u32,
    pub(crate) forward_tsn: bool,
    pub(crate) reconfig: bool,
    /// Packets with a checksum of zero are accepted when DTLS carries them.
    pub(crate) zero_checksum: bool,
    pub(crate) cookie: Option<&'a [u8]>,
    pub(crate) unknown: UnknownParameters<'a>,
}

/// Parameters that are to be reported back (RFC 9260 section 3.2.1), not yet looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnknownParameters<'a>(&'a [u8]);

impl<'a> Init<'a> {
    /// `None` when it is too short or has a value that RFC 9260 forbids.
    pub(crate) fn parse(value: &'a [u8]) -> Option<Self> {
        let parameters = value.get(16..)?;
        let mut init = Self {
            tag: read_u32(value, 0)?,
            window: read_u32(value, 4)?,
            outbound_streams: read_u16(value, 8)?,
            inbound_streams: read_u16(value, 10)?,
            tsn: read_u32(value, 12)?,
            forward_tsn: false,
            reconfig: false,
            zero_checksum: false,
            cookie: None,
            unknown: UnknownParameters(parameters),
        };
        // Section 3.3.2: none of these may be 0; a window below 1,500 is forbidden but does no harm.
        if init.tag == 0 || init.outbound_streams == 0 || init.inbound_streams == 0 {
            return None;
        }
        for parameter in parameters_of(parameters) {
            let (kind_of, body) = parameter?;
            match kind_of {
                extension::FORWARD_TSN => init.forward_tsn = true,
                extension::ZERO_CHECKSUM => {
                    init.zero_checksum = read_u32(body, 0) == Some(extension::METHOD_DTLS);
                }
                extension::SUPPORTED_CHUNKS => {
                    init.reconfig |= body.contains(&kind::RECONFIG);
                    init.forward_tsn |= body.contains(&kind::FORWARD_TSN);
                }
                extension::STATE_COOKIE => init.cookie = Some(body),
                unknown if unknown & STOP_UNLESS == 0 && !is_known(unknown) => break,
                _ => {}
            }
        }
        Some(init)
    }
}

impl<'a> UnknownParameters<'a> {
    /// Each to be put into an "unrecognized parameter", header and all.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut stopped = false;
        let mut rest = self.0;
        std::iter::from_fn(move || {
            while !stopped && rest.len() >= 4 {
                let (kind_of, len) = (read_u16(rest, 0)?, usize::from(read_u16(rest, 2)?));
                let whole = rest.get(..len.max(4))?;
                rest = &rest[padded(len.max(4)).min(rest.len())..];
                if is_known(kind_of) {
                    continue;
                }
                stopped = kind_of & STOP_UNLESS == 0;
                if kind_of & REPORT != 0 {
                    return Some(whole);
                }
            }
            None
        })
    }
}

fn parameters_of(bytes: &[u8]) -> impl Iterator<Item = Option<(u16, &[u8])>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let one = (|| {
            let (kind_of, len) = (read_u16(rest, 0)?, usize::from(read_u16(rest, 2)?));
            Some((kind_of, rest.get(4..len)?, len))
        })();
        rest = one.map_or(&[][..], |(_, _, len)| &rest[padded(len).min(rest.len())..]);
        Some(one.map(|(kind_of, body, _)| (kind_of, body)))
    })
}

/// Understood here, or harmless to data channels: addresses, cookie preservative, ECN, host name, address families.
fn is_known(kind_of: u16) -> bool {
    matches!(kind_of, 1 | 5 | 6 | 7 | 8 | 9 | 11 | 12 | 0x8000..=0x8008 | 0xc000)
}

/// The two highest bits of an unknown parameter say whether reading goes on and whether it is reported.
const STOP_UNLESS: u16 = 0x8000;
const REPORT: u16 = 0x4000;
