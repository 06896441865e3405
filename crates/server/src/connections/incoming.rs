//! A request's body, watched: whether its handler read it to the end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};

use super::line::Line;

/// See the module.
pub(super) struct WatchedBody {
    body: Incoming,
    line: Arc<Line>,
    has_ended: bool,
}

impl WatchedBody {
    pub(super) fn new(body: Incoming, line: Arc<Line>) -> Self {
        let has_ended = body.is_end_stream();
        Self { body, line, has_ended }
    }
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.has_ended |= matches!(frame, Poll::Ready(None)) || self.body.is_end_stream();
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        if !self.has_ended {
            self.line.leaves_body();
        }
    }
}
