//! A network's tensors by name, as they were trained.

use std::collections::{BTreeMap, btree_map};

use rayon::prelude::*;

use crate::error::{Error, Result};

/// One tensor, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// The size of each dimension, outermost first.
    pub shape: Vec<usize>,
    /// As many values as the product of the shape.
    pub data: Vec<f32>,
}

/// All parameters and running statistics of a network, by the names that PyTorch gives them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Weights {
    tensors: BTreeMap<String, Tensor>,
}

impl Weights {
    /// Adds a tensor, or replaces the one of that name.
    pub fn insert(&mut self, name: impl Into<String>, shape: Vec<usize>, data: Vec<f32>) {
        debug_assert_eq!(shape.iter().product::<usize>(), data.len());
        self.tensors.insert(name.into(), Tensor { shape, data });
    }

    /// Borrows a tensor.
    ///
    /// # Errors
    /// [`Error::Missing`] where there is none of that name.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).ok_or_else(|| Error::Missing { name: name.to_owned() })
    }

    /// Tells whether there is a tensor of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Iterates over all tensors in the order of their names.
    pub fn iter(&self) -> btree_map::Iter<'_, String, Tensor> {
        self.tensors.iter()
    }

    /// Counts the values of all tensors, running statistics among them.
    pub fn parameters(&self) -> usize {
        self.tensors.values().map(|tensor| tensor.data.len()).sum()
    }

    pub(crate) fn par_iter(&self) -> rayon::collections::btree_map::Iter<'_, String, Tensor> {
        self.tensors.par_iter()
    }

    /// The shapes of all tensors.
    pub(crate) fn shapes(&self) -> Shapes {
        Shapes(self.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect())
    }

    /// Removes a tensor, which must be there, and returns it.
    pub(crate) fn take(&mut self, name: &str) -> Result<Tensor> {
        self.remove(name).ok_or_else(|| Error::Missing { name: name.to_owned() })
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Tensor> {
        self.tensors.remove(name)
    }

    /// Removes all tensors whose names start with `prefix`, and returns them.
    pub(crate) fn split_off_prefix(&mut self, prefix: &str) -> Self {
        Self { tensors: self.tensors.extract_if(.., |name, _| name.starts_with(prefix)).collect() }
    }
}

/// The shapes of a network's tensors by name, known before the tensors are read.
#[derive(Debug, Default)]
pub(crate) struct Shapes(pub(crate) BTreeMap<String, Vec<usize>>);

impl Shapes {
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn get(&self, name: &str) -> Result<&Vec<usize>> {
        self.0.get(name).ok_or_else(|| Error::Missing { name: name.to_owned() })
    }

    /// The size of one dimension of a tensor.
    pub(crate) fn size(&self, name: &str, dimension: usize) -> Result<usize> {
        let shape = self.get(name)?;
        shape.get(dimension).copied().ok_or_else(|| Error::Shape {
            name: name.to_owned(),
            found: shape.clone(),
            expected: format!("at least {} dimensions", dimension + 1),
        })
    }
}

impl FromParallelIterator<(String, Tensor)> for Weights {
    fn from_par_iter<I: IntoParallelIterator<Item = (String, Tensor)>>(tensors: I) -> Self {
        Self { tensors: tensors.into_par_iter().collect() }
    }
}
