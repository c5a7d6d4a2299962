//! Files that PyTorch wrote (`fixtures/make.py`), read back; and ways in which they can be broken. Data sets, and what can be
//! wrong with them, are in the tests of the crate `galaxies`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;

use torch_file::{Attribute, Checkpoint, Format, InMemory, LocalFile, TorchFile};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

fn open(name: &str) -> TorchFile<LocalFile> {
    run(TorchFile::open(LocalFile::open(fixture(name)).unwrap())).unwrap()
}

#[test]
fn what_a_pickle_would_call_is_only_named() {
    let marker = std::path::Path::new("/tmp/torch-file-executed-a-pickle");
    assert!(!marker.exists(), "left over from a torch.load of hostile.pt: remove it");
    let file = open("hostile.pt");
    assert_eq!(file.root().get("extra").unwrap().class(), Some(("posix", "system")));
    assert!(!marker.exists());
}

#[test]
fn a_module_and_its_state_dict_have_the_same_tensors() {
    let read = |name: &str| {
        let file = open(name);
        let checkpoint = Checkpoint::of(&file).unwrap();
        let bias = file.stored(&checkpoint.tensors["linear.bias"]).unwrap();
        (checkpoint, run(bias.read::<f32>()).unwrap(), file.format())
    };
    let (module, bias, format) = read("module.pt");
    assert_eq!((module.class.as_deref(), format), (Some("Tiny"), Format::Zip));
    assert_eq!(module.attributes["num_heads"], Attribute::Int(3));
    assert_eq!(module.attributes["norm.eps"], Attribute::Float(1e-3));
    assert_eq!(module.attributes["conv.kernel_size"], Attribute::Ints(vec![3, 3]));
    assert_eq!(module.tensors["conv.weight"].shape, [8, 2, 3, 3]);
    assert_eq!(module.tensors["conv.weight"], module.tensors["same_conv.weight"]);
    for name in ["module-legacy.pt", "state-dict.pt", "wrapped-state-dict.pt"] {
        let (other, other_bias, _) = read(name);
        assert_eq!(other.tensors.keys().collect::<Vec<_>>(), module.tensors.keys().collect::<Vec<_>>(), "{name}");
        assert_eq!(other_bias, bias, "{name}");
    }
}

#[test]
fn the_tar_form_is_named() {
    let mut tar = vec![0; 1024];
    tar[257..262].copy_from_slice(b"ustar");
    assert!(run(TorchFile::open(InMemory::new("old.pt", tar))).err().unwrap().to_string().contains("tar form"));
}

mod broken {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn a_module_survives_any_change(at in 0_usize..9_000, value in any::<u8>()) {
            let mut bytes = std::fs::read(fixture("module.pt")).unwrap();
            let at = at % bytes.len();
            bytes[at] = value;
            run(async {
                if let Ok(file) = TorchFile::open(InMemory::new("mutated.pt", bytes)).await
                    && let Ok(checkpoint) = Checkpoint::of(&file)
                {
                    for tensor in checkpoint.tensors.values() {
                        if let Ok(stored) = file.stored(tensor) {
                            let _ = stored.read::<f32>().await;
                        }
                    }
                }
            });
        }
    }
}
