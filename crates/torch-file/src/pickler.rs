//! The pickle of a data set, opcode by opcode as torch.save writes it.

use crate::dtype::DType;

/// The pickle of a `TensorDataset` of contiguous tensors, each of an element type and a shape, in the storages 0, 1, ….
pub(crate) fn tensor_dataset(tensors: &[(DType, Vec<u64>)]) -> Vec<u8> {
    let mut out = Pickler(vec![0x80, 2]);
    out.global("torch.utils.data.dataset", "TensorDataset");
    out.0.extend(b")\x81}");
    out.text("tensors");
    out.0.push(b'(');
    for (key, (dtype, shape)) in tensors.iter().enumerate() {
        out.tensor(dtype.storage_class(), key, shape);
    }
    out.0.extend(b"tsb.");
    out.0
}

struct Pickler(Vec<u8>);

impl Pickler {
    fn global(&mut self, module: &str, name: &str) {
        self.0.extend(format!("c{module}\n{name}\n").as_bytes());
    }

    fn text(&mut self, text: &str) {
        self.0.push(b'X');
        self.0.extend((text.len() as u32).to_le_bytes());
        self.0.extend(text.as_bytes());
    }

    fn int(&mut self, value: u64) {
        if let Ok(value) = i32::try_from(value) {
            self.0.push(b'J');
            self.0.extend(value.to_le_bytes());
        } else {
            self.0.extend([0x8a, 8]);
            self.0.extend(value.to_le_bytes());
        }
    }

    fn tuple(&mut self, values: &[u64]) {
        self.0.push(b'(');
        for value in values {
            self.int(*value);
        }
        self.0.push(b't');
    }

    fn tensor(&mut self, storage: &str, key: usize, shape: &[u64]) {
        self.global("torch._utils", "_rebuild_tensor_v2");
        self.0.extend(b"((");
        self.text("storage");
        self.global("torch", storage);
        self.text(&key.to_string());
        self.text("cpu");
        self.int(shape.iter().product());
        self.0.extend(b"tQ");
        self.int(0);
        self.tuple(shape);
        let stride: Vec<u64> = (0..shape.len()).map(|dimension| shape[dimension + 1..].iter().product()).collect();
        self.tuple(&stride);
        self.0.push(0x89);
        self.global("collections", "OrderedDict");
        self.0.extend(b")RtR");
    }
}
