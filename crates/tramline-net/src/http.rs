//! The little of HTTP/1.1 that signalling needs: a request without a body and its answer.

use std::{fmt::Write as _, io};

use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use url::Url;

use crate::connect::{ConnectError, ConnectOptions, Stage, Target, open, within};

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Body as text, trimmed; at most 4 KiB, what is longer is cut.
    pub body: String,
}

/// One GET. The connection is closed afterwards.
///
/// # Errors
/// There was no answer; an answer with an error status is an answer.
pub async fn get(url: &Url, headers: &HeaderMap, options: &ConnectOptions) -> Result<Response, ConnectError> {
    let target = Target::new(url)?;
    within(&target, options.timeout, async |tracker| {
        let mut stream = open(&target, &options.tls, tracker).await?;
        tracker.enter(Stage::Http);
        let request = request(&target, headers, &[("connection", "close")]);
        let (head, mut rest) = exchange(&mut stream, &target, &request).await?;
        let body = read_body(&mut stream, &head, &mut rest).await;
        Ok(Response { status: head.status, body })
    })
    .await
}

/// The bytes of a GET request.
pub(crate) fn request(target: &Target, headers: &HeaderMap, more: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("GET {} HTTP/1.1\r\nhost: {}\r\n", target.path, target.authority());
    for (name, value) in more {
        // Writing to a String cannot fail.
        let _ = write!(text, "{name}: {value}\r\n");
    }
    let mut bytes = text.into_bytes();
    for (name, value) in headers {
        // Header types refuse line breaks, so nothing can be smuggled in here.
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// Status line and headers of an answer.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
}

impl Head {
    /// The first value of a header, whose name is given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// `None` when it is not an HTTP/1 answer.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
        let headers = lines
            .filter(|line| !line.is_empty())
            .map(|line| {
                line.split_once(':')
                    .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            })
            .collect::<Option<_>>()?;
        Some(Self { status, headers })
    }
}

/// Writes a request and reads the head of the answer; also what came behind the head.
pub(crate) async fn exchange<S>(
    stream: &mut S,
    target: &Target,
    request: &[u8],
) -> Result<(Head, Vec<u8>), ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let host = || target.host.to_string();
    let broken = |source| ConnectError::Broken { host: host(), stage: Stage::Http, source };
    let odd = |problem: &str| ConnectError::Protocol { host: host(), problem: problem.to_owned() };
    stream.write_all(request).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut bytes = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut bytes).await.map_err(broken)? == 0 {
            return Err(broken(io::Error::new(io::ErrorKind::UnexpectedEof, "closed without an answer")));
        }
        if !b"HTTP/1.".starts_with(&bytes[..bytes.len().min(7)]) {
            return Err(odd("the answer is not HTTP"));
        }
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            bytes.truncate(end);
            let head = std::str::from_utf8(&bytes)
                .ok()
                .and_then(Head::parse)
                .ok_or_else(|| odd("its HTTP headers cannot be read"))?;
            return Ok((head, rest));
        }
        if bytes.len() > MAX_HEAD {
            return Err(odd("its HTTP headers are longer than 16 KiB"));
        }
    }
}

/// The body as text, as far as it comes and fits: it only explains, so its loss is no error.
pub(crate) async fn read_body<S: AsyncRead + Unpin>(
    stream: &mut S,
    head: &Head,
    rest: &mut Vec<u8>,
) -> String {
    let is_chunked =
        head.header("transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().contains("chunked"));
    let announced = head.header("content-length").and_then(|value| value.parse::<usize>().ok());
    let mut bytes = std::mem::take(rest);
    loop {
        let done = match (is_chunked, announced) {
            (true, _) => bytes.ends_with(b"0\r\n\r\n"),
            (false, Some(len)) => bytes.len() >= len,
            (false, None) => false,
        };
        if done
            || bytes.len() >= MAX_BODY
            || !matches!(stream.read_buf(&mut bytes).await, Ok(count) if count > 0)
        {
            break;
        }
    }
    let mut body = if is_chunked { unchunk(&bytes) } else { bytes };
    body.truncate(announced.unwrap_or(MAX_BODY).min(MAX_BODY));
    String::from_utf8_lossy(&body).trim().to_owned()
}

/// Joins the chunks of RFC 9112 section 7.1 as far as they are whole.
fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut joined = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&bytes[..end]).ok().and_then(|line| line.split(';').next());
        let Some(size) = size.and_then(|digits| usize::from_str_radix(digits.trim(), 16).ok()) else { break };
        let data = &bytes[end + 2..];
        if size == 0 {
            break;
        }
        joined.extend_from_slice(&data[..size.min(data.len())]);
        match data.get(size.saturating_add(2)..) {
            Some(after) => bytes = after,
            None => break,
        }
    }
    joined
}

/// Reverse proxies add headers, some of them long.
const MAX_HEAD: usize = 16 * 1024;
/// Enough for a reason; an error page of a proxy is cut.
const MAX_BODY: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target::new(&Url::parse("http://h:1/x?y").expect("a URL")).expect("usable")
    }

    async fn answer(bytes: &[u8]) -> Result<(u16, String), ConnectError> {
        let (mut near, mut far) = tokio::io::duplex(64 * 1024);
        far.write_all(bytes).await.expect("room");
        far.shutdown().await.expect("open");
        let (head, mut rest) = exchange(&mut near, &target(), b"GET").await?;
        let body = read_body(&mut near, &head, &mut rest).await;
        Ok((head.status, body))
    }

    #[test]
    fn the_request_names_host_and_path() {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", "Bearer x".parse().expect("a value"));
        let bytes = request(&target(), &headers, &[("connection", "close")]);
        assert_eq!(
            String::from_utf8(bytes).expect("text"),
            "GET /x?y HTTP/1.1\r\nhost: h:1\r\nconnection: close\r\nauthorization: Bearer x\r\n\r\n"
        );
    }

    #[tokio::test]
    async fn bodies_are_read_by_length_by_chunks_and_to_the_end() {
        let by_length =
            answer(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n\r\nno!more").await.expect("HTTP");
        assert_eq!(by_length, (401, "no!".to_owned()));
        let chunks = answer(
            b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
        )
        .await
        .expect("HTTP");
        assert_eq!(chunks, (400, "abcde".to_owned()));
        assert_eq!(
            answer(b"HTTP/1.0 200 OK\r\n\r\n success\n").await.expect("HTTP"),
            (200, "success".to_owned())
        );
    }

    #[tokio::test]
    async fn what_is_not_http_is_told_apart_from_a_closed_connection() {
        assert!(matches!(answer(b"SSH-2.0-OpenSSH\r\n").await, Err(ConnectError::Protocol { .. })));
        assert!(matches!(answer(b"HTTP/1.1 999999").await, Err(ConnectError::Broken { .. })));
        assert!(matches!(answer(b"").await, Err(ConnectError::Broken { .. })));
        assert!(matches!(answer(b"HTTP/1.1 abc\r\n\r\n").await, Err(ConnectError::Protocol { .. })));
        let endless = [b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'y'; 40_000]].concat();
        assert!(matches!(answer(&endless).await, Err(ConnectError::Protocol { .. })));
    }

    #[test]
    fn any_bytes_can_be_unchunked() {
        for garbage in [&b"ffffffffffffffff\r\nabc"[..], b"3\r\nab", b"x\r\n", b"", b"\r\n", b"3\r\nabc\r"] {
            assert!(unchunk(garbage).len() <= garbage.len());
        }
    }
}
