//! Reading request bodies: packed or not, never more than the limit (rest-api §2.2).

use std::future::poll_fn;
use std::io::Read as _;
use std::pin::Pin;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use flate2::read::GzDecoder;

use crate::app::App;
use crate::errors::ApiError;

/// Bytes of a body, unpacked, when the property `glide.rest.max_content_length` says nothing.
const BYTES_DEFAULT: usize = 10 << 20;
/// The property may not allow more.
const BYTES_MAX: usize = 25 << 20;
/// A body that is too large is read on to this size, so that the caller can read why it was refused.
const DRAINED_BYTES_MAX: usize = 64 << 20;

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
        let wanted = app.engine.int_property("glide.rest.max_content_length", 10 << 20);
        let limit = usize::try_from(wanted).unwrap_or(BYTES_DEFAULT).min(BYTES_MAX);
        Ok(self.read_at_most(headers, limit).await?)
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
    let expected = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    let mut kept = Vec::with_capacity(expected.unwrap_or(0).min(limit));
    let mut seen = 0usize;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|error| PayloadError::Broken(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        seen = seen.saturating_add(data.len());
        if seen <= limit {
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
            PayloadError::Broken(reason) => {
                Self::bad_body(format!("The payload could not be read: {reason}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

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
}
