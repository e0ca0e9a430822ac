//! The request by which a client joins: LiveKit's v1 signalling with the first offer inside, or v0 with plain parameters.

use std::io::Write as _;

use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use livekit_protocol as proto;
use prost::Message as _;
use tramline_core::{
    data_stream::{CAPABILITY_DEFLATE, INLINE_SINCE},
    session::PROTOCOL_VERSION,
};
use url::Url;

use crate::error::{ConnectError, SignalError};

/// What is asked of the server, and as whom.
#[derive(Debug)]
pub(crate) struct JoinRequest {
    /// Where the WebSocket is opened.
    pub(crate) url: Url,
    /// A plain GET there tells why the WebSocket was refused.
    pub(crate) validate_url: Url,
    pub(crate) headers: HeaderMap,
}

impl JoinRequest {
    /// For one connection, of which this is the offer (v1).
    pub(crate) fn single(base: &Url, token: &str, offer: String) -> Result<Self, ConnectError> {
        Self::new(base, token, "rtc/v1", &format!("join_request={}", encode(&message(offer))))
    }

    /// For two connections, which are offered later (v0).
    pub(crate) fn dual(base: &Url, token: &str) -> Result<Self, ConnectError> {
        let proto::ClientInfo { version, protocol, os, other_sdks, client_protocol, .. } = client_info();
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("sdk", "rust")
            .append_pair("version", &version)
            .append_pair("os", &os)
            .append_pair("protocol", &protocol.to_string())
            .append_pair("client_protocol", &client_protocol.to_string())
            .append_pair("auto_subscribe", "0")
            .append_pair("adaptive_stream", "0")
            .append_pair("other_sdks", &other_sdks)
            .finish();
        Self::new(base, token, "rtc", &query)
    }

    fn new(base: &Url, token: &str, path: &str, query: &str) -> Result<Self, ConnectError> {
        let mut authorization =
            HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| ConnectError::InvalidToken)?;
        authorization.set_sensitive(true);
        Ok(Self {
            url: with_path(base, path, query),
            validate_url: with_path(base, &format!("{path}/validate"), query),
            headers: HeaderMap::from_iter([(AUTHORIZATION, authorization)]),
        })
    }
}

/// Reads the URL that an application gives.
pub(crate) fn parse_url(url: &str) -> Result<Url, ConnectError> {
    Url::parse(url).map_err(|error| {
        let url = url.split(['?', '#']).next().unwrap_or_default().to_owned();
        SignalError::Url { url, problem: error.to_string() }.into()
    })
}

/// The server may live below a path of its own, which stays in front.
fn with_path(base: &Url, path: &str, query: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url.set_query(Some(query));
    url.set_fragment(None);
    url
}

fn message(offer: String) -> proto::JoinRequest {
    proto::JoinRequest {
        client_info: Some(client_info()),
        // Media would need media sections; data tracks are subscribed one by one.
        connection_settings: Some(proto::ConnectionSettings { auto_subscribe: false, ..Default::default() }),
        publisher_offer: Some(proto::SessionDescription {
            r#type: "offer".to_owned(),
            sdp: offer,
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn client_info() -> proto::ClientInfo {
    let version = env!("CARGO_PKG_VERSION");
    proto::ClientInfo {
        sdk: proto::client_info::Sdk::Rust as i32,
        version: version.to_owned(),
        protocol: PROTOCOL_VERSION,
        os: std::env::consts::OS.to_owned(),
        other_sdks: format!("tramline:{version}"),
        client_protocol: INLINE_SINCE,
        capabilities: vec![CAPABILITY_DEFLATE],
        ..Default::default()
    }
}

/// Base64 with padding: LiveKit's server takes no other. Compressed only where that helps, since the whole goes into a URL.
fn encode(request: &proto::JoinRequest) -> String {
    use proto::wrapped_join_request::Compression as Wrapping;
    let plain = request.encode_to_vec();
    let (compression, join_request) = match gzip(&plain) {
        Some(zipped) if zipped.len() < plain.len() => (Wrapping::Gzip, zipped),
        _ => (Wrapping::None, plain),
    };
    let wrapped = proto::WrappedJoinRequest { compression: compression as i32, join_request };
    URL_SAFE.encode(wrapped.encode_to_vec())
}

fn gzip(plain: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn decode(url: &Url) -> proto::JoinRequest {
        let query =
            url.query().and_then(|query| query.strip_prefix("join_request=")).expect("the one parameter");
        let bytes = URL_SAFE.decode(query).expect("padded base64url");
        let wrapped = proto::WrappedJoinRequest::decode(bytes.as_slice()).expect("a message");
        let mut plain = Vec::new();
        match wrapped.compression {
            0 => plain = wrapped.join_request,
            _ => {
                flate2::read::GzDecoder::new(wrapped.join_request.as_slice())
                    .read_to_end(&mut plain)
                    .expect("gzip");
            }
        }
        proto::JoinRequest::decode(plain.as_slice()).expect("a message")
    }

    #[test]
    fn the_request_holds_the_offer_and_announces_only_what_works() {
        let base = parse_url("wss://host:7880/sfu/?x=1#y").expect("a URL");
        for offer in ["v=0", &"a=candidate:1 1 udp 1 10.0.0.1 1 typ host\r\n".repeat(40)] {
            let request = JoinRequest::single(&base, "a.b.c", offer.to_owned()).expect("a token");
            assert_eq!(request.url.path(), "/sfu/rtc/v1");
            assert_eq!(request.validate_url.path(), "/sfu/rtc/v1/validate");
            assert_eq!(request.headers[AUTHORIZATION], "Bearer a.b.c");
            assert!(
                request.url.query().is_some_and(|query| query.len() < 1_000),
                "compressed where it helps"
            );
            let join = decode(&request.url);
            assert_eq!(
                join.publisher_offer.map(|offer| (offer.r#type, offer.sdp)),
                Some(("offer".to_owned(), offer.to_owned()))
            );
            let info = join.client_info.expect("client info");
            assert_eq!((info.protocol, info.client_protocol, info.capabilities.len()), (18, 2, 1));
        }
    }

    #[test]
    fn the_older_request_says_the_same_in_parameters() {
        let base = parse_url("ws://host:7880/sfu").expect("a URL");
        let request = JoinRequest::dual(&base, "a.b.c").expect("a token");
        assert_eq!(request.url.path(), "/sfu/rtc");
        assert_eq!(request.validate_url.path(), "/sfu/rtc/validate");
        assert_eq!(request.headers[AUTHORIZATION], "Bearer a.b.c");
        let query: std::collections::BTreeMap<_, _> = request.url.query_pairs().into_owned().collect();
        for (key, value) in
            [("sdk", "rust"), ("protocol", "18"), ("client_protocol", "2"), ("auto_subscribe", "0")]
        {
            assert_eq!(query[key], value, "{key}");
        }
        assert_eq!(query["other_sdks"], format!("tramline:{}", query["version"]));
        assert!(!query.contains_key("access_token"), "the token travels in the header alone");
    }

    #[test]
    fn impossible_urls_and_tokens_are_the_callers_mistake() {
        let error = parse_url("no url?access_token=secret").expect_err("no scheme");
        assert!(!error.to_string().contains("secret") && !error.is_retryable(), "{error}");
        let base = parse_url("ws://h").expect("a URL");
        assert!(matches!(JoinRequest::single(&base, "a\nb", String::new()), Err(ConnectError::InvalidToken)));
    }
}
