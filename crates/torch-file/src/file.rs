//! A torch.save file of either form, or NumPy's archive of arrays: its object, and the way to its tensors.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use crate::{
    checksum::RunningChecksum,
    edges::Edges,
    error::{Error, FormatError},
    legacy::{self, Legacy},
    npz::{self, Npz},
    other_files::{self, FROM_TORCHSCRIPT, TORCHSCRIPT},
    pickle::{MAX_HELD, MAX_PICKLE, Stop, parse, parse_whole},
    printable::Printable,
    range::RangeRead,
    stored::{Place, StoredTensor},
    tensor::TensorRef,
    value::{Pickle, Value},
    zip::Directory,
};

/// How a file was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A zip archive, which PyTorch writes since 1.6.
    Zip,
    /// A sequence of pickles, which PyTorch 0.1.10 to 1.5 wrote.
    Legacy,
    /// A zip archive of arrays, which `numpy.savez` writes. Its object is the dictionary of the arrays by name.
    Npz,
}

enum Storages {
    Zip(Directory),
    Legacy(HashMap<Arc<str>, legacy::Storage>),
    Npz(HashMap<Arc<str>, npz::Storage>),
}

/// An open file of torch.save or numpy.savez. Opening reads its description, never its tensors.
pub struct TorchFile<R> {
    reader: Arc<R>,
    edges: Edges,
    pickle: Pickle,
    storages: Storages,
}

impl<R: RangeRead> TorchFile<R> {
    /// Reads a file's object, with its tensors as references. A file whose description lies within 64 KiB of its ends,
    /// as that of every data set does, takes two reads at the same time.
    ///
    /// # Errors
    /// [`Error::Read`] where the reader fails, and a [`FormatError`] for each malformation.
    pub async fn open(reader: R) -> Result<Self, Error<R::Error>> {
        let reader = Arc::new(reader);
        let edges = Edges::read(&*reader).await?;
        let head = edges.head();
        if head.starts_with(b"PK\x03\x04") {
            let directory = Directory::read(&*reader, &edges).await?;
            if npz::is_npz(&directory) {
                let Npz { pickle, storages } = npz::open(&*reader, &edges, &directory).await?;
                return Ok(Self { reader, edges, pickle, storages: Storages::Npz(storages) });
            }
            let (pickle, directory) = open_zip(&*reader, &edges, directory).await?;
            return Ok(Self { reader, edges, pickle, storages: Storages::Zip(directory) });
        }
        if legacy::is_legacy(head) {
            let Legacy { pickle, storages } = legacy::open(&*reader, &edges).await?;
            return Ok(Self { reader, edges, pickle, storages: Storages::Legacy(storages) });
        }
        let file = reader.name().to_owned();
        if head.get(257..262) == Some(b"ustar") {
            return Err(FormatError::Unsupported {
                file,
                what: "the tar form of PyTorch before 0.1.10".into(),
                instead: "load it with the PyTorch that wrote it and save it again",
            }
            .into());
        }
        Err(FormatError::NotTorch { file, reason: other_files::by_start(head) }.into())
    }

    /// The file's name, as its reader calls it.
    pub fn name(&self) -> &str {
        self.reader.name()
    }

    /// How the file was saved.
    pub fn format(&self) -> Format {
        match self.storages {
            Storages::Zip(_) => Format::Zip,
            Storages::Legacy(_) => Format::Legacy,
            Storages::Npz(_) => Format::Npz,
        }
    }

    /// The object that was saved.
    pub fn root(&self) -> Value<'_> {
        self.pickle.root()
    }

    /// Binds a tensor to its bytes. It can be read after this file was dropped.
    ///
    /// # Errors
    /// [`FormatError::Tensor`] where its elements are not all in the file.
    pub fn stored(&self, tensor: &TensorRef) -> Result<StoredTensor<R>, FormatError> {
        let storage = &tensor.storage;
        let fail = |reason| FormatError::Tensor { file: self.name().to_owned(), tensor: tensor.describe(), reason };
        tensor.check().map_err(fail)?;
        let missing = || fail(format!("its storage {} is not in the file", Printable(&storage.key)));
        let mut checksum = None;
        let (bytes, place) = match (&storage.held, &self.storages) {
            (Some(held), _) => (held.len() as u64, Place::Held(held.clone())),
            (None, Storages::Legacy(storages)) => {
                let legacy::Storage { elements, count, size } = storages.get(&storage.key).ok_or_else(missing)?;
                let place = Place::BehindCount { count: count.clone(), elements: *elements, checked: OnceLock::new() };
                (*size, place)
            }
            (None, Storages::Npz(storages)) => {
                let npz::Storage { member, payload, header } = storages.get(&storage.key).ok_or_else(missing)?;
                // All of a small member has been read already.
                if let Some(bytes) = self.edges.get(payload) {
                    member.check(self.name(), &bytes)?;
                }
                checksum = RunningChecksum::behind(member, header);
                let start = payload.start + header.len() as u64;
                (payload.end - start, Place::Known(start))
            }
            (None, Storages::Zip(directory)) => {
                let member = directory.member(&format!("data/{}", storage.key)).ok_or_else(missing)?;
                let size = member.size();
                checksum = RunningChecksum::behind(&member, &[]);
                let place = match member.payload_in(self.name(), &self.edges)? {
                    Some(payload) => {
                        // All of a small member has been read already.
                        if let Some(bytes) = self.edges.get(&payload) {
                            member.check(self.name(), &bytes)?;
                        }
                        Place::Known(payload.start)
                    }
                    None => Place::BehindHeader(member, OnceLock::new()),
                };
                (size, place)
            }
        };
        if storage.elements.checked_mul(storage.dtype.size()) != Some(bytes) {
            return Err(fail(format!(
                "its storage {} should have {} elements, the file has {bytes} bytes of it",
                Printable(&storage.key),
                storage.elements,
            )));
        }
        Ok(StoredTensor::new(Arc::clone(&self.reader), tensor.clone(), place, checksum))
    }
}

async fn open_zip<R: RangeRead>(
    reader: &R,
    edges: &Edges,
    directory: Directory,
) -> Result<(Pickle, Directory), Error<R::Error>> {
    let file = reader.name();
    let is_another = |directory: &Directory| {
        let mut names: Vec<&str> = directory.names().collect();
        names.sort_unstable();
        FormatError::NotTorch { file: file.to_owned(), reason: other_files::by_members(&names) }
    };
    if !directory.names().any(|name| name.ends_with("/data.pkl")) {
        return Err(is_another(&directory).into());
    }
    let directory = directory.into_folder(file)?;
    if directory.member("constants.pkl").is_some() {
        let what = TORCHSCRIPT.to_owned();
        return Err(FormatError::Unsupported { file: file.to_owned(), what, instead: FROM_TORCHSCRIPT }.into());
    }
    let Some(member) = directory.member("data.pkl") else {
        return Err(is_another(&directory).into());
    };
    if let Some(byte_order) = directory.member("byteorder") {
        let range = match byte_order.payload_in(file, edges)? {
            Some(range) => range,
            None => byte_order.payload(reader).await?,
        };
        let text = edges.get_or_read(reader, "byteorder", range.start..range.end.min(range.start + 16)).await?;
        if text.as_ref() != b"little" {
            return Err(legacy::big_endian(file).into());
        }
    }
    let range = match member.payload_in(file, edges)? {
        Some(range) => range,
        None => member.payload(reader).await?,
    };
    if member.size() > MAX_PICKLE {
        // What it holds shows at its start.
        let start = edges.get_or_read(reader, "data.pkl", range.start..range.start + (1 << 20)).await?;
        let building = match parse(&start, MAX_HELD) {
            Err(Stop::Short { building }) => building,
            _ => None,
        };
        return Err(FormatError::TooLargePickle {
            file: file.to_owned(),
            member: member.name().to_owned(),
            found: member.size(),
            limit: MAX_PICKLE,
            building: building.unwrap_or_else(|| "much else than tensors".to_owned()),
        }
        .into());
    }
    let bytes = edges.get_or_read(reader, "data.pkl", range).await?;
    member.check(file, &bytes)?;
    let pickle = parse_whole(file, member.name(), &bytes)?;
    Ok((pickle, directory))
}
