//! Who is let in, and what the others are told.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, header};
use tramline_net::connect::{ConnectError, ConnectOptions};
use tramline_net::http::get;
use tramline_server::auth::{AccessToken, VideoGrants};
use tramline_server::{Server, ServerConfig};

use crate::client::{encoded, join_request, open, token};

struct Case {
    what: &'static str,
    authorization: Option<String>,
    query: String,
    status: u16,
    body: &'static str,
}

/// The same for both paths; `request` is a good one.
fn cases(request: &str) -> Vec<Case> {
    let good = token("me", VideoGrants::join("yard"));
    let mut other_room = VideoGrants::join("yard");
    other_room.room_join = false;
    let signed = |key: &str, secret: &str| AccessToken::new(key, secret).with_identity("me");
    let jwt = |token: AccessToken| token.to_jwt().expect("a token");
    let mut cases = Vec::new();
    let mut case = |what, token: Option<&str>, query: &str, status, body| {
        cases.push(Case::new(what, token.map(|token| format!("Bearer {token}")), query, status, body));
    };
    case("a good token", Some(&good), request, 200, "success");
    let both = format!("{request}&access_token={good}");
    case("a good token in the query", None, &both, 200, "success");
    case("no token", None, request, 401, "no permissions to access the room");
    let plain = jwt(signed("devkey", "secret"));
    case("no video grant", Some(&plain), request, 401, "no permissions to access the room");
    case("rubbish", Some("rubbish"), request, 401, "invalid authorization token");
    let foreign = jwt(signed("devkey", "another").with_grants(VideoGrants::join("yard")));
    let signature = "invalid token, error: token signature is invalid: signature is invalid";
    case("another secret", Some(&foreign), request, 401, signature);
    case("another secret, header over query", Some(&foreign), &both, 401, signature);
    let unknown = jwt(signed("nobody", "secret").with_grants(VideoGrants::join("yard")));
    case("an unknown key", Some(&unknown), request, 401, "invalid API key: nobody");
    let no_join = jwt(signed("devkey", "secret").with_grants(other_room));
    case("no roomJoin", Some(&no_join), request, 401, "permissions denied");
    let long = "x".repeat(257);
    let long_identity = token(&long, VideoGrants::join("yard"));
    let text = "participant identity length exceeds limits: max length 256";
    case("a long identity", Some(&long_identity), request, 400, text);
    let long_room = token("me", VideoGrants::join(long));
    case("a long room", Some(&long_room), request, 400, "room name length exceeds limits: max length 256");
    let basic = Some("Basic bWU6c2VjcmV0".to_owned());
    let text = "invalid authorization header. Must start with Bearer ";
    cases.push(Case::new("a Basic header", basic, &both, 401, text));
    cases
}

/// What only the newer path can get wrong, and attributes as they stand in its request.
fn join_request_cases() -> Vec<Case> {
    let wrong = format!("join_request={}", URL_SAFE_NO_PAD.encode([0xff; 4]));
    let mut ambitious = join_request(None, 18);
    ambitious.participant_attributes.insert("role".to_owned(), "boss".to_owned());
    let ambitious = format!("join_request={}", encoded(&ambitious));
    let bearer = format!("Bearer {}", token("me", VideoGrants::join("yard")));
    let case = |what, query: &str, status, body| Case::new(what, Some(bearer.clone()), query, status, body);
    vec![
        case("no join request", "", 400, "join_request is required"),
        case("not base64", "join_request=!", 400, "cannot base64 decode wrapped join request"),
        case("not a message", &wrong, 400, "cannot unmarshal wrapped join request"),
        case("own attributes", &ambitious, 401, "no permissions to access the room"),
    ]
}

impl Case {
    fn new(
        what: &'static str,
        authorization: Option<String>,
        query: &str,
        status: u16,
        body: &'static str,
    ) -> Self {
        Self { what, authorization, query: query.to_owned(), status, body }
    }
}

fn headers(case: &Case) -> HeaderMap {
    let value = case.authorization.as_ref().map(|value| HeaderValue::try_from(value).expect("a header"));
    value.into_iter().map(|value| (header::AUTHORIZATION, value)).collect()
}

#[tokio::test]
async fn validation_and_upgrade_give_the_same_answers() {
    let mut newer = cases(&format!("join_request={}", encoded(&join_request(None, 18))));
    newer.extend(join_request_cases());
    all_as_expected("/rtc/v1", &newer).await;
}

#[tokio::test]
async fn the_older_path_lets_the_same_in() {
    let mut older = cases("protocol=16&sdk=js");
    let attributes = format!("attributes={}", URL_SAFE_NO_PAD.encode(r#"{"role":"boss"}"#));
    let bearer = format!("Bearer {}", token("me", VideoGrants::join("yard")));
    let text = "no permissions to access the room";
    older.push(Case::new("own attributes", Some(bearer.clone()), &attributes, 401, text));
    older.push(Case::new("no parameters at all", Some(bearer), "", 200, "success"));
    // A join request counts there as well.
    let wrong = Some("not base64");
    older.extend(join_request_cases().into_iter().filter(|case| Some(case.what) == wrong));
    all_as_expected("/rtc", &older).await;
}

async fn all_as_expected(path: &str, cases: &[Case]) {
    let server = Server::start(ServerConfig::ephemeral()).expect("it starts");
    let http = server.url().replacen("ws", "http", 1);
    for case in cases {
        let url = format!("{http}{path}/validate?{}", case.query).parse().expect("a URL");
        let response = get(&url, &headers(case), &ConnectOptions::default()).await.expect("an answer");
        assert_eq!(
            (response.status, body(&response)),
            (case.status, case.body.trim().to_owned()),
            "{}",
            case.what
        );

        let url = format!("{}{path}?{}", server.url(), case.query).parse().expect("a URL");
        let upgrade = tramline_net::ws::connect(&url, &headers(case), &ConnectOptions::default()).await;
        match upgrade {
            Ok(_) => assert_eq!(case.status, 200, "{}", case.what),
            Err(ConnectError::Http { status, body }) => {
                assert_eq!((status, body.as_str()), (case.status, case.body.trim()), "{}", case.what);
            }
            Err(other) => panic!("{}: {other}", case.what),
        }
        if let Some(token) = case.authorization.as_deref().and_then(|value| value.strip_prefix("Bearer ey")) {
            assert!(!body(&response).contains(token), "{}: the token is in the answer", case.what);
        }
    }
    let refused = cases.iter().filter(|case| case.status != 200).count() as u64;
    assert_eq!(server.stats().expect("it runs").refused_joins, 2 * refused);
}

#[tokio::test]
async fn an_expired_token_is_refused_and_one_that_just_expired_is_not() {
    let server = Server::start(ServerConfig::ephemeral()).expect("it starts");
    // Valid for no time at all: good for the minute of leeway.
    let token = AccessToken::new("devkey", "secret")
        .with_identity("me")
        .with_grants(VideoGrants::join("yard"))
        .with_validity(Duration::ZERO);
    open(&server, &token.to_jwt().expect("a token"), &join_request(None, 18))
        .await
        .expect("within the leeway");
}

#[tokio::test]
async fn a_full_room_takes_nobody_but_who_is_in_already() {
    let mut config = ServerConfig::ephemeral();
    config.limits.participants_per_room = 1;
    let server = Server::start(config).expect("it starts");
    let request = join_request(None, 18);
    let first = token("first", VideoGrants::join("yard"));
    let _in = open(&server, &first, &request).await.expect("room for one");
    let refused = open(&server, &token("second", VideoGrants::join("yard")), &request).await;
    let Err(ConnectError::Http { status: 500, body }) = refused else { panic!("{refused:?}") };
    assert_eq!(body, "connection closed by media");
    open(&server, &first, &request).await.expect("it replaces itself");
    open(&server, &token("second", VideoGrants::join("garden")), &request).await.expect("another room");
}

fn body(response: &tramline_net::http::Response) -> String {
    response.body.clone()
}
