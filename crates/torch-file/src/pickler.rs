//! The pickle of a data set, opcode by opcode as torch.save writes it.

use crate::dtype::DType;

/// How a data set holds its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A `torch.utils.data.TensorDataset`: the entries in their order, without their names.
    TensorDataset,
    /// A dictionary of the entries by name.
    Dictionary,
}

/// What a data set holds of each of its rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A tensor `[rows, …]`, which is written row by row.
    Tensor {
        /// Its key in a dictionary.
        name: String,
        /// Type of the elements.
        dtype: DType,
        /// Shape of a row.
        row_shape: Vec<u64>,
    },
    /// A list of Python's, with an item for each row.
    List {
        /// Its key in a dictionary.
        name: String,
        /// All of them, since they lie in front of the tensors.
        items: Vec<Item>,
    },
}

impl Entry {
    fn name(&self) -> &str {
        match self {
            Self::Tensor { name, .. } | Self::List { name, .. } => name,
        }
    }
}

/// A value of a list of Python's.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names are those of Python's types")]
pub enum Item {
    None,
    Bool(bool),
    Int(i64),
    /// From 2⁶³ to 2⁶⁴ − 1.
    UInt(u64),
    Float(f64),
    Str(String),
}

/// The pickle of a data set. Its tensors are contiguous, of `rows` rows, and in the storages 0, 1, … in their order.
pub(crate) fn data_set(form: Form, entries: &[Entry], rows: u64) -> Vec<u8> {
    let mut out = Pickler { bytes: vec![0x80, 2], storages: 0 };
    match form {
        Form::TensorDataset => {
            out.global("torch.utils.data.dataset", "TensorDataset");
            out.bytes.extend(b")\x81}");
            out.text("tensors");
            out.bytes.push(b'(');
            entries.iter().for_each(|entry| out.entry(entry, rows));
            out.bytes.extend(b"tsb.");
        }
        Form::Dictionary => {
            out.bytes.extend(b"}(");
            for entry in entries {
                out.text(entry.name());
                out.entry(entry, rows);
            }
            out.bytes.extend(b"u.");
        }
    }
    out.bytes
}

struct Pickler {
    bytes: Vec<u8>,
    storages: usize,
}

impl Pickler {
    fn global(&mut self, module: &str, name: &str) {
        self.bytes.extend(format!("c{module}\n{name}\n").as_bytes());
    }

    fn text(&mut self, text: &str) {
        self.bytes.push(b'X');
        self.bytes.extend((text.len() as u32).to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }

    fn int(&mut self, value: i64) {
        if let Ok(value) = i32::try_from(value) {
            self.bytes.push(b'J');
            self.bytes.extend(value.to_le_bytes());
        } else {
            self.bytes.extend([0x8a, 8]);
            self.bytes.extend(value.to_le_bytes());
        }
    }

    fn count(&mut self, value: u64) {
        self.int(value as i64);
    }

    fn tuple(&mut self, values: &[u64]) {
        self.bytes.push(b'(');
        for value in values {
            self.count(*value);
        }
        self.bytes.push(b't');
    }

    fn entry(&mut self, entry: &Entry, rows: u64) {
        match entry {
            Entry::Tensor { dtype, row_shape, .. } => self.tensor(*dtype, &[&[rows], &row_shape[..]].concat()),
            Entry::List { items, .. } => {
                self.bytes.extend(b"](");
                items.iter().for_each(|item| self.item(item));
                self.bytes.push(b'e');
            }
        }
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::None => self.bytes.push(b'N'),
            Item::Bool(value) => self.bytes.push(if *value { 0x88 } else { 0x89 }),
            Item::Int(value) => self.int(*value),
            Item::UInt(value) => {
                // The ninth byte is there for the sign.
                self.bytes.extend([0x8a, 9]);
                self.bytes.extend(value.to_le_bytes());
                self.bytes.push(0);
            }
            Item::Float(value) => {
                self.bytes.push(b'G');
                self.bytes.extend(value.to_be_bytes());
            }
            Item::Str(text) => self.text(text),
        }
    }

    fn tensor(&mut self, dtype: DType, shape: &[u64]) {
        let elements: u64 = shape.iter().product();
        // A type that has no storage class lies in a storage of bytes, and is named itself behind the hooks.
        let class = dtype.storage_class();
        self.global("torch._utils", if class.is_some() { "_rebuild_tensor_v2" } else { "_rebuild_tensor_v3" });
        self.bytes.extend(b"((");
        self.text("storage");
        match class {
            Some(class) => self.global("torch", class),
            None => self.global("torch.storage", "UntypedStorage"),
        }
        self.text(&self.storages.to_string());
        self.storages += 1;
        self.text("cpu");
        self.count(if class.is_some() { elements } else { elements * dtype.size() });
        self.bytes.extend(b"tQ");
        self.count(0);
        self.tuple(shape);
        let stride: Vec<u64> = (0..shape.len()).map(|dimension| shape[dimension + 1..].iter().product()).collect();
        self.tuple(&stride);
        self.bytes.push(0x89);
        self.global("collections", "OrderedDict");
        self.bytes.extend(b")R");
        if class.is_none() {
            self.global("torch", dtype.name());
        }
        self.bytes.extend(b"tR");
    }
}
