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
    candidates(&mut out, local);
    out
}

/// An answer that accepts the data channel section and lets everything else idle.
///
/// Same sections in the same order. Media is taken into the bundle as `inactive`: the first section of an official offer owns
/// the transport of them all, and Chromium now and then loses track of that transport when the section is rejected while
/// candidates are being gathered for it. It connects, but the peer connection and its channels never say so. Media that
/// cannot be in a bundle is rejected with port 0.
pub(crate) fn answer(local: &Local<'_>, offer: &Description) -> String {
    let mids: Vec<_> = (0..).zip(&offer.sections).map(|(index, section)| section.mid_or(index)).collect();
    let bundled: Vec<_> = offer.bundled().collect();
    let group: Vec<_> = bundled.iter().map(|index| mids[*index].as_str()).collect();
    let mut out = header(local, &group.join(" "));
    for (index, (section, mid)) in offer.sections.iter().zip(&mids).enumerate() {
        // The first section of the bundle speaks for its transport: credentials and candidates in a later one are not
        // looked at. Those of the data section stay for readers that know no other.
        let is_first = bundled.first() == Some(&index);
        if index == offer.data_index {
            data_section(&mut out, local, &section.protocol, mid);
        } else {
            media_section(&mut out, section, mid, bundled.contains(&index));
            if is_first {
                transport(&mut out, local);
            }
        }
        if is_first {
            candidates(&mut out, local);
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
    let _ = write!(
        out,
        "m=application 9 {protocol} webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=sendrecv\r\n"
    );
    transport(out, local);
    let _ = write!(out, "a=sctp-port:5000\r\na=max-message-size:{}\r\n", local.max_message_size);
}

fn media_section(out: &mut String, section: &Section, mid: &str, is_idle: bool) {
    let Section { kind, protocol, format, rtpmap, .. } = section;
    let port = if is_idle { 9 } else { 0 };
    let _ = write!(
        out,
        "m={kind} {port} {protocol} {format}\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=inactive\r\n"
    );
    if let Some(rtpmap) = rtpmap.as_ref().filter(|_| is_idle) {
        let _ = write!(out, "a={rtpmap}\r\na=rtcp-mux\r\n");
    }
}

/// What the sections of a bundle have in common.
fn transport(out: &mut String, local: &Local<'_>) {
    let Local { credentials: Credentials { ufrag, pwd }, fingerprint, setup, .. } = local;
    let _ = write!(
        out,
        "a=ice-ufrag:{ufrag}\r\n\
         a=ice-pwd:{pwd}\r\n\
         a=ice-options:trickle\r\n\
         a=fingerprint:sha-256 {fingerprint}\r\n\
         a=setup:{setup}\r\n"
    );
}

fn candidates(out: &mut String, local: &Local<'_>) {
    for candidate in local.candidates {
        let _ = write!(out, "a={candidate}\r\n");
    }
}
