use std::{net::Ipv4Addr, sync::Arc};

use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::accept_async;

use super::*;

async fn listener() -> (TcpListener, Url) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let url =
        Url::parse(&format!("ws://{}/rtc/v1?x=1", listener.local_addr().expect("bound"))).expect("a URL");
    (listener, url)
}

async fn open_to(url: &Url) -> Result<WebSocket, ConnectError> {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", "Bearer token".parse().expect("a value"));
    connect(url, &headers, &ConnectOptions::default()).await
}

/// Takes one request and answers it with `bytes`; gives the request.
async fn answer_once(listener: TcpListener, bytes: &'static [u8]) -> String {
    let (mut stream, _) = listener.accept().await.expect("a client");
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut request).await.expect("readable"), 0);
    }
    stream.write_all(bytes).await.expect("writable");
    String::from_utf8(request).expect("text")
}

#[tokio::test]
async fn messages_go_both_ways_and_pings_are_answered() {
    let (listener, url) = listener().await;
    let server = async {
        let mut ws = accept_async(listener.accept().await.expect("a client").0).await.expect("an upgrade");
        // Early messages share a segment with the answer to the upgrade.
        ws.send(Message::Binary(Bytes::from_static(b"join"))).await.expect("open");
        ws.send(Message::Ping(Bytes::from_static(b"?"))).await.expect("open");
        ws.send(Message::text("ignored")).await.expect("open");
        let mut seen = Vec::new();
        while seen.len() < 2 {
            seen.push(ws.next().await.expect("open").expect("fine"));
        }
        ws.close(Some(CloseFrame { code: CloseCode::Away, reason: "restart".into() })).await.expect("open");
        while ws.next().await.is_some() {}
        seen
    };
    let client = async {
        let mut ws = open_to(&url).await.expect("connected");
        assert_eq!(ws.peer_addr().ip(), Ipv4Addr::LOCALHOST);
        assert_eq!(ws.recv().await.expect("a message"), Bytes::from_static(b"join"));
        ws.send(Bytes::from_static(b"offer")).expect("room");
        let end = ws.recv().await.expect_err("closed");
        (end, ws.recv().await.expect_err("still closed"), ws.ignored_text_messages())
    };
    let (mut seen, (end, again, texts)) = tokio::join!(server, client);
    seen.sort_by_key(Message::is_pong);
    assert_eq!(
        seen,
        [Message::Binary(Bytes::from_static(b"offer")), Message::Pong(Bytes::from_static(b"?"))]
    );
    let expected = Closed::ByPeer { code: 1001, reason: "restart".to_owned() };
    assert_eq!((end, again, texts), (expected.clone(), expected, 1));
}

#[tokio::test]
async fn a_refusal_comes_with_status_and_body() {
    let (listener, url) = listener().await;
    let reply = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 21\r\n\r\ninvalid API key: nope";
    let (request, result) = tokio::join!(answer_once(listener, reply), open_to(&url));
    assert!(request.starts_with("GET /rtc/v1?x=1 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("authorization: Bearer token\r\n"), "{request}");
    match result {
        Err(error @ ConnectError::Http { status: 401, .. }) => {
            assert_eq!(error.to_string(), "the server refused: HTTP 401, invalid API key: nope");
            assert!(!error.is_retryable());
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_answers_without_being_a_websocket_is_told() {
    for reply in
        [&b"SSH-2.0-x\r\n"[..], b"HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: x\r\n\r\n"]
    {
        let (listener, url) = listener().await;
        let (_, result) = tokio::join!(answer_once(listener, reply), open_to(&url));
        assert!(matches!(result, Err(ConnectError::Protocol { .. })), "{result:?}");
    }
}

#[tokio::test]
async fn a_closed_port_an_unknown_name_and_silence_are_different_errors() {
    let (closed, url) = listener().await;
    drop(closed);
    match open_to(&url).await {
        Err(error @ ConnectError::Tcp { .. }) => {
            assert!(error.is_retryable());
            assert!(error.to_string().contains("refused"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    let unknown = Url::parse("ws://no-such-host.invalid:1/").expect("a URL");
    assert!(matches!(open_to(&unknown).await, Err(ConnectError::Dns { .. })));

    let (silent, url) = listener().await;
    let options = ConnectOptions { timeout: Duration::from_millis(50), ..ConnectOptions::default() };
    match connect(&url, &HeaderMap::new(), &options).await {
        Err(ConnectError::Timeout { stage: Stage::Http, after, .. }) => assert_eq!(after, options.timeout),
        other => panic!("{other:?}"),
    }
    drop(silent);
}

#[tokio::test]
async fn a_connection_that_just_ends_is_lost_not_closed() {
    let (listener, url) = listener().await;
    let server = async {
        let ws = accept_async(listener.accept().await.expect("a client").0).await.expect("an upgrade");
        drop(ws);
    };
    let client = async { open_to(&url).await.expect("connected").recv().await };
    let ((), end) = tokio::join!(server, client);
    assert!(matches!(end, Err(Closed::Lost(_))), "{end:?}");
}

#[tokio::test]
async fn a_peer_that_does_not_read_fills_a_bounded_buffer_and_is_given_up() {
    let (listener, url) = listener().await;
    let accepted: Arc<tokio::sync::Mutex<Option<WebSocketStream<TcpStream>>>> = Arc::default();
    let keep = Arc::clone(&accepted);
    let server = async move {
        *keep.lock().await =
            Some(accept_async(listener.accept().await.expect("a client").0).await.expect("an upgrade"));
    };
    let ((), ws) = tokio::join!(server, open_to(&url));
    let mut ws = ws.expect("connected");
    // The kernel's own buffers take some megabytes first.
    let message = Bytes::from(vec![0; 256 * 1024]);
    let refused = (0..200).find_map(|_| ws.send(message.clone()).err());
    assert_eq!(refused, Some(SendError::Full));
    // Virtual time from here on: nothing else is going to happen.
    tokio::time::pause();
    assert_eq!(ws.recv().await, Err(Closed::Stalled(STALLED_AFTER)));
    assert!(accepted.lock().await.is_some());
}

#[tokio::test]
async fn closing_waits_until_the_peer_has_read_everything() {
    let (listener, url) = listener().await;
    let server = async {
        let mut ws = accept_async(listener.accept().await.expect("a client").0).await.expect("an upgrade");
        let mut seen = Vec::new();
        while let Some(Ok(message)) = ws.next().await {
            seen.push(message);
        }
        seen
    };
    let client = async {
        let mut ws = open_to(&url).await.expect("connected");
        ws.send(Bytes::from_static(b"leave")).expect("room");
        ws.close(Duration::from_secs(5)).await;
    };
    let (seen, ()) = tokio::join!(server, client);
    assert_eq!(seen[0], Message::Binary(Bytes::from_static(b"leave")));
    assert!(seen[1].is_close());
}

/// A TLS server with a certificate of its own making for `name`.
async fn tls_server(name: &str) -> (TcpListener, tokio_rustls::TlsAcceptor, Url, String) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("a certificate");
    let pem = made.cert.pem();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a configuration");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let url = Url::parse(&format!("wss://localhost:{}/", listener.local_addr().expect("bound").port()))
        .expect("a URL");
    (listener, tokio_rustls::TlsAcceptor::from(Arc::new(config)), url, pem)
}

#[tokio::test]
async fn tls_works_with_a_root_that_was_added() {
    let (listener, acceptor, url, pem) = tls_server("localhost").await;
    let server = async {
        let stream =
            acceptor.accept(listener.accept().await.expect("a client").0).await.expect("a handshake");
        let mut ws = accept_async(stream).await.expect("an upgrade");
        let message = ws.next().await.expect("open").expect("fine");
        ws.send(message).await.expect("open");
    };
    let client = async {
        let mut options = ConnectOptions::default();
        options.tls.add_roots_pem(pem.as_bytes()).expect("PEM");
        let mut ws = connect(&url, &HeaderMap::new(), &options).await.expect("connected");
        ws.send(Bytes::from_static(b"echo")).expect("room");
        ws.recv().await.expect("a message")
    };
    let ((), echo) = tokio::join!(server, client);
    assert_eq!(echo, Bytes::from_static(b"echo"));
}

#[tokio::test]
async fn tls_failures_say_what_to_do() {
    let (listener, acceptor, url, _) = tls_server("localhost").await;
    let server = async { acceptor.accept(listener.accept().await.expect("a client").0).await.is_err() };
    let (refused, result) = tokio::join!(server, open_to(&url));
    assert!(refused);
    match result {
        Err(error @ ConnectError::Tls { .. }) => {
            assert!(error.to_string().contains("add its root certificate"), "{error}")
        }
        other => panic!("{other:?}"),
    }

    let (listener, mut url) = self::listener().await;
    url.set_scheme("wss").expect("a scheme");
    let server = async {
        let (mut stream, _) = listener.accept().await.expect("a client");
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("writable");
    };
    let ((), result) = tokio::join!(server, open_to(&url));
    match result {
        Err(error @ ConnectError::Tls { .. }) => {
            assert!(error.to_string().contains("ws:// instead of wss://"), "{error}")
        }
        other => panic!("{other:?}"),
    }
}
