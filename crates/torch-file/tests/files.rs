//! Files that PyTorch wrote (`fixtures/make.py`), read back; and ways in which they can be broken. Data sets, and what
//! can be wrong with them, are in the tests of the crate `galaxies`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;

use torch_file::{Attribute, Checkpoint, DType, Format, InMemory, LocalFile, TorchFile};
use written::Pickle;

mod written;

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

/// The keys of the tensors that make.py saves, each of which has the values 0 to 5 in two rows.
const ASSORTED: [&str; 13] = [
    "plain",
    "float64",
    "half",
    "bfloat16",
    "permuted",
    "stepped",
    "expanded",
    "parameter",
    "negative",
    "numpy",
    "numpy float64, big-endian",
    "numpy, in columns",
    "numpy half",
];

#[test]
fn every_protocol_gives_the_same_values_in_both_forms() {
    for protocol in 0..=5 {
        for (form, format) in [("", Format::Zip), ("-legacy", Format::Legacy)] {
            let name = format!("protocol-{protocol}{form}.pt");
            let file = open(&name);
            assert_eq!(file.format(), format, "{name}");
            for key in ASSORTED {
                let tensor = file.root().get(key).unwrap().as_tensor();
                let tensor = tensor.unwrap_or_else(|| panic!("{name}: {key} is no tensor"));
                assert_eq!(tensor.shape, [2, 3], "{name}: {key}");
                let stored = file.stored(tensor).unwrap();
                assert_eq!(run(stored.read::<f64>()).unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], "{name}: {key}");
                assert_eq!(run(stored.read_rows::<f32>(1..2)).unwrap(), [3.0, 4.0, 5.0], "{name}: {key}");
            }
            let others = file.root().get("others").unwrap();
            let others: Vec<String> = others.elements().unwrap().map(|value| value.describe()).collect();
            let expected = [
                "None",
                "the boolean true",
                "the number 2.5",
                "the integer -1099511627776",
                "the text \"Δé\\u\"",
                "2 bytes",
                "a list of 1",
                "a dictionary of 1",
                "a set of 1",
            ];
            assert_eq!(others, expected, "{name}");
        }
    }
}

/// The call by which torch 2.3 and later save a tensor of a type that has no storage class of its own: an untyped
/// storage, and the type as a name of the module `torch`.
fn untyped(bytes: &[u8], shape: &[i64], dtype: &str, behind: Pickle) -> Result<TorchFile<InMemory>, String> {
    let storage = Pickle::default().raw(b"(").text("storage").global("torch.storage", "UntypedStorage").text("0");
    let storage = storage.text("cpu").int(bytes.len() as i64).raw(b"tQ");
    let tensor = Pickle::new().raw(b"}").text("id").global("torch._utils", "_rebuild_tensor_v3").raw(b"(");
    let tensor = tensor.raw(&storage.0).int(1).ints(shape).ints(&[1]).raw(b"\x89}").global("torch", dtype);
    let file = tensor.raw(&behind.0).raw(b"tRs").file(&[("0", bytes)]);
    run(TorchFile::open(InMemory::new("untyped.pt", file))).map_err(|error| error.to_string())
}

#[test]
fn tensors_of_types_without_a_storage_class_are_read() {
    let tensor = |file: &TorchFile<InMemory>| file.root().get("id").unwrap().as_tensor().unwrap().clone();
    for (dtype, expected, size) in [
        ("uint16", DType::U16, 2),
        ("uint32", DType::U32, 4),
        ("uint64", DType::U64, 8),
        ("bool", DType::Bool, 1),
        ("float8_e4m3fn", DType::Float8("float8_e4m3fn"), 1),
    ] {
        let file = untyped(&vec![0xff; 3 * size], &[2], dtype, Pickle::default()).unwrap();
        let tensor = tensor(&file);
        assert_eq!((tensor.dtype(), tensor.offset, tensor.storage.elements), (expected, 1, 3), "{dtype}");
        assert_eq!(tensor.describe(), format!("{dtype} [2]"));
        assert!(file.stored(&tensor).is_ok(), "{dtype}");
    }
    let floats: Vec<u8> = [9.0_f64, 1.0, -2.5].iter().flat_map(|value| value.to_le_bytes()).collect();
    for (behind, expected) in
        [(Pickle::default(), [1.0, -2.5]), (Pickle::default().raw(b"}").text("neg").raw(b"\x88s"), [-1.0, 2.5])]
    {
        let file = untyped(&floats, &[2], "float64", behind).unwrap();
        assert_eq!(run(file.stored(&tensor(&file)).unwrap().read::<f64>()).unwrap(), expected);
    }
    let said = untyped(&[0; 7], &[2], "uint32", Pickle::default()).err().unwrap();
    assert!(said.contains("a tensor of uint32 in 7 bytes"), "{said}");
    let other = untyped(&[0; 8], &[2], "bits1x8", Pickle::default()).unwrap();
    let described = other.root().get("id").unwrap().describe();
    assert_eq!(described, "a tensor of the type torch.bits1x8, which is not read");
}

#[test]
fn integers_between_63_and_64_bits_are_exact_in_every_protocol() {
    let long = |value: u128| Pickle::default().raw(b"\x8a\x09").raw(&value.to_le_bytes()[..9]).0;
    let digits = |value: u128| format!("L{value}L\n").into_bytes();
    for write in [&long as &dyn Fn(u128) -> Vec<u8>, &digits] {
        let read = |value: u128| {
            let file = Pickle::new().raw(&write(value)).file(&[]);
            run(TorchFile::open(InMemory::new("integers.pt", file))).unwrap()
        };
        for value in [0, 1 << 62, (1 << 63) - 1, 1 << 63, 18_446_744_073_709_551_615] {
            let file = read(value);
            assert_eq!(file.root().as_u64().map(u128::from), Some(value));
            assert_eq!(file.root().as_int().is_some(), value < 1 << 63, "{value}");
            assert_eq!(file.root().describe(), format!("the integer {value}"));
        }
        let beyond = read(1 << 64);
        assert_eq!((beyond.root().as_u64(), beyond.root().as_int()), (None, None));
    }
}

#[test]
fn networks_in_pytorchs_wrappers_have_the_names_of_the_bare_one() {
    let names = |name: &str| {
        let checkpoint = Checkpoint::of(&open(name)).unwrap();
        (checkpoint.class, checkpoint.tensors.into_keys().collect::<Vec<_>>())
    };
    let (class, bare) = names("module.pt");
    assert_eq!(names("averaged.pt").0, class);
    assert_eq!(names("averaged.pt").1, bare);
    assert_eq!(names("compiled-state-dict.pt").1, bare);
    // Beside the counter of averaged models.
    let averaged = [&["n_averaged".to_owned()], &bare[..]].concat();
    let mut found = names("averaged-state-dict.pt").1;
    found.sort_by_key(|name| name != "n_averaged");
    assert_eq!(found, averaged);
}

#[test]
fn a_compiled_module_is_what_was_compiled() {
    // The module alone, as the fixture has it, in a call with the compiler's settings.
    let pickle = Pickle::new().global("torch._dynamo.eval_frame", "OptimizedModule").raw(b"(");
    let pickle = pickle.global("m", "Tiny").raw(b")\x81}(").text("_parameters").raw(b"}").text("w").whole("0", &[1]);
    let pickle = pickle.raw(b"s").text("_modules").raw(b"}").text("num_heads").int(3).raw(b"ubNtR");
    let file = run(TorchFile::open(InMemory::new("compiled.pt", pickle.file(&[("0", &[0; 4])])))).unwrap();
    let checkpoint = Checkpoint::of(&file).unwrap();
    assert_eq!(checkpoint.class.as_deref(), Some("Tiny"));
    assert_eq!(checkpoint.tensors["w"].shape, [1]);
    assert_eq!(checkpoint.attributes["num_heads"], Attribute::Int(3));
}

#[test]
fn texts_and_numbers_of_numpy_are_those_of_python() {
    for protocol in 0..=5 {
        let file = open(&format!("texts-protocol-{protocol}.pt"));
        let entries = |key: &str| file.root().get(key).unwrap().entries().unwrap();
        for (name, value) in entries("texts") {
            let texts: Vec<_> = value.texts().unwrap_or_else(|| panic!("protocol {protocol}: {name:?}")).collect();
            assert_eq!(texts, ["a", "Δé", ""], "protocol {protocol}: {name:?}");
        }
        let described = |key: &str| -> Vec<Vec<String>> {
            let values =
                entries(key).map(|(_, value)| value.elements().unwrap().map(|value| value.describe()).collect());
            values.collect()
        };
        let expected = [
            ["the integer 9223372036854775808", "the integer 1"],
            ["the integer -9223372036854775808", "the integer 1"],
            ["the integer -1", "the integer 1"],
            ["the number 0.5", "the number -1"],
            ["the boolean true", "the boolean false"],
            ["the integer 9223372036854775808", "None"],
        ];
        assert_eq!(described("numbers"), expected, "protocol {protocol}");
        let types: Vec<_> = entries("arrays").map(|(_, value)| value.as_tensor().unwrap().dtype()).collect();
        assert_eq!(types, [DType::U16, DType::U32, DType::U64], "protocol {protocol}");
        let refused: Vec<_> = entries("not read").map(|(_, value)| value.describe()).collect();
        let expected = [
            ("of times (M8)", "astype('int64')"),
            ("of records (V16)", "array['name']"),
            ("of texts (U1)", "one text for each row"),
            ("of Python objects (O8)", "astype('U')"),
        ];
        for (said, (what, instead)) in refused.iter().zip(expected) {
            assert!(said.contains(what) && said.contains(instead), "protocol {protocol}: {said}");
        }
    }
    let numbers = open("texts-protocol-2.pt");
    assert!(numbers.root().get("numbers").unwrap().get("uint64").unwrap().texts().is_none());
}

/// NumPy 2 saves an array whose dimensions are in another order than its bytes as one of the bytes' order, with the
/// order of its own.
#[test]
fn an_array_of_turned_dimensions_is_turned_back() {
    let dtype = |pickle: Pickle| pickle.global("numpy", "dtype").text("f4").raw(b"\x89\x88\x87R");
    let bytes: Vec<u8> = (0..6).flat_map(|value| (value as f32).to_le_bytes()).collect();
    let array = |axes: &[i64]| {
        let array = Pickle::new().raw(b"}").text("w").global("numpy._core.numeric", "_frombuffer").raw(b"(C\x18");
        let array = dtype(array.raw(&bytes)).ints(&[3, 1, 2]).text("K").ints(axes).raw(b"tRs");
        run(TorchFile::open(InMemory::new("turned.pt", array.file(&[])))).map_err(|error| error.to_string())
    };
    let file = array(&[1, 2, 0]).unwrap();
    let tensor = file.root().get("w").unwrap().as_tensor().unwrap();
    assert_eq!(tensor.shape, [1, 2, 3]);
    let values = run(file.stored(tensor).unwrap().read::<f32>()).unwrap();
    assert_eq!(values, [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
    for axes in [&[0, 1][..], &[0, 0, 1], &[0, 1, 3], &[-1, 0, 1]] {
        assert!(array(axes).err().unwrap().contains("dimensions in the order"), "{axes:?}");
    }
}

/// One byte of each member's payload, in the fixture whose members are small.
#[test]
fn a_flipped_bit_in_any_member_that_is_read_is_found() {
    let whole = std::fs::read(fixture("protocol-2.pt")).unwrap();
    let mut found = 0;
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        let read = run(async {
            let file = TorchFile::open(InMemory::new("flipped.pt", bytes)).await?;
            let mut values = Vec::new();
            for key in ASSORTED {
                let tensor = file.root().get(key).and_then(|value| value.as_tensor()).unwrap();
                values.extend(file.stored(tensor)?.read::<f64>().await?);
            }
            Ok::<_, torch_file::Error<std::convert::Infallible>>(values)
        });
        match read {
            // Headers' times and padding mean nothing.
            Ok(values) => assert_eq!(values, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0].repeat(ASSORTED.len()), "byte {at}"),
            Err(error) => found += usize::from(error.to_string().contains("flipped.pt is damaged")),
        }
    }
    assert!(found > 1_000, "{found}");
}

#[test]
fn arrays_of_numpys_archives_are_tensors_and_texts() {
    let file = open("arrays.npz");
    assert_eq!(file.format(), Format::Npz);
    let value = |key: &str| file.root().get(key).unwrap_or_else(|| panic!("{key}"));
    let tensor = |key: &str| value(key).as_tensor().unwrap_or_else(|| panic!("{key}: {:?}", value(key))).clone();
    for order in ["C", "F"] {
        for name in ["<f8", "<f4", "<f2", ">f8", ">f4", ">f2"] {
            let key = format!("{order}{name}");
            let stored = file.stored(&tensor(&key)).unwrap();
            assert_eq!(run(stored.read::<f64>()).unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], "{key}");
            assert_eq!(run(stored.read_rows::<f32>(1..2)).unwrap(), [3.0, 4.0, 5.0], "{key}");
        }
    }
    let integers = ["u8", "u4", "u2", "u1", "i8", "i4", "i2", "i1", "b1", ">u8"];
    let types: Vec<_> = integers.iter().map(|name| tensor(name).describe()).collect();
    let expected = ["uint64", "uint32", "uint16", "uint8", "int64", "int32", "int16", "int8", "bool", "uint64"];
    assert_eq!(types, expected.map(|name| format!("{name} [2]")));
    for name in ["texts", "texts, big-endian", "texts in bytes"] {
        assert_eq!(value(name).texts().unwrap().collect::<Vec<_>>(), ["a", "Δé", ""], "{name}");
    }
    assert_eq!(run(file.stored(&tensor("folder/scalar")).unwrap().read::<f32>()).unwrap(), [0.5]);
    assert_eq!(run(file.stored(&tensor("no rows")).unwrap().read::<f32>()).unwrap(), [0.0; 0]);
    for (name, what, instead) in [
        ("times", "of times (M8[s])", "astype('int64')"),
        ("records", "of records (V)", "array['name']"),
        ("objects", "of Python objects (O)", "astype('U')"),
        ("complex", "of complex numbers (c16)", "array.real"),
    ] {
        let said = value(name).describe();
        assert!(said.contains(what) && said.contains(instead), "{said}");
    }
    let names: Vec<_> = file.root().entries().unwrap().map(|(name, _)| name.as_str().unwrap()).collect();
    assert_eq!((names[0], names.len()), ("C<f8", 31), "in the order in which they were saved");
    assert_eq!(open("tuple.npz").root().describe(), "a tuple of 3");
    let compressed = run(TorchFile::open(LocalFile::open(fixture("compressed.npz")).unwrap()));
    let said = compressed.err().unwrap().to_string();
    assert!(said.contains("images.npy") && said.contains("numpy.savez instead"), "{said}");
}

#[test]
fn a_flipped_bit_in_an_array_of_numpys_archives_is_found() {
    let whole = std::fs::read(fixture("arrays.npz")).unwrap();
    let read = |bytes: Vec<u8>| {
        run(async {
            let file = TorchFile::open(InMemory::new("flipped.npz", bytes)).await?;
            let mut values = Vec::new();
            for key in ["C<f8", "F>f4"] {
                let tensor = file.root().get(key).and_then(|value| value.as_tensor());
                let Some(tensor) = tensor else { return Ok(None) };
                values.extend(file.stored(tensor)?.read::<f64>().await?);
            }
            let texts = file.root().get("texts").and_then(|value| Some(value.texts()?.collect::<Vec<_>>().concat()));
            Ok::<_, torch_file::Error<std::convert::Infallible>>(texts.map(|texts| (values, texts)))
        })
    };
    let expected = ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0].repeat(2), "aΔé".to_owned());
    assert_eq!(read(whole.clone()).unwrap().unwrap(), expected);
    let mut found = 0;
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        match read(bytes) {
            // A name or a type that is another one is seen by whoever looks for it.
            Ok(read) => assert!(read.is_none_or(|read| read == expected), "byte {at}"),
            Err(error) => found += usize::from(error.to_string().contains("flipped.npz is damaged")),
        }
    }
    assert!(found > 150, "{found}");
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
