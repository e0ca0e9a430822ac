//! Reading a peer's session description.

use super::SdpError;
use crate::certificate::Fingerprint;
use crate::ice::Credentials;

/// A peer's description, reduced to what a data session needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Description {
    /// All media sections in order: an answer has the same ones.
    pub(crate) sections: Vec<Section>,
    /// Which of them carries the data channels.
    pub(crate) data_index: usize,
    /// Whether the peer's ICE is lite.
    pub(crate) is_lite: bool,
    pub(crate) credentials: Credentials,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) setup: Setup,
    /// SCTP port of the peer.
    pub(crate) sctp_port: u16,
    /// Longest message in bytes that the peer accepts; `None` when it says that there is no limit.
    pub(crate) max_message_size: Option<usize>,
    /// Candidate lines, without `a=`.
    pub(crate) candidates: Vec<String>,
}

/// One `m=` section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Section {
    /// `audio`, `video`, `application`.
    pub(crate) kind: String,
    pub(crate) port: u16,
    /// `UDP/TLS/RTP/SAVPF`, `UDP/DTLS/SCTP`.
    pub(crate) protocol: String,
    /// The first of the formats.
    pub(crate) format: String,
    pub(crate) mid: Option<String>,
    /// `a=rtpmap` of that format, without `a=`.
    pub(crate) rtpmap: Option<String>,
    rtcp_mux: bool,
    bundle_only: bool,
    attributes: Attributes,
}

/// Who starts the DTLS handshake (RFC 8842).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setup {
    Active,
    Passive,
    ActPass,
}

/// What may stand in a section or, for all of them, before the first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Attributes {
    is_lite: bool,
    ufrag: Option<String>,
    pwd: Option<String>,
    /// Hash function and value as written.
    fingerprints: Vec<(String, String)>,
    setup: Option<String>,
    sctp_port: Option<String>,
    max_message_size: Option<String>,
    candidates: Vec<String>,
}

impl Description {
    /// Reads a description with exactly one data channel section among any others.
    pub(crate) fn parse(sdp: &str) -> Result<Self, SdpError> {
        let (session, sections) = split(sdp)?;
        let data_index = sections.iter().position(Section::carries_data).ok_or(SdpError::NoDataChannel)?;
        let own = &sections[data_index].attributes;

        let credentials = Credentials {
            ufrag: ice_word("ice-ufrag", own.ufrag.as_ref().or(session.ufrag.as_ref()), 4)?,
            pwd: ice_word("ice-pwd", own.pwd.as_ref().or(session.pwd.as_ref()), 22)?,
        };
        let fingerprints =
            if own.fingerprints.is_empty() { &session.fingerprints } else { &own.fingerprints };
        let setup = match own.setup.as_deref().or(session.setup.as_deref()) {
            Some("active") => Setup::Active,
            Some("passive") => Setup::Passive,
            Some("actpass") => Setup::ActPass,
            Some(_) => {
                return Err(SdpError::BadValue {
                    attribute: "setup",
                    expected: "active, passive or actpass",
                });
            }
            None => return Err(SdpError::Missing("setup")),
        };
        let sctp_port = match own.sctp_port.as_deref() {
            None => DEFAULT_SCTP_PORT,
            Some(text) => match text.parse() {
                Ok(port) if port != 0 => port,
                _ => return Err(SdpError::BadValue { attribute: "sctp-port", expected: "1 to 65535" }),
            },
        };
        // RFC 8841 section 6: 0 is no limit, absent is 64 KiB.
        let max_message_size = match own.max_message_size.as_deref() {
            None => Some(65_536),
            Some(text) => match text.parse::<u64>() {
                Ok(0) => None,
                Ok(size) => Some(usize::try_from(size).unwrap_or(usize::MAX)),
                Err(_) => {
                    return Err(SdpError::BadValue {
                        attribute: "max-message-size",
                        expected: "a number of bytes",
                    });
                }
            },
        };
        let fingerprint = fingerprint(fingerprints)?;
        let candidates = own.candidates.clone();
        Ok(Self {
            sections,
            data_index,
            is_lite: session.is_lite,
            credentials,
            fingerprint,
            setup,
            sctp_port,
            max_message_size,
            candidates,
        })
    }

    /// The sections that our answer takes into the bundle, by index. The first of them speaks for the transport of all.
    pub(crate) fn bundled(&self) -> impl Iterator<Item = usize> {
        (0..self.sections.len()).filter(|&index| index == self.data_index || self.sections[index].can_idle())
    }
}

impl Section {
    /// Media id; a section without one is known by its index.
    pub(crate) fn mid_or(&self, index: usize) -> String {
        self.mid.clone().unwrap_or_else(|| index.to_string())
    }

    /// Media that can be taken into the bundle without being used.
    fn can_idle(&self) -> bool {
        self.is_offered() && self.protocol.ends_with("RTP/SAVPF") && self.rtcp_mux && self.rtpmap.is_some()
    }

    /// Port 0 with bundle-only (RFC 9143 section 6) is an offer all the same.
    fn is_offered(&self) -> bool {
        self.port != 0 || self.bundle_only
    }

    fn carries_data(&self) -> bool {
        self.kind == "application"
            && self.is_offered()
            && self.protocol.ends_with("DTLS/SCTP")
            && self.format == "webrtc-datachannel"
    }

    fn parse(value: &str, line: usize) -> Result<Self, SdpError> {
        let malformed = SdpError::Malformed { line, expected: "m=<media> <port> <protocol> <format> …" };
        let mut words = value.split_ascii_whitespace();
        let (Some(kind), Some(port), Some(protocol), Some(format)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(malformed);
        };
        // A number of ports may follow the port (RFC 8866 section 5.14).
        let Ok(port) = port.split('/').next().unwrap_or_default().parse() else { return Err(malformed) };
        Ok(Self {
            kind: kind.to_owned(),
            port,
            protocol: protocol.to_owned(),
            format: format.to_owned(),
            ..Self::default()
        })
    }
}

/// Session-level attributes and media sections.
fn split(sdp: &str) -> Result<(Attributes, Vec<Section>), SdpError> {
    if sdp.len() > MAX_LEN {
        return Err(SdpError::TooLong { size: sdp.len(), limit: MAX_LEN });
    }
    let mut session = Attributes::default();
    let mut sections: Vec<Section> = Vec::new();
    let mut lines = 0;
    for (index, text) in sdp.lines().enumerate() {
        let line = index + 1;
        let text = text.trim_end();
        if text.is_empty() {
            continue;
        }
        lines += 1;
        if text.chars().any(char::is_control) {
            return Err(SdpError::Malformed { line, expected: "no control characters" });
        }
        let Some((kind, value)) = text.split_once('=').filter(|(kind, _)| kind.len() == 1) else {
            return Err(SdpError::Malformed { line, expected: "<letter>=<value>" });
        };
        if lines == 1 && text != "v=0" {
            return Err(SdpError::Malformed { line, expected: "v=0" });
        }
        match kind {
            "m" if sections.len() == MAX_SECTIONS => return Err(SdpError::TooManySections(MAX_SECTIONS)),
            "m" => sections.push(Section::parse(value, line)?),
            "a" => attribute(&mut session, sections.last_mut(), value, line)?,
            _ => {}
        }
    }
    Ok((session, sections))
}

fn attribute(
    session: &mut Attributes,
    mut section: Option<&mut Section>,
    text: &str,
    line: usize,
) -> Result<(), SdpError> {
    let (name, value) = text.split_once(':').unwrap_or((text, ""));
    let value = value.trim();
    if let Some(section) = section.as_deref_mut() {
        match name {
            "mid" => {
                // RFC 5888: a token; it comes back in our answer.
                if value.is_empty() || value.len() > MAX_MID_LEN || value.contains(char::is_whitespace) {
                    return Err(SdpError::Malformed {
                        line,
                        expected: "a=mid with a token of up to 64 bytes",
                    });
                }
                section.mid = Some(value.to_owned());
            }
            "bundle-only" => section.bundle_only = true,
            "rtcp-mux" => section.rtcp_mux = true,
            "rtpmap" if value.split(' ').next() == Some(&section.format) => {
                section.rtpmap = Some(text.to_owned());
            }
            _ => {}
        }
    }
    let attributes = section.map_or(session, |section| &mut section.attributes);
    match name {
        "ice-lite" => attributes.is_lite = true,
        "ice-ufrag" => attributes.ufrag = Some(value.to_owned()),
        "ice-pwd" => attributes.pwd = Some(value.to_owned()),
        "setup" => attributes.setup = Some(value.to_owned()),
        "sctp-port" => attributes.sctp_port = Some(value.to_owned()),
        "max-message-size" => attributes.max_message_size = Some(value.to_owned()),
        "fingerprint" => {
            let Some((hash, digits)) = value.split_once(' ') else {
                return Err(SdpError::Malformed { line, expected: "a=fingerprint:<hash function> <hex>" });
            };
            if attributes.fingerprints.len() < MAX_FINGERPRINTS {
                attributes.fingerprints.push((hash.to_ascii_lowercase(), digits.trim().to_owned()));
            }
        }
        "candidate" if attributes.candidates.len() < MAX_CANDIDATES => {
            attributes.candidates.push(text.to_owned())
        }
        _ => {}
    }
    Ok(())
}

/// Certificates may be announced under several hash functions (RFC 8122); one good one is enough.
fn fingerprint(candidates: &[(String, String)]) -> Result<Fingerprint, SdpError> {
    match candidates.iter().find(|(hash, _)| hash == "sha-256") {
        Some((_, digits)) => Fingerprint::parse(digits).ok_or(SdpError::BadValue {
            attribute: "fingerprint",
            expected: "32 pairs of hexadecimal digits with colons between them",
        }),
        None => match candidates.first() {
            Some((hash, _)) => Err(SdpError::FingerprintHash(hash.clone())),
            None => Err(SdpError::Missing("fingerprint")),
        },
    }
}

/// RFC 8839 section 5.4: 4 to 256 characters for the fragment, 22 to 256 for the password.
fn ice_word(attribute: &'static str, word: Option<&String>, min: usize) -> Result<String, SdpError> {
    let word = word.ok_or(SdpError::Missing(attribute))?;
    // Some implementations use more than the letters, digits, + and / of the RFC; a colon would end the name early.
    let fits = (min..=256).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    if fits {
        Ok(word.clone())
    } else {
        let expected = if min == 4 { "4 to 256 ICE characters" } else { "22 to 256 ICE characters" };
        Err(SdpError::BadValue { attribute, expected })
    }
}

/// Official offers with six media sections have about 30 KiB.
const MAX_LEN: usize = 256 * 1024;
const MAX_SECTIONS: usize = 256;
const MAX_FINGERPRINTS: usize = 8;
const MAX_CANDIDATES: usize = 64;
const MAX_MID_LEN: usize = 64;
const DEFAULT_SCTP_PORT: u16 = 5000;
