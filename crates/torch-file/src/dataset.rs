//! The field's data sets: images, magnitudes and redshifts of galaxies, row by row.

use std::{ops::Range, sync::Arc};

use futures::try_join;

use crate::{Error, Result, file::TorchFile, range::RangeRead, tensor::TensorRef, value::Value};

/// Bands of SDSS: u g r i z.
pub const BANDS: u64 = 5;
/// Pixels along each side of an image.
pub const SIDE: u64 = 32;

/// An open data set of `rows` galaxies.
pub struct Dataset {
    file: TorchFile,
    images: TensorRef,
    magnitudes: TensorRef,
    redshifts: Option<TensorRef>,
    rows: u64,
}

/// Consecutive galaxies, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// `[n, 5, 32, 32]`, nanomaggies per pixel.
    pub images: Vec<f32>,
    /// `[n, 5]`.
    pub magnitudes: Vec<f32>,
    /// `[n]`, where the file has them.
    pub redshifts: Option<Vec<f64>>,
}

impl Rows {
    /// Number of galaxies.
    pub fn len(&self) -> usize {
        self.magnitudes.len() / BANDS as usize
    }

    /// No galaxies.
    pub fn is_empty(&self) -> bool {
        self.magnitudes.is_empty()
    }
}

impl Dataset {
    /// Opens a `TensorDataset`, a tuple or list of the tensors, or a dictionary of them.
    ///
    /// # Errors
    /// What [`TorchFile::open`] says; [`Error::Content`] and [`Error::Shape`] where the file holds something else;
    /// [`Error::Tensor`] where a tensor is not wholly in the file.
    pub async fn open(reader: Arc<dyn RangeRead>) -> Result<Self> {
        Self::of(TorchFile::open(reader).await?).await
    }

    /// The data set in an open file.
    ///
    /// # Errors
    /// Those of [`Dataset::open`].
    pub async fn of(file: TorchFile) -> Result<Self> {
        let (images, magnitudes, redshifts) = {
            let [images, magnitudes, redshifts] = find_tensors(file.root()).ok_or_else(|| Error::Content {
                file: file.name().to_owned(),
                expected: "a data set (a TensorDataset, tuple or dictionary of images, magnitudes and redshifts)",
                found: file.root().describe(),
            })?;
            let tensor = |name, value: Option<Value<'_>>, wanted: &str| match value.and_then(Value::as_tensor) {
                Some(tensor) => Ok(tensor.clone()),
                None => Err(Error::Shape {
                    file: file.name().to_owned(),
                    tensor: name,
                    found: value.map_or("missing".into(), Value::describe),
                    expected: wanted.to_owned(),
                }),
            };
            (
                tensor("images", images, "a tensor of float32 [N, 5, 32, 32]")?,
                tensor("magnitudes", magnitudes, "a tensor of float64 [N, 5]")?,
                redshifts.map(|value| tensor("redshifts", Some(value), "a tensor of float32 [N]")).transpose()?,
            )
        };
        let rows = images.shape.first().copied().unwrap_or(0);
        let hold = |name, tensor: &TensorRef, shapes: &[&[u64]]| {
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
        hold("images", &images, &[&[rows, BANDS, SIDE, SIDE]])?;
        hold("magnitudes", &magnitudes, &[&[rows, BANDS]])?;
        if let Some(redshifts) = &redshifts {
            hold("redshifts", redshifts, &[&[rows], &[rows, 1]])?;
        }
        let check_redshifts = async {
            match &redshifts {
                Some(redshifts) => file.check(redshifts).await,
                None => Ok(()),
            }
        };
        try_join!(file.check(&images), file.check(&magnitudes), check_redshifts)?;
        Ok(Self { file, images, magnitudes, redshifts, rows })
    }

    /// Number of galaxies.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether the file says the galaxies' redshifts.
    pub fn has_redshifts(&self) -> bool {
        self.redshifts.is_some()
    }

    /// The tensors, by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&'static str, &TensorRef)> {
        let redshifts = self.redshifts.as_ref().map(|tensor| ("redshifts", tensor));
        [("images", &self.images), ("magnitudes", &self.magnitudes)].into_iter().chain(redshifts)
    }

    /// Bytes of a galaxy in the file.
    pub fn bytes_per_row(&self) -> u64 {
        let per_row = |tensor: &TensorRef| tensor.dtype().size() * tensor.shape[1..].iter().product::<u64>();
        per_row(&self.images) + per_row(&self.magnitudes) + self.redshifts.as_ref().map_or(0, per_row)
    }

    /// Magnitudes of consecutive galaxies, `[n, 5]`, in full precision: networks take f32, copies should not.
    ///
    /// # Errors
    /// Those of [`Dataset::read`].
    pub async fn magnitudes(&self, rows: Range<u64>) -> Result<Vec<f64>> {
        self.file.rows(&self.magnitudes, rows).await
    }

    /// Reads consecutive galaxies; needs memory for these and no others.
    ///
    /// # Errors
    /// [`Error::Rows`] where they are not there, [`Error::Read`] where they cannot be read.
    pub async fn read(&self, rows: Range<u64>) -> Result<Rows> {
        let redshifts = async {
            match &self.redshifts {
                Some(redshifts) => self.file.rows(redshifts, rows.clone()).await.map(Some),
                None => Ok(None),
            }
        };
        let (images, magnitudes, redshifts) = try_join!(
            self.file.rows(&self.images, rows.clone()),
            self.file.rows(&self.magnitudes, rows.clone()),
            redshifts
        )?;
        Ok(Rows { images, magnitudes, redshifts })
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
