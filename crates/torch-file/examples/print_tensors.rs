//! Prints the floating-point tensors of dictionaries: a line for each, with file, key, shape and values.
//!
//! ```text
//! cargo run -p torch-file --example print_tensors -- FILE…
//! ```

use std::error::Error;

use torch_file::{LocalFile, TorchFile};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    for path in std::env::args().skip(1) {
        let file = TorchFile::open(LocalFile::open(&path)?).await?;
        for (key, value) in file.root().entries().into_iter().flatten() {
            if let (Some(key), Some(tensor)) = (key.as_str(), value.as_tensor())
                && tensor.dtype().is_float()
            {
                let values: Vec<f64> = file.stored(tensor)?.read().await?;
                println!("{path}\t{key}\t{:?}\t{values:?}", tensor.shape);
            }
        }
    }
    Ok(())
}
