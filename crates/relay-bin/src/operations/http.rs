//! A minimal HTTP server. It answers at once, closes slow connections, limits their number, and always accepts a new one.

use std::{convert::Infallible, io, mem, net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, ORIGIN},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    crowd::Crowd,
    listen::{self, Bound, Connection, Listener},
};
use crate::{
    clock::Clock,
    faults::{Faults, Part},
    throttle::Throttle,
};

/// The longest life of a connection.
const CONNECTION_LIMIT: Duration = Duration::from_secs(60);

/// How long a client may take to send its request.
const HEADER_LIMIT: Duration = Duration::from_secs(5);

/// The most bytes of a request that are buffered.
const BUFFER: usize = 16 << 10;

/// How long to wait when accepting fails, for example because no file descriptor is left.
const PAUSE: Duration = Duration::from_millis(200);

/// How often to warn about that.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// A response.
pub(crate) type Answer = Response<Full<Bytes>>;

/// A response that may take time.
pub(crate) type Reply = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A request. Its body is ignored.
#[derive(Debug)]
pub(crate) struct Ask<'r> {
    pub(crate) method: &'r Method,
    pub(crate) path: &'r str,
    pub(crate) query: Option<&'r str>,
    /// Whether a browser says that it sends the request for a web page.
    pub(crate) is_from_web_page: bool,
    /// Whether it names the relay by a host name. A web page can make its own host name point here (DNS rebinding), and a browser
    /// sends no Origin with a GET to the page's own site.
    pub(crate) is_by_name: bool,
    /// Whether it came through a Unix socket, to which only the relay's own user can connect.
    pub(crate) is_private: bool,
}

/// Serves while the future is polled, with at most `connections` at a time.
///
/// A new connection never waits for room: the oldest connection of the address with the most connections is closed. A real request
/// is answered in one step. What stays open is half a request, or a response that nobody reads.
///
/// Once `handed_over` is true, it takes no new connection: another process does.
pub(super) async fn serve<H, A>(
    listeners: Vec<Bound>,
    connections: usize,
    faults: Faults,
    clock: Clock,
    mut handed_over: watch::Receiver<bool>,
    handler: H,
) where
    H: Fn(&Ask<'_>) -> A + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let listeners: io::Result<Vec<_>> = listeners.into_iter().map(Listener::new).collect();
    let listeners = match listeners {
        Ok(listeners) if listeners.is_empty() => return,
        Ok(listeners) => listeners,
        Err(error) => {
            tracing::error!(%error, "cannot answer HTTP");
            return;
        }
    };
    let handler = Arc::new(handler);
    let mut crowd = Crowd::new(connections);
    let mut lines = Throttle::new(WARN_EVERY);
    for turn in 0.. {
        crowd.make_room().await;
        let accepted = tokio::select! {
            biased;
            () = crowd.next_leaves() => continue,
            // An error means that this process ends without a handover.
            Ok(()) = async { handed_over.wait_for(|is_over| *is_over).await.map(drop) } => {
                // The other process has the paths of Unix sockets: dropping them would remove these.
                mem::forget(listeners);
                loop {
                    crowd.next_leaves().await;
                }
            }
            accepted = listen::accept(&listeners, turn) => accepted,
        };
        match accepted {
            Ok(connection) => {
                let (from, handler) = (connection.source(), Arc::clone(&handler));
                crowd.admit(from, async move {
                    match connection {
                        Connection::Tcp(stream, _) => answer(stream, false, handler).await,
                        Connection::Unix(stream) => answer(stream, true, handler).await,
                    }
                });
            }
            Err(error) => {
                faults.note(Part::Http);
                if let Some(times) = lines.pass(clock.now()) {
                    tracing::warn!(
                        %error,
                        times,
                        "cannot accept a connection that asks for health, metrics or control, and closes an old one each time; if \
                         files are short, raise this process's limit (`ulimit -Hn`, LimitNOFILE= in systemd, --ulimit nofile= in Docker)"
                    );
                }
                if !crowd.make_one_leave().await {
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

async fn answer<S, H, A>(stream: S, is_private: bool, handler: Arc<H>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Fn(&Ask<'_>) -> A + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let service = service_fn(|request: Request<Incoming>| {
        let answer = respond(&*handler, &request, is_private);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // One request for each connection: no client can have a thousand of them answered while others wait.
        .keep_alive(false)
        // Some clients close their side after the request (`nc -N`), and still read the response.
        .half_close(true)
        .header_read_timeout(HEADER_LIMIT)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    // The client notices a timeout by itself.
    let _ = timeout(CONNECTION_LIMIT, connection).await;
}

fn respond<A, B>(handler: &impl Fn(&Ask<'_>) -> A, request: &Request<B>, is_private: bool) -> A {
    let ask = Ask {
        method: request.method(),
        path: request.uri().path(),
        query: request.uri().query(),
        is_from_web_page: request.headers().contains_key(ORIGIN),
        is_by_name: is_by_name(request.headers()),
        is_private,
    };
    handler(&ask)
}

/// Whether `Host` is something other than an IP address or `localhost`.
fn is_by_name(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else { return false };
    let Ok(Ok(authority)) = host.to_str().map(str::parse::<hyper::http::uri::Authority>) else { return true };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.parse::<IpAddr>().is_err() && !host.eq_ignore_ascii_case("localhost")
}

/// A plain-text response.
pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    typed(status, "text/plain; charset=utf-8", body)
}

/// A response with a content type.
pub(crate) fn typed(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    /// Parts of valid and invalid requests.
    const PIECES: &[&str] = &[
        "GET ",
        "POST ",
        "/healthz",
        "/record/start?file=a&max_bytes=%ff",
        "*",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        " HTTP/9.9\r\n",
        "Host: 127.0.0.1\r\n",
        "Host: a\r\nHost: b\r\n",
        "Content-Length: 4\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length: -1\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Expect: 100-continue\r\n",
        "Connection: keep-alive\r\n",
        "Upgrade: h2c\r\n",
        "ffffffffffffffff\r\n",
        "\r\n",
        "\n",
        "GET / HTTP/1.1\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];

    fn sent() -> impl Strategy<Value = Vec<u8>> {
        let known = prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec());
        let random = prop::collection::vec(any::<u8>(), 0..20);
        let long = (0..BUFFER * 2).prop_map(|len| vec![b'a'; len]);
        let pieces = prop_oneof![12 => known, 2 => random, 1 => long];
        prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
    }

    /// Sends `sent` in pieces. Returns how often the handler was called, and the response.
    fn exchange(sent: &[u8], piece: usize) -> (usize, Vec<u8>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let handler = {
            let asked = Arc::clone(&asked);
            Arc::new(move |_: &Ask<'_>| {
                asked.fetch_add(1, Ordering::Relaxed);
                async { text(StatusCode::OK, "asked") }
            })
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let received = runtime.block_on(async {
            let (stream, client) = duplex(1 << 16);
            let (mut from_server, mut to_server) = tokio::io::split(client);
            let write = async {
                for piece in sent.chunks(piece) {
                    // The server may have closed the connection already.
                    if to_server.write_all(piece).await.is_err() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                let _ = to_server.shutdown().await;
            };
            let read = async {
                let mut received = Vec::new();
                from_server.read_to_end(&mut received).await.unwrap();
                received
            };
            let ((), (), received) = tokio::join!(answer(stream, false, handler), write, read);
            received
        });
        (asked.load(Ordering::Relaxed), received)
    }

    proptest! {
        #![proptest_config(test_support::property::config())]

        #[test]
        fn whatever_is_sent_is_answered_once_or_not_at_all(sent in sent(), piece in 1_usize..5_000) {
            let (asked, received) = exchange(&sent, piece);
            let received = String::from_utf8(received).unwrap();
            prop_assert!(asked <= 1, "a connection has one question");
            prop_assert_eq!(received.matches("HTTP/1.").count(), usize::from(!received.is_empty()));
            prop_assert_eq!(received.contains(" 200 OK\r\n"), asked == 1, "{}", received);
        }
    }

    #[test]
    fn a_request_is_answered_however_it_arrives() {
        let request = b"POST /record/start?file=a HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n\r\nbody";
        for piece in [1, 7, request.len()] {
            let (asked, received) = exchange(request, piece);
            assert_eq!(asked, 1);
            let received = String::from_utf8(received).unwrap();
            assert!(
                received.starts_with("HTTP/1.1 200 OK\r\n") && received.ends_with("asked"),
                "{piece}: {received:?}"
            );
        }
    }

    #[test]
    fn a_host_is_an_address_or_localhost() {
        for (host, is_name) in [
            ("127.0.0.1:9999", false),
            ("[::1]:9999", false),
            ("192.0.2.1", false),
            ("localhost:9999", false),
            ("LOCALHOST", false),
            ("relay.example.com:9999", true),
            ("127.0.0.1.example.com", true),
            ("localhost.example.com", true),
            ("", true),
        ] {
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
            assert_eq!(is_by_name(&headers), is_name, "{host}");
        }
        assert!(!is_by_name(&HeaderMap::new()), "HTTP/1.0");
    }
}
