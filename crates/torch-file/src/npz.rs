//! NumPy's archives of arrays (`numpy.savez`): a zip file of `.npy` files, which are stored and not compressed.
//!
//! The elements of an array lie behind the header of its member, contiguous, so that they are a storage like that of
//! torch.save, and the archive is a dictionary of tensors like that of a pickle.

use std::{collections::HashMap, ops::Range, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use crate::{
    dtype::DType,
    edges::Edges,
    error::{Error, FormatError},
    npy::{Header, MAX_HEADER, MAX_PREAMBLE},
    numpy::contiguous,
    range::RangeRead,
    tensor::{StorageRef, TensorRef},
    text_array::{TextArray, TextType},
    value::{Arena, Id, Node, Pickle, Span},
    zip::{Directory, Member},
};

/// An archive has at most this many arrays.
const MAX_ARRAYS: usize = 1_000;
/// The bytes that the arrays of text may take, all together: they are read when the file is opened.
const MAX_TEXTS: u64 = 64 << 20;
/// Headers that are read at the same time.
const CONCURRENT: usize = 16;
/// How the names of the members end.
const ENDING: &str = ".npy";

/// An archive's dictionary of arrays, and where their elements lie.
pub(crate) struct Npz {
    pub(crate) pickle: Pickle,
    pub(crate) storages: HashMap<Arc<str>, Storage>,
}

/// Where an array lies.
pub(crate) struct Storage {
    pub(crate) member: Member,
    /// Header and elements.
    pub(crate) payload: Range<u64>,
    /// The bytes of the header, in front of the elements.
    pub(crate) header: Bytes,
}

/// Whether a zip file is an archive of NumPy.
pub(crate) fn is_npz(directory: &Directory) -> bool {
    directory.names().any(|name| name.ends_with(ENDING)) && !directory.names().any(|name| name.ends_with("data.pkl"))
}

/// Reads the headers of all arrays, and the arrays of text.
pub(crate) async fn open<R: RangeRead>(
    reader: &R,
    edges: &Edges,
    directory: &Directory,
) -> Result<Npz, Error<R::Error>> {
    let file = reader.name();
    let members: Vec<Member> =
        directory.members().into_iter().filter(|member| member.name().ends_with(ENDING)).collect();
    let too_large = |what: &str, found: u64, limit: u64| FormatError::TooLarge {
        file: file.to_owned(),
        what: what.to_owned(),
        found,
        limit,
    };
    if members.len() > MAX_ARRAYS {
        return Err(too_large("the number of arrays", members.len() as u64, MAX_ARRAYS as u64).into());
    }
    let headers: Vec<(Storage, Header)> = stream::iter(members)
        .map(|member| read_header(reader, edges, member))
        .buffered(CONCURRENT)
        .try_collect()
        .await?;
    let mut dictionary = Dictionary::default();
    let mut storages = HashMap::with_capacity(headers.len());
    let mut texts = 0_u64;
    for (storage, header) in headers {
        let name = storage.member.name();
        let name = name.strip_suffix(ENDING).unwrap_or(name).to_owned();
        let malformed =
            |reason| FormatError::Zip { file: file.to_owned(), member: storage.member.name().to_owned(), reason };
        let value = if let Some(element) = TextType::of_numpy(header.name.as_bytes(), header.big_endian) {
            texts = texts.saturating_add(storage.member.size());
            if texts > MAX_TEXTS {
                return Err(too_large("the size of its arrays of text", texts, MAX_TEXTS).into());
            }
            let payload = edges.get_or_read(reader, storage.member.name(), storage.payload.clone()).await?;
            storage.member.check(file, &payload)?;
            let elements = payload.slice(storage.header.len()..);
            let array = TextArray::new(element, &header.shape, elements).map_err(malformed)?;
            array.map(|texts| Node::Texts(Box::new(texts)))
        } else {
            tensor(&name, &header, &storage).map_err(malformed)?.map(|tensor| Node::Tensor(Box::new(tensor)))
        };
        dictionary.insert(&name, &header, value);
        storages.insert(name.into(), storage);
    }
    Ok(Npz { pickle: dictionary.into_pickle(), storages })
}

async fn read_header<R: RangeRead>(
    reader: &R,
    edges: &Edges,
    member: Member,
) -> Result<(Storage, Header), Error<R::Error>> {
    let most = (MAX_PREAMBLE + MAX_HEADER) as u64;
    let (payload, start) = member.payload_with_start(reader, Some(edges), most).await?;
    let header = Header::parse(&start).map_err(|reason| FormatError::Zip {
        file: reader.name().to_owned(),
        member: member.name().to_owned(),
        reason,
    })?;
    Ok((Storage { member, payload, header: start.slice(..header.length) }, header))
}

/// The tensor that an array is; `None` where its elements are of a type that is not read. The error says what
/// contradicts itself.
fn tensor(name: &str, header: &Header, storage: &Storage) -> Result<Option<TensorRef>, String> {
    let Some(dtype) = DType::of_numpy(header.name.as_bytes()) else {
        return Ok(None);
    };
    let (stride, elements) = contiguous(&header.shape, header.fortran_order)?;
    let bytes = storage.member.size() - storage.header.len() as u64;
    if elements.checked_mul(dtype.size()) != Some(bytes) {
        return Err(format!("it has {bytes} bytes for {} {:?}", dtype.name(), header.shape));
    }
    let big_endian = header.big_endian;
    let storage = StorageRef { key: name.into(), dtype, elements, first: 0, visible: elements, big_endian, held: None };
    TensorRef::new(storage, 0, &header.shape, &stride).map(Some)
}

/// The values of the dictionary, as they would be in a pickle.
#[derive(Default)]
struct Dictionary {
    texts: Vec<u8>,
    nodes: Vec<Node>,
    names: Vec<Id>,
    values: Vec<Id>,
}

impl Dictionary {
    fn text(&mut self, text: &str) -> Span {
        let start = self.texts.len();
        self.texts.extend(text.as_bytes());
        Span::new(start..self.texts.len())
    }

    fn node(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        (self.nodes.len() - 1) as Id
    }

    /// Adds an array. One that is not read is what it is in a pickle, a call with the type.
    fn insert(&mut self, name: &str, header: &Header, value: Option<Node>) {
        let name = Node::Str(self.text(name));
        let name = self.node(name);
        self.names.push(name);
        let value = value.unwrap_or_else(|| {
            let (module, function) = (self.text("numpy.core.numeric"), self.text("_frombuffer"));
            let class = self.node(Node::Global { module, name: function });
            let name = self.text(&header.name);
            let dtype = self.node(Node::NumpyType { name, big_endian: header.big_endian });
            Node::Object { class, state: Some(dtype) }
        });
        let value = self.node(value);
        self.values.push(value);
    }

    /// The dictionary; or the tuple that `numpy.savez(path, images, magnitudes)` was given, whose arrays it calls
    /// `arr_0`, `arr_1`, ….
    fn into_pickle(self) -> Pickle {
        let Self { texts, nodes, names, values } = self;
        let mut arena = Arena { bytes: texts.into(), nodes };
        let place = |name: &Id| (0..names.len()).find(|place| arena.is_text(*name, &format!("arr_{place}")));
        let places: Option<Vec<usize>> = names.iter().map(place).collect();
        let root = match places {
            Some(places) => {
                let mut placed: Vec<(usize, Id)> = places.into_iter().zip(values).collect();
                placed.sort_unstable();
                Node::Tuple(placed.into_iter().map(|(_, value)| value).collect())
            }
            None => Node::Dict(names.into_iter().zip(values).collect()),
        };
        arena.nodes.push(root);
        let root = (arena.nodes.len() - 1) as Id;
        Pickle { arena, root }
    }
}
