//! Where files lie: S3, or a local folder with the same keys.
//!
//! There is one trait with two implementations, and one conformance suite (`tests/storage.rs`) over a folder and over
//! S3's protocol; `tests/storage_faults.rs` has an S3 that misbehaves. Why not the `object_store` crate: the functions
//! need `aws-sdk-s3` anyway (credentials, signing and endpoint settings are then those of all AWS tools), and a handful
//! of operations do not pay for a second client.

mod address;
mod error;
mod limits;
mod local;
mod object;
mod printable;
mod reader;
mod requests;
mod s3;

pub use address::{is_bucket_name, is_in_s3, split_address};
pub use error::{BoxError, StorageError, explain};
pub use limits::Limits;
pub use local::LocalStore;
pub use object::{Listing, Object, ObjectInfo, ObjectStore, Stores, Unreadable, Upload, Write, as_folder, if_present};
pub use printable::printable;
pub use reader::ObjectReader;
pub use requests::Requests;
pub use s3::{S3Store, aws_config};
