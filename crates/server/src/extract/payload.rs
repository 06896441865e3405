//! Reading request bodies: packed or not, never more than the limit (rest-api §2.2).

use std::future::poll_fn;
use std::io::Read as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use campanile_model::limits::BODIES_BYTES_MAX;
use flate2::read::GzDecoder;
use tokio::time::{Instant, timeout_at};

use crate::app::App;
use crate::errors::ApiError;

/// MB of a body, unpacked, when the property `glide.rest.max_content_length` says nothing.
const MB_DEFAULT: usize = 10;
/// The property may not allow more (rest-api §2.2).
const MB_MAX: usize = 25;
/// A body that is too large is read on to this size, so that the caller can read why it was refused.
const DRAINED_BYTES_MAX: usize = 64 << 20;

/// Room that a body gets at once.
const FIRST_BYTES: usize = 64 << 10;
/// How long a body may take in any case.
const TIME_FIRST: Duration = Duration::from_secs(30);
/// Bytes that buy it a second more.
const BYTES_PER_SECOND_MIN: usize = 10_000;

/// A body that nobody has read yet: what stands in the header lines is judged first.
pub(crate) struct Payload(Body);

impl FromRequest<App> for Payload {
    type Rejection = std::convert::Infallible;

    async fn from_request(request: Request, _app: &App) -> Result<Self, Self::Rejection> {
        Ok(Self(request.into_body()))
    }
}

/// Why a body could not be read.
pub(crate) enum PayloadError {
    /// It is larger than it may be.
    TooLarge {
        /// Its size, as far as it is known.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Its packing is unknown.
    Encoding(String),
    /// It did not arrive in time.
    TooSlow {
        /// What had arrived.
        bytes: usize,
    },
    /// Too much of others is arriving.
    TooMany,
    /// It broke off, or is not what it says it is.
    Broken(String),
}

impl Payload {
    /// The unpacked body.
    ///
    /// # Errors
    /// E5 when it is larger than the instance allows, E4 when it broke off or cannot be unpacked, 415 for a packing
    /// other than gzip.
    pub(crate) async fn read(self, app: &App, headers: &HeaderMap) -> Result<Bytes, ApiError> {
        let wanted = app.engine.int_property("glide.rest.max_content_length", 10);
        let megabytes = usize::try_from(wanted).unwrap_or(MB_DEFAULT).clamp(1, MB_MAX);
        Ok(self.read_at_most(headers, megabytes << 20).await?)
    }

    /// As [`Payload::read`], with a limit of the caller's.
    pub(crate) async fn read_at_most(
        self,
        headers: &HeaderMap,
        limit: usize,
    ) -> Result<Bytes, PayloadError> {
        let packing = headers
            .get(header::CONTENT_ENCODING)
            .map_or("", |value| value.to_str().unwrap_or("not readable").trim());
        let is_packed = match packing.to_ascii_lowercase().as_str() {
            "" | "identity" => false,
            "gzip" | "x-gzip" => true,
            _ => return Err(PayloadError::Encoding(packing.to_owned())),
        };
        let bytes = collect(self.0, limit).await?;
        if !is_packed {
            return Ok(bytes);
        }
        tokio::task::spawn_blocking(move || unpack(&bytes, limit))
            .await
            .map_err(|_panicked| PayloadError::Broken("it could not be unpacked".to_owned()))?
    }
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, PayloadError> {
    let mut held = Held::default();
    let expected = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    // Not more than the first part at once: what was announced may never come.
    let mut kept = Vec::with_capacity(expected.unwrap_or(0).min(limit).min(FIRST_BYTES));
    let mut seen = 0usize;
    let began = Instant::now();
    loop {
        let next =
            timeout_at(began + time_for(seen), poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)));
        let Some(frame) = next.await.map_err(|_elapsed| PayloadError::TooSlow { bytes: seen })?
        else {
            break;
        };
        let frame = frame.map_err(|error| PayloadError::Broken(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        seen = seen.saturating_add(data.len());
        if seen <= limit {
            held.add(data.len())?;
            kept.extend_from_slice(&data);
        } else if seen > DRAINED_BYTES_MAX {
            break;
        }
    }
    if seen > limit {
        return Err(PayloadError::TooLarge { bytes: expected.unwrap_or(seen), limit });
    }
    Ok(Bytes::from(kept))
}

/// Bytes of all bodies that are arriving.
static ARRIVING: AtomicUsize = AtomicUsize::new(0);

/// What one of them has of it; given back when dropped.
#[derive(Default)]
struct Held(usize);

impl Held {
    fn add(&mut self, bytes: usize) -> Result<(), PayloadError> {
        self.0 += bytes;
        let before = ARRIVING.fetch_add(bytes, Ordering::AcqRel);
        if before + bytes > BODIES_BYTES_MAX {
            return Err(PayloadError::TooMany);
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        ARRIVING.fetch_sub(self.0, Ordering::AcqRel);
    }
}

/// How long a body may take of which `bytes` have arrived.
fn time_for(bytes: usize) -> Duration {
    TIME_FIRST
        + Duration::from_secs(u64::try_from(bytes / BYTES_PER_SECOND_MIN).unwrap_or(u64::MAX))
}

fn unpack(packed: &[u8], limit: usize) -> Result<Bytes, PayloadError> {
    let mut bytes = Vec::new();
    let one_more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    GzDecoder::new(packed)
        .take(one_more)
        .read_to_end(&mut bytes)
        .map_err(|error| PayloadError::Broken(format!("it is no gzip: {error}")))?;
    if bytes.len() > limit {
        return Err(PayloadError::TooLarge { bytes: bytes.len(), limit });
    }
    Ok(Bytes::from(bytes))
}

impl From<PayloadError> for ApiError {
    fn from(error: PayloadError) -> Self {
        match error {
            PayloadError::TooLarge { bytes, limit } => Self::new(
                StatusCode::BAD_REQUEST,
                "too_large",
                "Exception while reading request",
                format!(
                    "Rejected large REST payload with content-length = {bytes} bytes. Max allowed: {limit} bytes."
                ),
            ),
            PayloadError::Encoding(packing) => Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "media_type",
                "Unsupported media type",
                format!("the body is packed with {packing}, this address takes gzip or none"),
            ),
            PayloadError::TooSlow { bytes } => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "too_slow",
                "Request body did not arrive in time",
                format!(
                    "{bytes} bytes of it arrived; a body may take {} s, and a second more for every \
                     {BYTES_PER_SECOND_MIN} bytes",
                    TIME_FIRST.as_secs()
                ),
            ),
            PayloadError::TooMany => Self::unavailable(
                "overloaded",
                format!("{BODIES_BYTES_MAX} bytes of request bodies are arriving already"),
            ),
            PayloadError::Broken(reason) => {
                Self::bad_body(format!("The payload could not be read: {reason}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use std::future::Future as _;
    use std::task::{Context, Poll};

    use hyper::body::Frame;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_size_counts_unpacked() {
        let bomb = packed(&vec![b' '; 1 << 20]);
        assert!(bomb.len() < 10_000);
        assert!(matches!(unpack(&bomb, 1000), Err(PayloadError::TooLarge { limit: 1000, .. })));
        assert_eq!(unpack(&bomb, 1 << 20).map_or(0, |bytes| bytes.len()), 1 << 20);
    }

    #[test]
    fn what_is_no_gzip_or_breaks_off_is_told() {
        let whole = packed(b"{\"a\":1}");
        for broken in [&b"{\"a\":1}"[..], &whole[..whole.len() - 3]] {
            assert!(matches!(unpack(broken, 1000), Err(PayloadError::Broken(_))));
        }
    }

    /// A body that sends `step` bytes each `pause`, for ever.
    struct Drip {
        step: usize,
        pause: Duration,
        next: Pin<Box<tokio::time::Sleep>>,
    }

    impl Drip {
        fn body(step: usize, pause: Duration) -> Body {
            Body::new(Self { step, pause, next: Box::pin(tokio::time::sleep(pause)) })
        }
    }

    impl HttpBody for Drip {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            std::task::ready!(self.next.as_mut().poll(context));
            let (pause, bytes) = (self.pause, vec![b' '; self.step]);
            self.next = Box::pin(tokio::time::sleep(pause));
            Poll::Ready(Some(Ok(Frame::data(Bytes::from(bytes)))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_ends_in_its_time() {
        let began = Instant::now();
        let outcome = collect(Drip::body(1, Duration::from_secs(1)), 1 << 20).await;
        assert!(matches!(outcome, Err(PayloadError::TooSlow { bytes: 29..=30 })));
        assert_eq!(began.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_line_may_bring_a_large_body() {
        let began = Instant::now();
        let outcome = collect(Drip::body(12_000, Duration::from_secs(1)), 1 << 20).await;
        assert!(matches!(outcome, Err(PayloadError::TooLarge { .. })), "it came to its limit");
        assert!(began.elapsed().as_secs() > 80);
    }
}
