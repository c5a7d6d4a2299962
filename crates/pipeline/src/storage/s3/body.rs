//! The body of an object, collected over as many answers as it takes.

use std::{ops::Range, str::FromStr};

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_smithy_checksums::{ChecksumAlgorithm, http::CHECKSUM_ALGORITHMS_IN_PRIORITY_ORDER};
use bytes::{Bytes, BytesMut};

/// At most so much memory is reserved on the word of an answer's head.
const LARGEST_RESERVATION: u64 = 64 << 20;

/// What was wrong with an answer whose status was fine.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the answer has no {0}")]
    Headless(&'static str),
    #[error("bytes {asked} were asked for, and the answer brings {brought}")]
    OtherRange { asked: String, brought: String },
    #[error("the answer has {found} bytes, and {wanted} were asked for")]
    TooLong { found: u64, wanted: u64 },
    #[error("the body broke off after {received} of {wanted} bytes")]
    BrokeOff { received: u64, wanted: u64 },
    #[error("the body does not have the {algorithm} checksum that S3 keeps of the object")]
    Checksum { algorithm: &'static str },
}

/// A checksum of the whole object, as S3 keeps it.
struct Checksum {
    algorithm: ChecksumAlgorithm,
    /// In base64.
    expected: String,
}

/// The bytes of an object, or of a part of it, as far as they came.
pub(super) struct PartialBody {
    /// Where the bytes begin in the object.
    start: u64,
    /// How many they are; unknown for a whole object before its first answer.
    wanted: Option<u64>,
    /// Whether they are the whole object, which S3 may keep a checksum of.
    whole: bool,
    /// The state of the object that the bytes are of.
    etag: Option<String>,
    /// Whether size and state are the first answer's, which a wrong answer must not decide.
    first_decides: bool,
    checksum: Option<Checksum>,
    bytes: BytesMut,
}

impl PartialBody {
    /// A whole object in the state in which the first answer finds it.
    pub(super) fn whole() -> Self {
        Self {
            start: 0,
            wanted: None,
            whole: true,
            etag: None,
            first_decides: true,
            checksum: None,
            bytes: BytesMut::new(),
        }
    }

    /// A part of an object of this ETag and size.
    pub(super) fn part(etag: &str, size: u64, range: Range<u64>) -> Self {
        let whole = range == (0..size);
        let wanted = range.end - range.start;
        Self {
            start: range.start,
            wanted: Some(wanted),
            whole,
            etag: Some(etag.to_owned()),
            first_decides: false,
            checksum: None,
            bytes: BytesMut::with_capacity(wanted.min(LARGEST_RESERVATION) as usize),
        }
    }

    /// The ETag that the next answer must be of.
    pub(super) fn etag(&self) -> Option<&str> {
        self.etag.as_deref()
    }

    /// Forgets what came.
    fn start_again(&mut self) {
        self.bytes.clear();
        self.checksum = None;
        if self.first_decides {
            (self.wanted, self.etag) = (None, None);
        }
    }

    /// Forgets what came where any state of the object will do, and says whether that is so.
    pub(super) fn start_in_new_state(&mut self) -> bool {
        if self.first_decides {
            self.start_again();
        }
        self.first_decides
    }

    /// How many bytes there are to come in all, where it is known.
    pub(super) fn wanted(&self) -> u64 {
        self.wanted.unwrap_or_default()
    }

    fn received(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Whether to ask for the object without a range, which is when S3 tells its checksum.
    pub(super) fn asks_for_whole(&self) -> bool {
        self.whole && self.bytes.is_empty()
    }

    /// The `Range` header of the next request.
    pub(super) fn range_header(&self) -> Option<String> {
        let from = self.start + self.received();
        match self.wanted {
            _ if self.asks_for_whole() => None,
            Some(wanted) => Some(format!("bytes={from}-{}", self.start + wanted - 1)),
            None => Some(format!("bytes={from}-")),
        }
    }

    /// Checks that an answer brings what comes next.
    ///
    /// # Errors
    /// [`BodyError`] where it does not; none of its body may be taken then.
    pub(super) fn accept_head(&mut self, answer: &GetObjectOutput) -> Result<(), BodyError> {
        let length = answer.content_length().and_then(|length| u64::try_from(length).ok());
        let length = length.ok_or(BodyError::Headless("Content-Length"))?;
        if let Some(asked) = self.range_header() {
            let from = self.start + self.received();
            let brought = answer.content_range().ok_or(BodyError::Headless("Content-Range"))?;
            if !brought.strip_prefix("bytes ").is_some_and(|range| range.starts_with(&format!("{from}-"))) {
                return Err(BodyError::OtherRange { asked, brought: brought.to_owned() });
            }
        }
        if self.asks_for_whole() {
            self.checksum = full_checksum(answer);
        }
        if self.etag.is_none() {
            self.etag = Some(answer.e_tag().ok_or(BodyError::Headless("ETag"))?.to_owned());
        }
        let wanted = *self.wanted.get_or_insert(length);
        let left = wanted - self.received();
        if length > left {
            return Err(BodyError::TooLong { found: length, wanted: left });
        }
        self.bytes.reserve(left.min(LARGEST_RESERVATION) as usize);
        Ok(())
    }

    /// Takes the next bytes of an accepted answer.
    ///
    /// # Errors
    /// [`BodyError::TooLong`] where there are more than were asked for. Nothing that came is kept then.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), BodyError> {
        self.bytes.extend_from_slice(bytes);
        let (found, wanted) = (self.received(), self.wanted.unwrap_or_default());
        if found > wanted {
            self.start_again();
            return Err(BodyError::TooLong { found, wanted });
        }
        Ok(())
    }

    /// Checks, at the end of an answer's body, that all bytes came and are those that were stored.
    ///
    /// # Errors
    /// [`BodyError::BrokeOff`] where some are still to come, [`BodyError::Checksum`] where they are not those: nothing
    /// that came is kept then.
    pub(super) fn check_end(&mut self) -> Result<(), BodyError> {
        let (received, wanted) = (self.received(), self.wanted.unwrap_or_default());
        if received < wanted {
            return Err(BodyError::BrokeOff { received, wanted });
        }
        let Some(Checksum { algorithm, expected }) = &self.checksum else { return Ok(()) };
        let mut found = algorithm.into_impl();
        found.update(&self.bytes);
        if found.header_value().as_bytes() == expected.as_bytes() {
            return Ok(());
        }
        let algorithm = algorithm.as_str();
        self.start_again();
        Err(BodyError::Checksum { algorithm })
    }

    /// The bytes, and the ETag of the state that they are of.
    pub(super) fn finish(self) -> (Bytes, String) {
        (self.bytes.freeze(), self.etag.unwrap_or_default())
    }
}

/// The checksum of a whole object in the head of an answer. One that ends in `-3` is of its three parts' checksums,
/// which cannot be held against the bytes.
fn full_checksum(answer: &GetObjectOutput) -> Option<Checksum> {
    CHECKSUM_ALGORITHMS_IN_PRIORITY_ORDER.into_iter().find_map(|name| {
        let algorithm = ChecksumAlgorithm::from_str(name).ok()?;
        let expected = match algorithm {
            ChecksumAlgorithm::Crc64Nvme => answer.checksum_crc64_nvme(),
            ChecksumAlgorithm::Crc32c => answer.checksum_crc32_c(),
            ChecksumAlgorithm::Crc32 => answer.checksum_crc32(),
            ChecksumAlgorithm::Sha1 => answer.checksum_sha1(),
            ChecksumAlgorithm::Sha256 => answer.checksum_sha256(),
            _ => None,
        }?;
        (!expected.contains('-')).then(|| Checksum { algorithm, expected: expected.to_owned() })
    })
}
