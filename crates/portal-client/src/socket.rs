use std::{
    future::poll_fn,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error, Message, error::ProtocolError},
};

use crate::Failure;

/// The largest message in bytes, in either direction. The portal's are below 1 KiB.
pub(crate) const MAX_MESSAGE: usize = 64 * 1024;

/// How long closing the connection may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// TCP, or TLS over TCP.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// An open WebSocket that reads and writes concurrently: a portal that does not read does not block reading.
pub(crate) struct Socket {
    stream: Box<WebSocketStream<Box<dyn ByteStream>>>,
    unflushed: bool,
}

impl Socket {
    pub(crate) fn new(stream: WebSocketStream<Box<dyn ByteStream>>) -> Self {
        Self { stream: Box::new(stream), unflushed: false }
    }

    /// Queues a message, which is sent while [`Self::next`] is polled.
    pub(crate) fn queue(&mut self, text: String) -> Result<(), Failure> {
        self.unflushed = true;
        self.stream.start_send_unpin(Message::text(text)).map_err(failure)
    }

    /// Waits for the next text message. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<String, Failure> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Sends queued messages and a close frame, and closes. Gives up after [`CLOSE_LIMIT`].
    pub(crate) async fn close(mut self) {
        // The relay is leaving, so an error does not matter.
        let _ = timeout(CLOSE_LIMIT, WebSocketStream::close(&mut self.stream, None)).await;
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<String, Failure>> {
        if self.unflushed {
            match self.stream.poll_flush_unpin(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(failure(error))),
                Poll::Pending => {}
            }
        }
        loop {
            return match self.stream.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(Message::Text(text)))) => Poll::Ready(Ok(text.as_str().to_owned())),
                Poll::Ready(Some(Ok(Message::Close(frame)))) => Poll::Ready(Err(Failure::Closed {
                    problem: frame.map_or_else(
                        || "no reason given".to_owned(),
                        |frame| {
                            format!("{} {}", u16::from(frame.code), frame.reason.escape_debug()).trim_end().to_owned()
                        },
                    ),
                })),
                // Binary messages are not part of serializer v1. The WebSocket crate answers pings.
                Poll::Ready(Some(Ok(_))) => continue,
                Poll::Ready(Some(Err(error))) => Poll::Ready(Err(failure(error))),
                Poll::Ready(None) => Poll::Ready(Err(Failure::Closed { problem: "end of stream".to_owned() })),
                Poll::Pending => Poll::Pending,
            };
        }
    }
}

fn failure(error: Error) -> Failure {
    let problem = error.to_string();
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => Failure::Closed { problem },
        Error::Capacity(_) | Error::Utf8(_) => Failure::Protocol { problem },
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Failure::Broken { problem },
        Error::Protocol(_) => Failure::Protocol { problem },
        _ => Failure::Broken { problem },
    }
}
