//! What is not a WebSocket.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tramline_server::{Server, ServerConfig};

/// An answer, headers included.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let line =
            self.head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
        line.split_once(':').map(|(_, value)| value.trim())
    }
}

async fn request(server: &Server, line: &str, headers: &str) -> Answer {
    let mut stream = TcpStream::connect(server.http_addrs()[0]).await.expect("it listens");
    let text = format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(text.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

#[tokio::test]
async fn health_is_ok_and_other_paths_are_not_found() {
    let server = Server::start(ServerConfig::ephemeral()).expect("it starts");
    let health = request(&server, "GET /", "").await;
    assert_eq!((health.status, health.body.as_str()), (200, "OK"));
    for path in ["/nowhere", "/settings/regions", "/rtc/v2", "/twirp"] {
        let answer = request(&server, &format!("GET {path}"), "").await;
        assert_eq!((answer.status, answer.body.trim()), (404, "404 page not found"), "{path}");
    }
    for path in ["/rtc", "/rtc/v1"] {
        let answer = request(&server, &format!("GET {path}"), "").await;
        assert_eq!((answer.status, answer.body.as_str()), (404, ""), "{path}");
    }
}

#[tokio::test]
async fn pages_of_any_origin_may_ask() {
    let server = Server::start(ServerConfig::ephemeral()).expect("it starts");
    let origin = "origin: https://page.example\r\n";
    let answer = request(&server, "GET /", origin).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://page.example"));
    assert_eq!(answer.header("access-control-expose-headers"), Some("*"));
    assert_eq!(answer.header("vary"), Some("Origin"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    let answer = request(&server, "GET /rtc/v1/validate", origin).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (401, Some("*")));

    let asked = "access-control-request-method: POST\r\naccess-control-request-headers: authorization\r\n";
    let answer = request(&server, "OPTIONS /rtc/v1", &format!("{origin}{asked}")).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://page.example"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
    assert_eq!(answer.header("access-control-allow-headers"), Some("authorization"));
    assert_eq!(answer.header("access-control-max-age"), Some("86400"));
}
