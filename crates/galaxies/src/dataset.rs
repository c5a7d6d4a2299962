//! Reading a data set row by row.

use std::{
    collections::{HashMap, hash_map::Entry},
    ops::Range,
};

use futures::{future::try_join_all, try_join};
use torch_file::{Item, Printable, RangeRead, StoredTensor, TensorRef, TorchFile, Value};

use crate::{
    advice,
    column::{self, Column, ColumnValues, Source},
    error::Error,
    format::{BANDS, SIDE},
};

/// An open data set of [`rows`](Self::rows) galaxies. It holds where the tensors lie, and none of their values.
pub struct Dataset<R> {
    images: StoredTensor<R>,
    magnitudes: StoredTensor<R>,
    redshifts: Option<StoredTensor<R>>,
    columns: Vec<Column>,
    /// Where the values of each column lie.
    sources: Vec<Source<R>>,
    rows: u64,
    unused: Vec<String>,
}

/// Columns of a data set's own that are read at the same time.
const CONCURRENT_COLUMNS: usize = 16;

/// Consecutive galaxies of a data set, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Galaxies {
    /// `[n, 5, 32, 32]`, in the file's own scaling.
    pub images: Vec<f32>,
    /// `[n, 5]`.
    pub magnitudes: Vec<f32>,
    /// `[n]`; `None` where the file has no redshifts at all.
    pub redshifts: Option<Vec<f64>>,
}

impl Galaxies {
    /// Number of galaxies.
    pub fn len(&self) -> usize {
        self.magnitudes.len() / BANDS
    }

    /// Whether there is no galaxy.
    pub fn is_empty(&self) -> bool {
        self.magnitudes.is_empty()
    }
}

impl<R: RangeRead> Dataset<R> {
    /// Opens a `TensorDataset`, a tuple or list of the tensors, or a dictionary of them.
    ///
    /// # Errors
    /// What [`TorchFile::open`] says, and those of [`Dataset::of`].
    pub async fn open(reader: R) -> Result<Self, Error<R::Error>> {
        Self::of(&TorchFile::open(reader).await?)
    }

    /// The data set in an open file.
    ///
    /// # Errors
    /// [`Error::Content`] and [`Error::Shape`] where the file holds something else; [`Error::ColumnName`] where one of its
    /// columns has a name of the catalogue's; [`Error::TooManyColumns`]; [`torch_file::FormatError::Tensor`] where a tensor is not wholly in the
    /// file.
    pub fn of(file: &TorchFile<R>) -> Result<Self, Error<R::Error>> {
        let content = |found: String| Error::Content { file: file.name().to_owned(), found };
        let Found { images, magnitudes, redshifts, others, mut unused } = find_tensors(file.root()).map_err(content)?;
        let tensor = |name, value: Option<Value<'_>>, wanted: &str| match value.and_then(Value::as_tensor) {
            Some(tensor) => Ok(tensor.clone()),
            None => Err(Error::Shape {
                file: file.name().to_owned(),
                tensor: name,
                found: value.map_or("missing".into(), Value::describe),
                expected: wanted.to_owned(),
            }),
        };
        let images = tensor("images", images, "a tensor of float32 [N, 5, 32, 32], as `torch.as_tensor` makes it")?;
        let magnitudes = tensor("magnitudes", magnitudes, "a tensor of float64 [N, 5], as `torch.as_tensor` makes it")?;
        let redshifts = redshifts.filter(|value| !value.is_none());
        let redshifts = redshifts
            .map(|value| {
                tensor("redshifts", Some(value), "a tensor of float32 [N], as `torch.as_tensor` makes it, or `None`")
            })
            .transpose()?;

        let rows = images.shape.first().copied().unwrap_or(0);
        let check_shape = |name, tensor: &TensorRef, shapes: &[&[u64]]| {
            if tensor.dtype().is_float() && shapes.contains(&tensor.shape.as_slice()) {
                return Ok(());
            }
            let advice = match tensor.dtype().is_float() {
                true => {
                    advice::reshape(name, &tensor.shape).map_or_else(String::new, |line| format!(": save `{line}`"))
                }
                false => ": save them with `.float()`".to_owned(),
            };
            Err(Error::Shape {
                file: file.name().to_owned(),
                tensor: name,
                found: tensor.describe(),
                expected: format!("a floating-point type and shape {:?}{advice}", shapes[0]),
            })
        };
        let (bands, side) = (BANDS as u64, SIDE as u64);
        check_shape("images", &images, &[&[rows, bands, side, side]])?;
        check_shape("magnitudes", &magnitudes, &[&[rows, bands]])?;
        if let Some(redshifts) = &redshifts {
            check_shape("redshifts", redshifts, &[&[rows], &[rows, 1]])?;
        }
        // Every image has bytes of its own, or a small file could promise any number of rows. Magnitudes and redshifts
        // of many rows may lie in one place.
        if !images.fits_its_storage() {
            return Err(Error::Shape {
                file: file.name().to_owned(),
                tensor: "images",
                found: format!("{}, of which many lie in one place", images.describe()),
                expected: "images with bytes of their own: save them with `.contiguous()`".to_owned(),
            });
        }
        let (mut columns, mut sources) = (Vec::new(), Vec::new());
        let (mut bytes_per_row, mut room) = (0, column::MAX_LISTS);
        for (name, value) in others {
            if column::is_a_catalogues(&name) {
                return Err(Error::ColumnName { file: file.name().to_owned(), column: Printable(&name).to_string() });
            }
            let too_many = || {
                Err(Error::TooManyColumns { file: file.name().to_owned(), columns: MAX_COLUMNS, bytes: MAX_ROW_BYTES })
            };
            if columns.len() == MAX_COLUMNS {
                return too_many();
            }
            let found = match value.as_tensor() {
                _ if name.is_empty() => Err("a name without letters".to_owned()),
                Some(tensor) => column::of_tensor(tensor, rows).map(|kind| (kind, None)),
                None => column::of_list(value, rows, &mut room).map(|(kind, items)| (kind, Some(items))),
            };
            match found {
                Ok((kind, items)) => {
                    bytes_per_row += kind.size();
                    if bytes_per_row > MAX_ROW_BYTES {
                        return too_many();
                    }
                    let source = match (items, value.as_tensor()) {
                        (None, Some(tensor)) => Source::Tensor(file.stored(tensor)?.into()),
                        (items, _) => Source::of_items(kind, items.unwrap_or_default()),
                    };
                    let is_list = matches!(source, Source::List(_));
                    sources.push(source);
                    columns.push(Column { name, kind, is_list });
                }
                Err(reason) if unused.len() < MAX_NAMES => unused.push(format!("{} ({reason})", Printable(&name))),
                Err(_) => {}
            }
        }
        unused.truncate(MAX_NAMES);
        Ok(Self {
            images: file.stored(&images)?,
            magnitudes: file.stored(&magnitudes)?,
            redshifts: redshifts.map(|tensor| file.stored(&tensor)).transpose()?,
            columns,
            sources,
            rows,
            unused,
        })
    }

    /// The data set's own columns, in the file's order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The items that those of its own columns which are lists have for consecutive galaxies, column by column.
    pub fn lists(&self, rows: Range<u64>) -> Vec<Vec<Item>> {
        self.sources.iter().filter_map(|source| source.items(&rows)).collect()
    }

    /// What the file holds and what is not read, since it can be no column, with the reason: keys of a
    /// dictionary, and tensors of a tuple by their place. At most 20 are named.
    pub fn unused(&self) -> &[String] {
        &self.unused
    }

    /// Number of galaxies.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether the file says the galaxies' redshifts.
    pub fn has_redshifts(&self) -> bool {
        self.redshifts.is_some()
    }

    /// The tensors by name, in the order of the published data sets.
    pub fn tensors(&self) -> impl Iterator<Item = (&'static str, &TensorRef)> {
        let tensors = [("images", Some(&self.images)), ("magnitudes", Some(&self.magnitudes))];
        let tensors = tensors.into_iter().chain([("redshifts", self.redshifts.as_ref())]);
        tensors.filter_map(|(name, tensor)| Some((name, tensor?.description())))
    }

    /// Bytes of a galaxy in the file. A text counts as 8.
    pub fn bytes_per_row(&self) -> u64 {
        let tensors =
            self.tensors().map(|(_, tensor)| tensor.dtype().size() * tensor.shape[1..].iter().product::<u64>());
        tensors.chain(self.columns.iter().map(|column| column.kind.size())).sum()
    }

    /// Reads consecutive galaxies; needs memory for these and no others.
    ///
    /// Who reads all rows in order, from 0 on and each range behind the last one, has the file's bytes checked against
    /// the checksums of its archive by the read that ends with the last row. What earlier reads gave is not to be
    /// believed before that. Starting again with row 0 starts the check again.
    ///
    /// # Errors
    /// [`torch_file::FormatError::Checksum`] for the last row where any byte was not the right one,
    /// [`torch_file::FormatError::Rows`] where the rows are not there, [`torch_file::Error::Read`] where they cannot be
    /// read.
    pub async fn read(&self, rows: Range<u64>) -> Result<Galaxies, Error<R::Error>> {
        let (images, magnitudes, redshifts) = try_join!(
            self.images.read_rows(rows.clone()),
            self.magnitudes.read_rows(rows.clone()),
            self.read_redshifts(rows.clone())
        )?;
        Ok(Galaxies { images, magnitudes, redshifts })
    }

    /// Reads what [its own columns](Self::columns) have for consecutive galaxies, which are checked as those of
    /// [`read`](Self::read) are.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub async fn read_columns(&self, rows: Range<u64>) -> Result<Vec<ColumnValues>, Error<R::Error>> {
        let mut columns = Vec::with_capacity(self.sources.len());
        for sources in self.sources.chunks(CONCURRENT_COLUMNS) {
            columns.extend(try_join_all(sources.iter().map(|source| source.read(rows.clone()))).await?);
        }
        Ok(columns)
    }

    /// Reads the magnitudes of consecutive galaxies, `[n, 5]`, in the f64 that [`DatasetWriter`](crate::DatasetWriter)
    /// writes; networks take f32.
    ///
    /// # Errors
    /// Those of [`Dataset::read`].
    pub async fn read_exact_magnitudes(&self, rows: Range<u64>) -> Result<Vec<f64>, Error<R::Error>> {
        Ok(self.magnitudes.read_rows(rows).await?)
    }

    async fn read_redshifts(&self, rows: Range<u64>) -> Result<Option<Vec<f64>>, torch_file::Error<R::Error>> {
        match &self.redshifts {
            Some(redshifts) => redshifts.read_rows(rows).await.map(Some),
            None => Ok(None),
        }
    }
}

/// What an object has that may be a data set.
struct Found<'a> {
    images: Option<Value<'a>>,
    magnitudes: Option<Value<'a>>,
    redshifts: Option<Value<'a>>,
    /// What may be the data set's own columns, by name.
    others: Vec<(String, Value<'a>)>,
    /// Keys that are no text, or one too long for a name.
    unused: Vec<String>,
}

/// The most names that are listed.
const MAX_NAMES: usize = 20;
/// The most columns of its own that a data set may have.
const MAX_COLUMNS: usize = 500;
/// The most bytes that these may take for each galaxy: a file's rows wait in memory until its checksum is known.
const MAX_ROW_BYTES: u64 = 8192;

/// Images, magnitudes and redshifts, where the object is of a form that has them. The error says what it is instead,
/// and how a data set is made of it.
fn find_tensors(root: Value<'_>) -> Result<Found<'_>, String> {
    let holder = match root.class() {
        Some((_, "TensorDataset")) => root.state().and_then(|state| state.get("tensors")).unwrap_or(root),
        _ => root,
    };
    if let Some(mut elements) = holder.elements() {
        if let Some(samples) = holder.describe_samples() {
            return Err(samples);
        }
        let (images, magnitudes, redshifts) = (elements.next(), elements.next(), elements.next());
        let others = elements.zip(3..).filter(|(value, _)| !value.is_none());
        let others = others.map(|(value, place)| (format!("column_{place}"), value)).collect();
        return Ok(Found { images, magnitudes, redshifts, others, unused: Vec::new() });
    }
    let Some(entries) = holder.entries() else {
        return Err(match root.class() {
            Some((_, "ndarray")) | None => root.describe(),
            Some(_) => format!(
                "{}: save its tensors, `torch.save(TensorDataset(images, magnitudes, redshifts), path)`",
                root.describe()
            ),
        });
    };
    let name = |names: [&'static str; 2]| names.into_iter().find(|name| holder.get(name).is_some());
    let names = [["images", "image"], ["magnitudes", "magnitude"], ["redshifts", "redshift"]].map(name);
    let [images, magnitudes, redshifts] = names.map(|name| name.and_then(|name| holder.get(name)));
    if images.is_none() {
        let keys = entries.take(MAX_NAMES).map(|(key, _)| match key.as_name() {
            Some(text) => Printable(text).to_string(),
            None => key.describe(),
        });
        return Err(format!(
            "{} with the keys {}: save it with the keys images, magnitudes and redshifts",
            holder.describe(),
            keys.collect::<Vec<_>>().join(", ")
        ));
    }
    let (mut others, mut unused) = (Vec::<(String, Value<'_>)>::new(), Vec::new());
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (key, value) in entries {
        match key.as_name() {
            Some(key) if names.contains(&Some(key)) => {}
            Some(key) => match places.entry(key) {
                // As in Python, a key that is there twice has its last value.
                Entry::Occupied(place) => others[*place.get()].1 = value,
                Entry::Vacant(place) => {
                    place.insert(others.len());
                    others.push((key.to_owned(), value));
                }
            },
            None => unused.push(key.describe()),
        }
    }
    others.retain(|(_, value)| !value.is_none());
    Ok(Found { images, magnitudes, redshifts, others, unused })
}
