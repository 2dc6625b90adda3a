//! Bodies of requests: read within bounds of size, time and memory, and decompressed.

use crate::error::ApiError;
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::CONTENT_ENCODING;
use hyper::{HeaderMap, StatusCode};
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// A client must send the next piece of a body within this time.
const PIECE_WAIT: Duration = Duration::from_secs(30);
/// A client must send a whole body within this time.
const BODY_WAIT: Duration = Duration::from_secs(600);
/// A request waits this long for memory that other bodies hold.
const MEMORY_WAIT: Duration = Duration::from_secs(30);

/// The memory that all bodies together may take.
pub(crate) struct BodyMemory {
    /// One permit for each KiB.
    kibibytes: Arc<Semaphore>,
    body_bytes_max: usize,
}

/// A body and the memory that it holds.
pub(crate) struct HeldBody {
    bytes: Bytes,
    held: Option<OwnedSemaphorePermit>,
}

impl BodyMemory {
    /// Room for `all_bytes_max`, of which one body takes `body_bytes_max` at most.
    pub(crate) fn new(all_bytes_max: usize, body_bytes_max: usize) -> BodyMemory {
        let kibibytes = (all_bytes_max.max(2 * body_bytes_max) / 1024).max(1);
        BodyMemory { kibibytes: Arc::new(Semaphore::new(kibibytes)), body_bytes_max }
    }

    /// Reads a body as it is sent.
    ///
    /// # Errors
    /// 413 if it is too large, 408 if it comes too slowly, 429 if there is no memory for it, 400
    /// if the connection breaks.
    pub(crate) async fn read(&self, body: Incoming) -> Result<HeldBody, ApiError> {
        let announced = body.size_hint().lower();
        if announced > self.body_bytes_max as u64 {
            return Err(ApiError::too_large(self.body_bytes_max));
        }
        let mut held = HeldBody { bytes: Bytes::new(), held: None };
        if body.is_end_stream() {
            return Ok(held);
        }
        self.wait_for(announced as usize, &mut held).await?;
        match timeout(BODY_WAIT, self.read_pieces(body, announced as usize, &mut held)).await {
            Ok(read) => read.map(|()| held),
            Err(_) => Err(too_slow()),
        }
    }

    async fn read_pieces(
        &self,
        mut body: Incoming,
        announced: usize,
        held: &mut HeldBody,
    ) -> Result<(), ApiError> {
        let mut bytes = BytesMut::with_capacity(announced);
        let mut accounted = announced;
        loop {
            let piece = timeout(PIECE_WAIT, body.frame()).await.map_err(|_| too_slow())?;
            let Some(piece) = piece else { break };
            let piece = piece.map_err(|_| ApiError::unreadable_body("the body was cut off"))?;
            let Ok(data) = piece.into_data() else { continue };
            if bytes.len() + data.len() > self.body_bytes_max {
                return Err(ApiError::too_large(self.body_bytes_max));
            }
            if bytes.len() + data.len() > accounted {
                self.take(data.len(), held)?;
                accounted += data.len();
            }
            bytes.extend_from_slice(&data);
        }
        held.bytes = bytes.freeze();
        Ok(())
    }

    /// Decompresses a body if its headers say that it is compressed. Blocks.
    ///
    /// # Errors
    /// 413 if it becomes too large, 415 for what is not gzip, 400 if it is broken.
    pub(crate) fn decompress(
        &self,
        mut held: HeldBody,
        headers: &HeaderMap,
    ) -> Result<HeldBody, ApiError> {
        let Some(encoding) = headers.get(CONTENT_ENCODING) else { return Ok(held) };
        let encoding = encoding.to_str().unwrap_or("").trim().to_ascii_lowercase();
        match encoding.as_str() {
            "" | "identity" => return Ok(held),
            "gzip" | "x-gzip" => {}
            _ => {
                return Err(ApiError::new(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "illegal_argument_exception",
                    "the Content-Encoding is not supported; send gzip or no encoding",
                ));
            }
        }
        let packed = std::mem::take(&mut held.bytes);
        let mut decoder = MultiGzDecoder::new(packed.as_ref());
        let mut bytes: Vec<u8> = Vec::with_capacity(packed.len().saturating_mul(2));
        let mut piece = vec![0; 64 * 1024];
        loop {
            let read = decoder
                .read(&mut piece)
                .map_err(|_| ApiError::unreadable_body("the body is not valid gzip"))?;
            if read == 0 {
                break;
            }
            if bytes.len() + read > self.body_bytes_max {
                return Err(ApiError::too_large(self.body_bytes_max));
            }
            self.take(read, &mut held)?;
            bytes.extend_from_slice(&piece[..read]);
        }
        held.bytes = bytes.into();
        Ok(held)
    }

    /// Waits for memory.
    async fn wait_for(&self, bytes: usize, held: &mut HeldBody) -> Result<(), ApiError> {
        let waiting = Arc::clone(&self.kibibytes).acquire_many_owned(kibibytes(bytes));
        match timeout(MEMORY_WAIT, waiting).await {
            Ok(Ok(permit)) => held.hold(permit),
            _ => return Err(out_of_memory()),
        }
        Ok(())
    }

    /// Takes more memory for a body that is half read. It must not wait: two such bodies could
    /// wait for each other.
    fn take(&self, bytes: usize, held: &mut HeldBody) -> Result<(), ApiError> {
        let permit = Arc::clone(&self.kibibytes)
            .try_acquire_many_owned(kibibytes(bytes))
            .map_err(|_| out_of_memory())?;
        held.hold(permit);
        Ok(())
    }
}

impl HeldBody {
    fn hold(&mut self, permit: OwnedSemaphorePermit) {
        match &mut self.held {
            Some(held) => held.merge(permit),
            None => self.held = Some(permit),
        }
    }

    /// The bytes. They count as memory until `self` is dropped.
    pub(crate) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }
}

fn kibibytes(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

fn out_of_memory() -> ApiError {
    ApiError::busy("rejected execution: the bodies of other requests take all memory for bodies")
}

fn too_slow() -> ApiError {
    ApiError::new(
        StatusCode::REQUEST_TIMEOUT,
        "timeout_exception",
        "the body came too slowly; send it in smaller requests",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use hyper::header::HeaderValue;
    use std::io::Write;

    fn packed(bytes: &[u8]) -> HeldBody {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        HeldBody { bytes: encoder.finish().unwrap().into(), held: None }
    }

    fn with(encoding: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        headers
    }

    #[test]
    fn gzip_is_unpacked_within_the_limit() {
        let memory = BodyMemory::new(0, 1 << 20);
        let text = vec![b'x'; 1 << 20];
        let body = memory.decompress(packed(&text), &with("gzip")).unwrap();
        assert_eq!(body.bytes(), text);
        assert!(memory.kibibytes.available_permits() < 2048, "it is held");
        drop(body);
        assert_eq!(memory.kibibytes.available_permits(), 2048, "and given back");

        let bomb = packed(&vec![0; (1 << 20) + 1]);
        let error = memory.decompress(bomb, &with("gzip")).err().unwrap();
        assert_eq!(error.status(), 413);
        assert_eq!(memory.kibibytes.available_permits(), 2048);
    }

    #[test]
    fn what_is_not_gzip_is_refused() {
        let memory = BodyMemory::new(0, 1 << 20);
        let body = || HeldBody { bytes: Bytes::from_static(b"plain"), held: None };
        let error = memory.decompress(body(), &with("gzip")).err().unwrap();
        assert_eq!(error.status(), 400);
        let error = memory.decompress(body(), &with("br")).err().unwrap();
        assert_eq!(error.status(), 415);
        assert_eq!(memory.decompress(body(), &HeaderMap::new()).unwrap().bytes(), "plain");
    }
}
