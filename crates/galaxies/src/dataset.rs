//! Reading a data set row by row.

use std::ops::Range;

use futures::try_join;
use torch_file::{RangeRead, StoredTensor, TensorRef, TorchFile, Value};

use crate::{
    error::Error,
    format::{BANDS, SIDE},
};

/// An open data set of [`rows`](Self::rows) galaxies. It holds where the tensors lie, and none of their values.
pub struct Dataset<R> {
    images: StoredTensor<R>,
    magnitudes: StoredTensor<R>,
    redshifts: Option<StoredTensor<R>>,
    rows: u64,
}

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
    /// [`Error::Content`] and [`Error::Shape`] where the file holds something else;
    /// [`torch_file::FormatError::Tensor`] where a tensor is not wholly in the file.
    pub fn of(file: &TorchFile<R>) -> Result<Self, Error<R::Error>> {
        let [images, magnitudes, redshifts] = find_tensors(file.root())
            .ok_or_else(|| Error::Content { file: file.name().to_owned(), found: file.root().describe() })?;
        let tensor = |name, value: Option<Value<'_>>, wanted: &str| match value.and_then(Value::as_tensor) {
            Some(tensor) => Ok(tensor.clone()),
            None => Err(Error::Shape {
                file: file.name().to_owned(),
                tensor: name,
                found: value.map_or("missing".into(), Value::describe),
                expected: wanted.to_owned(),
            }),
        };
        let images = tensor("images", images, "a tensor of float32 [N, 5, 32, 32]")?;
        let magnitudes = tensor("magnitudes", magnitudes, "a tensor of float64 [N, 5]")?;
        let redshifts =
            redshifts.map(|value| tensor("redshifts", Some(value), "a tensor of float32 [N]")).transpose()?;

        let rows = images.shape.first().copied().unwrap_or(0);
        let check_shape = |name, tensor: &TensorRef, shapes: &[&[u64]]| {
            if tensor.dtype().is_float() && shapes.contains(&tensor.shape.as_slice()) {
                return Ok(());
            }
            Err(Error::Shape {
                file: file.name().to_owned(),
                tensor: name,
                found: tensor.describe(),
                expected: format!("a floating-point type and shape {:?}", shapes[0]),
            })
        };
        let (bands, side) = (BANDS as u64, SIDE as u64);
        check_shape("images", &images, &[&[rows, bands, side, side]])?;
        check_shape("magnitudes", &magnitudes, &[&[rows, bands]])?;
        if let Some(redshifts) = &redshifts {
            check_shape("redshifts", redshifts, &[&[rows], &[rows, 1]])?;
        }
        Ok(Self {
            images: file.stored(&images)?,
            magnitudes: file.stored(&magnitudes)?,
            redshifts: redshifts.map(|tensor| file.stored(&tensor)).transpose()?,
            rows,
        })
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

    /// Bytes of a galaxy in the file.
    pub fn bytes_per_row(&self) -> u64 {
        self.tensors().map(|(_, tensor)| tensor.dtype().size() * tensor.shape[1..].iter().product::<u64>()).sum()
    }

    /// Reads consecutive galaxies; needs memory for these and no others.
    ///
    /// # Errors
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

    /// Reads the magnitudes of consecutive galaxies, `[n, 5]`, in the f64 that [`DatasetWriter`](crate::DatasetWriter) writes;
    /// networks take f32.
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

/// Images, magnitudes and redshifts, where the object is of a form that has them.
fn find_tensors(root: Value<'_>) -> Option<[Option<Value<'_>>; 3]> {
    let holder = match root.class() {
        Some((_, "TensorDataset")) => root.state()?.get("tensors")?,
        _ => root,
    };
    if let Some(elements) = holder.elements() {
        let mut elements = elements.fuse();
        return Some([elements.next(), elements.next(), elements.next()]);
    }
    let either = |plural: &str, singular: &str| holder.get(plural).or_else(|| holder.get(singular));
    let images = either("images", "image")?;
    Some([Some(images), either("magnitudes", "magnitude"), either("redshifts", "redshift")])
}
