//! From a request to the right to join, or to the status that says why not.

use std::collections::BTreeMap;
use std::io::Read as _;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flate2::read::GzDecoder;
use http::request::Parts;
use http::{StatusCode, header};
use livekit_protocol as proto;
use prost::Message as _;
use tramline_core::room::{Grants, Join, Layout, MAX_ATTRIBUTES_LEN, MAX_METADATA_LEN};

use super::parameters;
use crate::auth::{Claims, TokenVerifier};

/// Longest identity and room name, in bytes.
const MAX_NAME_LEN: usize = 256;

/// Longest join request after inflation, as LiveKit's server.
const MAX_JOIN_REQUEST_LEN: u64 = 1 << 20;

/// The URL alphabet, with or without padding: LiveKit's server insists on it, not all clients have to.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Somebody who may come in.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) room: String,
    pub(crate) join: Join,
    pub(crate) claims: Box<Claims>,
    /// It wants its old session back.
    pub(crate) is_reconnect: bool,
}

/// Why somebody may not, as an HTTP answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
}

impl Refused {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// What LiveKit's server answers when `max_participants` are there.
    pub(crate) fn full() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "connection closed by media")
    }
}

/// Checks a request to `/rtc/v1` or its validate path: the client wants a single connection and says everything in one message.
pub(super) fn check_v1(verifier: &TokenVerifier, parts: &Parts) -> Result<Admission, Refused> {
    let query = Query::of(parts);
    let (claims, room) = check_token(verifier, parts, &query)?;
    let request = join_request(query.join_request.as_deref())?;
    let asked = Asked {
        layout: Layout::Single,
        metadata: request.metadata,
        attributes: request.participant_attributes.into_iter().collect(),
        client: request.client_info.unwrap_or_default(),
        offer: request.publisher_offer,
        is_reconnect: request.reconnect,
    };
    admit(claims, room, asked)
}

/// Checks a request to `/rtc` or its validate path: the client wants two connections, and what it says stands in the query. With a
/// join request it wants one all the same: LiveKit's Go client asks for that here.
pub(super) fn check_v0(verifier: &TokenVerifier, parts: &Parts) -> Result<Admission, Refused> {
    let query = Query::of(parts);
    if query.join_request.is_some() {
        return check_v1(verifier, parts);
    }
    let (claims, room) = check_token(verifier, parts, &query)?;
    admit(claims, room, parameters::read(parts))
}

/// What a client brings besides its token.
#[derive(Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) layout: Layout,
    pub(super) metadata: String,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) client: proto::ClientInfo,
    pub(super) offer: Option<proto::SessionDescription>,
    pub(super) is_reconnect: bool,
}

fn admit(claims: Claims, room: String, asked: Asked) -> Result<Admission, Refused> {
    let grants = grants(&claims);
    let brings_own = !asked.attributes.is_empty() || !asked.metadata.is_empty();
    if brings_own && !grants.can_update_own_metadata {
        return Err(Refused::unauthorized("no permissions to access the room"));
    }
    let mut attributes: BTreeMap<String, String> = claims.attributes.clone();
    attributes.extend(asked.attributes);
    let metadata = if asked.metadata.is_empty() { claims.metadata.clone() } else { asked.metadata };
    let attributes_len: usize = attributes.iter().map(|(key, value)| key.len() + value.len()).sum();
    if metadata.len() > MAX_METADATA_LEN || attributes_len > MAX_ATTRIBUTES_LEN {
        return Err(Refused::bad("metadata is limited to 512 KiB and attributes to 64 KiB"));
    }
    let join = Join {
        identity: claims.identity().to_owned(),
        name: claims.name.clone(),
        metadata,
        attributes,
        grants,
        kind: kind(&claims.kind) as i32,
        kind_details: Vec::new(),
        client: asked.client,
        layout: asked.layout,
        offer: asked.offer,
    };
    Ok(Admission { room, join, claims: Box::new(claims), is_reconnect: asked.is_reconnect })
}

/// The claims of the request's token and the room that it opens.
fn check_token(verifier: &TokenVerifier, parts: &Parts, query: &Query) -> Result<(Claims, String), Refused> {
    let token = match parts.headers.get(header::AUTHORIZATION) {
        // The header wins, also when it is of no use and the query's token would be good.
        Some(value) => match value.to_str().ok().and_then(|value| value.strip_prefix("Bearer ")) {
            Some(token) => Some(token.to_owned()),
            None => {
                return Err(Refused::unauthorized("invalid authorization header. Must start with Bearer "));
            }
        },
        None => query.access_token.clone().filter(|token| !token.is_empty()),
    };
    let Some(token) = token else {
        return Err(Refused::unauthorized("no permissions to access the room"));
    };
    let now = tramline_net::clock::unix_millis() / 1000;
    let claims =
        verifier.verify(&token, now).map_err(|refusal| Refused::unauthorized(refusal.to_string()))?;
    let Some(video) = &claims.video else {
        return Err(Refused::unauthorized("no permissions to access the room"));
    };
    if !video.room_join {
        return Err(Refused::unauthorized("permissions denied"));
    }
    if claims.identity().is_empty() {
        return Err(Refused::bad("identity cannot be empty"));
    }
    if claims.identity().len() > MAX_NAME_LEN {
        return Err(Refused::bad("participant identity length exceeds limits: max length 256"));
    }
    let room =
        if video.room.is_empty() { query.room.clone().unwrap_or_default() } else { video.room.clone() };
    if room.is_empty() {
        return Err(Refused::bad("no room name"));
    }
    if room.len() > MAX_NAME_LEN {
        return Err(Refused::bad("room name length exceeds limits: max length 256"));
    }
    Ok((claims, room))
}

#[derive(Debug, Default)]
struct Query {
    access_token: Option<String>,
    join_request: Option<String>,
    room: Option<String>,
}

impl Query {
    fn of(parts: &Parts) -> Self {
        let mut query = Self::default();
        for (key, value) in url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            let field = match &*key {
                "access_token" => &mut query.access_token,
                "join_request" => &mut query.join_request,
                "room" => &mut query.room,
                _ => continue,
            };
            // Of several, the first counts.
            field.get_or_insert_with(|| value.into_owned());
        }
        query
    }
}

fn join_request(value: Option<&str>) -> Result<proto::JoinRequest, Refused> {
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Err(Refused::bad("join_request is required"));
    };
    let wrapped =
        BASE64.decode(value).map_err(|_| Refused::bad("cannot base64 decode wrapped join request"))?;
    let wrapped = proto::WrappedJoinRequest::decode(&*wrapped)
        .map_err(|_| Refused::bad("cannot unmarshal wrapped join request"))?;
    let request = match proto::wrapped_join_request::Compression::try_from(wrapped.compression) {
        Ok(proto::wrapped_join_request::Compression::Gzip) => inflate(&wrapped.join_request)
            .ok_or_else(|| Refused::bad("cannot read decompressed join request"))?,
        Ok(proto::wrapped_join_request::Compression::None) | Err(_) => wrapped.join_request,
    };
    proto::JoinRequest::decode(&*request).map_err(|_| Refused::bad("cannot unmarshal join request"))
}

fn inflate(compressed: &[u8]) -> Option<Vec<u8>> {
    let mut inflated = Vec::new();
    let read = GzDecoder::new(compressed).take(MAX_JOIN_REQUEST_LEN + 1).read_to_end(&mut inflated).ok()?;
    (read as u64 <= MAX_JOIN_REQUEST_LEN).then_some(inflated)
}

fn grants(claims: &Claims) -> Grants {
    let mut grants = Grants::default();
    if let Some(video) = &claims.video {
        grants.can_subscribe = video.may_subscribe();
        grants.can_publish = video.may_publish();
        grants.can_publish_data = video.may_publish_data();
        grants.can_update_own_metadata = video.may_update_own_metadata();
        grants.hidden = video.hidden;
        grants.recorder = video.recorder;
        grants.can_subscribe_metrics = video.can_subscribe_metrics.unwrap_or(false);
    }
    grants
}

fn kind(name: &str) -> proto::participant_info::Kind {
    use proto::participant_info::Kind;
    Kind::from_str_name(&name.to_ascii_uppercase()).unwrap_or(Kind::Standard)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn wrapped(compression: i32, join_request: Vec<u8>) -> Vec<u8> {
        proto::WrappedJoinRequest { compression, join_request }.encode_to_vec()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("into memory")
    }

    fn request() -> proto::JoinRequest {
        let client_info = Some(proto::ClientInfo { protocol: 18, ..Default::default() });
        proto::JoinRequest { client_info, ..Default::default() }
    }

    #[test]
    fn a_join_request_is_read_padded_unpadded_plain_and_gzipped() {
        for message in [wrapped(0, request().encode_to_vec()), wrapped(1, gzip(&request().encode_to_vec()))] {
            let padded = base64::engine::general_purpose::URL_SAFE.encode(&message);
            let unpadded = padded.trim_end_matches('=');
            assert_eq!(join_request(Some(&padded)), Ok(request()));
            assert_eq!(join_request(Some(unpadded)), Ok(request()));
        }
    }

    #[test]
    fn each_way_to_get_it_wrong_has_its_text() {
        let text = |value: Option<&str>| join_request(value).expect_err("wrong").message;
        let encode = |bytes: Vec<u8>| base64::engine::general_purpose::URL_SAFE.encode(bytes);
        assert_eq!(text(None), "join_request is required");
        assert_eq!(text(Some("")), "join_request is required");
        assert_eq!(text(Some("!")), "cannot base64 decode wrapped join request");
        assert_eq!(text(Some(&encode(vec![0xff; 4]))), "cannot unmarshal wrapped join request");
        assert_eq!(text(Some(&encode(wrapped(0, vec![0xff; 4])))), "cannot unmarshal join request");
        assert_eq!(text(Some(&encode(wrapped(1, vec![1, 2, 3])))), "cannot read decompressed join request");
    }

    #[test]
    fn a_bomb_is_not_inflated() {
        let bomb = gzip(&vec![0; 64 << 20]);
        assert!(bomb.len() < 1 << 17);
        assert_eq!(inflate(&bomb), None);
        let most = vec![0; MAX_JOIN_REQUEST_LEN as usize];
        assert_eq!(inflate(&gzip(&most)), Some(most));
    }
}
