//! A network's tensors by name, as they were trained.

use std::collections::{BTreeMap, btree_map};

use rayon::prelude::*;

use crate::{Error, Result};

/// One tensor, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Size of each dimension.
    pub shape: Vec<usize>,
    /// The values.
    pub data: Vec<f32>,
}

/// All parameters and running statistics of a network.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Weights {
    tensors: BTreeMap<String, Tensor>,
}

impl Weights {
    /// Adds a tensor.
    pub fn insert(&mut self, name: impl Into<String>, shape: Vec<usize>, data: Vec<f32>) {
        debug_assert_eq!(shape.iter().product::<usize>(), data.len());
        self.tensors.insert(name.into(), Tensor { shape, data });
    }

    /// A tensor by name.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).ok_or_else(|| Error::Missing { name: name.to_owned() })
    }

    /// Whether there is such a tensor.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// All tensors, by name.
    pub fn iter(&self) -> btree_map::Iter<'_, String, Tensor> {
        self.tensors.iter()
    }

    /// All tensors, by name, on all cores.
    pub(crate) fn par_iter(&self) -> rayon::collections::btree_map::Iter<'_, String, Tensor> {
        self.tensors.par_iter()
    }

    /// Number of values.
    pub fn parameters(&self) -> usize {
        self.tensors.values().map(|tensor| tensor.data.len()).sum()
    }

    /// Size of one dimension of a tensor.
    pub(crate) fn size(&self, name: &str, dimension: usize) -> Result<usize> {
        let tensor = self.get(name)?;
        tensor.shape.get(dimension).copied().ok_or_else(|| Error::Shape {
            name: name.to_owned(),
            found: tensor.shape.clone(),
            expected: format!("at least {} dimensions", dimension + 1),
        })
    }

    /// Takes a tensor out.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub(crate) fn take(&mut self, name: &str) -> Result<Tensor> {
        self.remove(name).ok_or_else(|| Error::Missing { name: name.to_owned() })
    }

    /// Takes a tensor out, if it is there.
    pub(crate) fn remove(&mut self, name: &str) -> Option<Tensor> {
        self.tensors.remove(name)
    }

    /// Takes out all tensors whose names start so.
    pub(crate) fn take_all(&mut self, prefix: &str) -> Self {
        Self { tensors: self.tensors.extract_if(.., |name, _| name.starts_with(prefix)).collect() }
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.tensors.retain(|name, _| keep(name));
    }
}

impl FromParallelIterator<(String, Tensor)> for Weights {
    fn from_par_iter<I: IntoParallelIterator<Item = (String, Tensor)>>(tensors: I) -> Self {
        Self { tensors: tensors.into_par_iter().collect() }
    }
}
