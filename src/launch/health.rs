//! Does a service answer? One HTTP/1.1 request on loopback, by hand: the answer's first line is
//! all that counts, and a client with proxies, redirects and pools would only get in the way.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// How long an answer may take. A program that is loading a model answers late.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest first line that is read, in bytes.
const FIRST_LINE: usize = 512;

/// The HTTP status that `GET path` is answered with; `None` without an HTTP answer.
pub async fn status(host: &str, port: u16, path: &str) -> Option<u16> {
    timeout(PATIENCE, ask(host, port, path)).await.ok()?
}

/// Whether a status means that the service is there. Anything below 500 does: a login page or a
/// missing path is an answer of a program that works.
pub fn is_up(status: Option<u16>) -> bool {
    status.is_some_and(|status| status < 500)
}

async fn ask(host: &str, port: u16, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect((host, port)).await.ok()?;
    let slash = if path.starts_with('/') { "" } else { "/" };
    let request = format!(
        "GET {slash}{path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: aienv\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    let mut buffer = [0; FIRST_LINE];
    while answer.len() < FIRST_LINE && !answer.contains(&b'\n') {
        match stream.read(&mut buffer).await.ok()? {
            0 => break,
            count => answer.extend_from_slice(&buffer[..count]),
        }
    }
    parse(&answer)
}

/// The status in `HTTP/1.1 200 OK`.
fn parse(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|&byte| byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace();
    words.next()?.strip_prefix("HTTP/")?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_counts() {
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\nServer: x\r\n"), Some(200));
        assert_eq!(parse(b"HTTP/1.0 503\r\n"), Some(503));
        for other in [
            &b""[..],
            b"SSH-2.0-x\r\n",
            b"HTTP/1.1\r\n",
            b"HTTP/1.1 \xff\n",
        ] {
            assert_eq!(parse(other), None);
        }
        assert!(is_up(Some(404)) && !is_up(Some(500)) && !is_up(None));
    }
}
