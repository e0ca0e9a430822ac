//! ICE candidates as signalling carries them (RFC 8839 section 5.1).

use std::net::{IpAddr, SocketAddr};

use is::{Candidate, CandidateKind, Protocol};
use thiserror::Error;

/// One local candidate with what a `TrickleRequest` needs around it.
///
/// LiveKit's `candidateInit` is the JSON object of these three: `candidate`, `sdpMid`, `sdpMLineIndex`. Official
/// clients crash when one of them is missing or null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalCandidate {
    /// `candidate:…`, without `a=`.
    pub candidate: String,
    /// Media id of the application section, e.g. `0`.
    pub mid: String,
    /// Index of the application section, from 0.
    pub mline_index: u16,
}

/// Why a peer's candidate was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CandidateError {
    /// Longer than any candidate is.
    #[error("candidate of {size} bytes; at most {limit} are accepted")]
    TooLong {
        /// Its length in bytes.
        size: usize,
        /// Most bytes accepted.
        limit: usize,
    },
    /// Not a candidate.
    #[error("not an ICE candidate: {0}")]
    Malformed(String),
    /// The peer sends candidates without end.
    #[error("the peer sent more than {0} candidates")]
    TooMany(usize),
}

/// A candidate of the peer, as far as it is of use.
#[derive(Debug)]
pub(crate) enum Remote {
    /// An address to check.
    Usable(Candidate),
    /// Well-formed, but a host name (mDNS), TCP, or of another component.
    Ignored,
}

/// Parses a candidate line, with or without `a=`. An empty line is the end of candidates and of no use either.
pub(crate) fn parse(line: &str) -> Result<Remote, CandidateError> {
    if line.len() > MAX_LEN {
        return Err(CandidateError::TooLong { size: line.len(), limit: MAX_LEN });
    }
    let line = line.trim();
    let line = line.strip_prefix("a=").unwrap_or(line);
    if line.is_empty() || line == "candidate:" {
        return Ok(Remote::Ignored);
    }
    let Some(fields) = line.strip_prefix("candidate:") else {
        return Err(CandidateError::Malformed("expected it to start with candidate:".into()));
    };
    // Names instead of addresses (RFC 8828) and transports that are not spoken here are other people's good candidates.
    let mut fields = fields.split_ascii_whitespace().skip(2);
    let transport = fields.next().unwrap_or_default();
    let host = fields.nth(1).unwrap_or_default();
    let is_name = host.parse::<IpAddr>().is_err() && host.ends_with(".local");
    if is_name || transport.eq_ignore_ascii_case("tcp") {
        return Ok(Remote::Ignored);
    }
    let lower = if transport == "UDP" { line.replacen(" UDP ", " udp ", 1) } else { line.to_owned() };
    let candidate =
        Candidate::from_sdp_string(&lower).map_err(|error| CandidateError::Malformed(error.to_string()))?;
    let addr = candidate.addr();
    let reachable = addr.port() != 0 && !addr.ip().is_unspecified() && !addr.ip().is_multicast();
    // Relayed and reflexive addresses are addresses like any other to the side that checks them.
    let usable = candidate.proto() == Protocol::Udp && reachable;
    Ok(if usable { Remote::Usable(candidate) } else { Remote::Ignored })
}

/// Writes one host candidate; `index` counts the candidates of this peer, and earlier ones are preferred.
pub(crate) fn host_line(addr: SocketAddr, index: usize) -> String {
    let preference = u32::try_from(index).unwrap_or(u32::MAX).min(0xffff);
    // RFC 8445 section 5.1.2.1: type preference 126 for host, then local preference, then component 1.
    let priority = (126 << 24) + ((0xffff - preference) << 8) + 255;
    format!("candidate:{} 1 udp {priority} {} {} typ host", index + 1, addr.ip(), addr.port())
}

/// The address as a local host candidate of `is`; `None` for addresses that cannot be one.
pub(crate) fn host(addr: SocketAddr) -> Option<Candidate> {
    let candidate = Candidate::host(addr, Protocol::Udp).ok()?;
    debug_assert_eq!(candidate.kind(), CandidateKind::Host);
    Some(candidate)
}

/// Longest candidate line accepted. Real ones have about 150 bytes.
const MAX_LEN: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn usable(line: &str) -> Option<SocketAddr> {
        match parse(line).expect("a candidate") {
            Remote::Usable(candidate) => Some(candidate.addr()),
            Remote::Ignored => None,
        }
    }

    #[test]
    fn candidates_of_libwebrtc_and_pion_are_understood() {
        let libwebrtc = "candidate:1467250027 1 udp 2122260223 192.168.0.196 46243 typ host generation 0 ufrag EsAw \
                         network-id 1 network-cost 10";
        assert_eq!(usable(libwebrtc), Some("192.168.0.196:46243".parse().unwrap()));
        let pion = "candidate:233762139 1 udp 2130706431 fd00::2 50001 typ host";
        assert_eq!(usable(pion), Some("[fd00::2]:50001".parse().unwrap()));
        let upper = "a=candidate:1 1 UDP 1686052607 203.0.113.9 61665 typ srflx raddr 10.0.0.1 rport 9";
        assert_eq!(usable(upper), Some("203.0.113.9:61665".parse().unwrap()));
    }

    #[test]
    fn names_tcp_and_the_end_of_candidates_are_ignored() {
        let mdns = "candidate:1 1 udp 2113937151 c3a9b1e0-0000-4b6c-9f3e-2f1f6c7f1b11.local 51234 typ host";
        let tcp = "candidate:1 1 tcp 1518280447 192.168.0.196 9 typ host tcptype active";
        for line in [mdns, tcp, "", "candidate:", "a=candidate:"] {
            assert_eq!(usable(line), None, "{line}");
        }
    }

    #[test]
    fn garbage_is_an_error() {
        for line in ["hello", "candidate:1 1 udp", "candidate:1 1 udp x 1.2.3.4 5 typ host"] {
            assert!(matches!(parse(line), Err(CandidateError::Malformed(_))), "{line}");
        }
        assert!(matches!(parse(&"x".repeat(2000)), Err(CandidateError::TooLong { size: 2000, .. })));
    }

    #[test]
    fn our_own_lines_are_understood() {
        for (index, addr) in ["127.0.0.1:7882", "[::1]:7882"].into_iter().enumerate() {
            let addr = addr.parse().unwrap();
            assert_eq!(usable(&host_line(addr, index)), Some(addr));
        }
    }
}
