//! Writes a data set of two tensors, f32 `[rows, 3]` and f64 `[rows]`, that count from 0 on.
//!
//! ```text
//! cargo run -p torch-file --example write_dataset -- FILE ROWS
//! ```

use std::error::Error;

use torch_file::{DType, DataSetWriter, Entry, Form};

/// Rows that are written at once.
const STEP: u64 = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(rows)) = (arguments.next(), arguments.next()) else {
        return Err("usage: write_dataset FILE ROWS".into());
    };
    let tensor = |name: &str, dtype, row_shape| Entry::Tensor { name: name.to_owned(), dtype, row_shape };
    let entries = [tensor("triples", DType::F32, vec![3]), tensor("counts", DType::F64, Vec::new())];
    let rows: u64 = rows.parse()?;
    let mut writer = DataSetWriter::create(path, rows, Form::TensorDataset, &entries)?;
    for from in (0..rows).step_by(STEP as usize) {
        let to = rows.min(from + STEP);
        let first: Vec<u8> = (3 * from..3 * to).flat_map(|value| (value as f32).to_le_bytes()).collect();
        let second: Vec<u8> = (from..to).flat_map(|value| (value as f64).to_le_bytes()).collect();
        writer.write(&[&first, &second])?;
    }
    writer.finish()?;
    Ok(())
}
