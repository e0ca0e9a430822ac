//! Writing our session descriptions.

use std::fmt::Write;

use super::description::{Description, Section};
use crate::certificate::Fingerprint;
use crate::ice::Credentials;

/// What is ours in a description.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Local<'a> {
    pub(crate) is_lite: bool,
    pub(crate) credentials: &'a Credentials,
    pub(crate) fingerprint: &'a Fingerprint,
    pub(crate) session_id: u64,
    /// Rises with each description of the session.
    pub(crate) version: u64,
    pub(crate) max_message_size: usize,
    /// `actpass`, `active` or `passive`.
    pub(crate) setup: &'static str,
    /// Candidate lines, without `a=`.
    pub(crate) candidates: &'a [String],
}

/// Media id of the only section of our offers.
pub(crate) const OFFER_MID: &str = "0";

/// An offer with the application section only.
pub(crate) fn offer(local: &Local<'_>) -> String {
    let mut out = header(local, OFFER_MID);
    data_section(&mut out, local, "UDP/DTLS/SCTP", OFFER_MID);
    out
}

/// An answer that accepts the data channel section and rejects everything else.
///
/// Same sections in the same order; only the accepted one is in the bundle. This form was accepted by libwebrtc in the
/// native client and in Chromium.
pub(crate) fn answer(local: &Local<'_>, offer: &Description) -> String {
    let mid = offer.mid();
    let mut out = header(local, &mid);
    for (index, section) in offer.sections.iter().enumerate() {
        if index == offer.data_index {
            data_section(&mut out, local, &section.protocol, &mid);
        } else {
            rejected_section(&mut out, section, index);
        }
    }
    out
}

fn header(local: &Local<'_>, mid: &str) -> String {
    // RFC 8829 section 5.2.1: the id fits in 63 bits.
    let id = local.session_id >> 1;
    let version = local.version;
    let lite = if local.is_lite { "a=ice-lite\r\n" } else { "" };
    format!(
        "v=0\r\no=- {id} {version} IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {mid}\r\n\
         a=msid-semantic: WMS\r\n{lite}"
    )
}

fn data_section(out: &mut String, local: &Local<'_>, protocol: &str, mid: &str) {
    let Local { credentials, fingerprint, max_message_size, setup, candidates, .. } = local;
    let Credentials { ufrag, pwd } = credentials;
    let _ = write!(
        out,
        "m=application 9 {protocol} webrtc-datachannel\r\n\
         c=IN IP4 0.0.0.0\r\n\
         a=mid:{mid}\r\n\
         a=sendrecv\r\n\
         a=ice-ufrag:{ufrag}\r\n\
         a=ice-pwd:{pwd}\r\n\
         a=ice-options:trickle\r\n\
         a=fingerprint:sha-256 {fingerprint}\r\n\
         a=setup:{setup}\r\n\
         a=sctp-port:5000\r\n\
         a=max-message-size:{max_message_size}\r\n"
    );
    for candidate in *candidates {
        let _ = write!(out, "a={candidate}\r\n");
    }
}

fn rejected_section(out: &mut String, section: &Section, index: usize) {
    let Section { kind, protocol, format, mid, .. } = section;
    let _ = write!(out, "m={kind} 0 {protocol} {format}\r\nc=IN IP4 0.0.0.0\r\n");
    match mid {
        Some(mid) => drop(write!(out, "a=mid:{mid}\r\n")),
        None => drop(write!(out, "a=mid:{index}\r\n")),
    }
    out.push_str("a=inactive\r\n");
}
