//! Files that were made to do harm: each gives its own error, in a second and within 500 MB.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use torch_file::{Checkpoint, InMemory, TorchFile};
use written::{Pickle, zip};

mod written;

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

/// Opens the file, and takes it for a checkpoint and all its tensors for such as can be read.
fn read(bytes: Vec<u8>) -> Result<(), String> {
    run(async {
        let file = TorchFile::open(InMemory::new("hostile.pt", bytes)).await.map_err(|error| error.to_string())?;
        let checkpoint = Checkpoint::of(&file).map_err(|error| error.to_string())?;
        for tensor in checkpoint.tensors.values() {
            file.stored(tensor).map_err(|error| error.to_string())?;
        }
        Ok(())
    })
}

/// The most memory that this process ever had, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// The time that the processor has spent on this thread, whatever else the machine does.
fn cpu_time() -> Duration {
    let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(schedule.split_whitespace().next().unwrap().parse().unwrap())
}

/// One file at a time, so that each has the process's memory to itself.
static ALONE: Mutex<()> = Mutex::new(());

#[track_caller]
fn refused(what: &str, bytes: Vec<u8>, expected: &str) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = cpu_time();
    let said = read(bytes).unwrap_err();
    let took = cpu_time() - before;
    assert!(said.contains("hostile.pt") && said.contains(expected), "{what}: {said}");
    assert!(said.len() < 1_000 && !said.chars().any(char::is_control), "{what}: {said:?}");
    // What is not optimised takes some twenty times as long.
    assert!(cfg!(debug_assertions) || took < Duration::from_secs(1), "{what} took {took:?}");
    if std::env::var_os("SHOW").is_some() {
        eprintln!("{what}: {took:?}, {} MB: {said}", peak_memory() / 1_000_000);
    }
    let peak = peak_memory();
    assert!(peak < 500_000_000, "{what} took {peak} bytes");
}

/// A list of `count` times the same value, as memo entry 0.
fn long_list(count: usize) -> Pickle {
    Pickle::new().raw(b"]").put(0).raw(b"(").raw(b"N").put(1).times(count - 1, b"h\x01").raw(b"e")
}

#[test]
fn copies_of_what_is_there_already_are_counted() {
    for (module, name) in [("torch", "Size"), ("builtins", "set"), ("__builtin__", "frozenset")] {
        let copy = Pickle::default().global(module, name).get(0).raw(b"\x85R0");
        let pickle = long_list(2_000_000).times(2_000, &copy.0);
        refused(name, pickle.file(&[]), "values take more than");
    }
    let pairs = Pickle::new().raw(b"]").put(0).raw(b"(NN\x86").put(1).times(1_000_000, b"h\x01").raw(b"e");
    let copy = Pickle::default().global("collections", "OrderedDict").get(0).raw(b"\x85R0");
    refused("OrderedDict", pairs.times(2_000, &copy.0).file(&[]), "values take more than");
}

#[test]
fn long_texts_that_are_named_again_and_again_are_counted_or_cost_nothing() {
    let key = "k".repeat(1 << 20);
    let kept = Pickle::new().text(&key).put(0).text("storage").put(1).global("torch", "FloatStorage").put(2);
    let storage = Pickle::default().raw(b"(").get(1).get(2).get(0).get(0).int(1).raw(b"tQ0");
    refused("storage keys", kept.clone().times(200_000, &storage.0).file(&[]), "values take more than");

    let kept = Pickle::new().text(&key).put(0);
    let class = Pickle::default().get(0).get(0).raw(b"\x930");
    refused("class names", kept.times(500_000, &class.0).file(&[]), "found a text of 1048576 bytes");

    let bytes = Pickle::new().text(&key).put(0).text("latin1").put(1).global("_codecs", "encode").put(2);
    let encode = Pickle::default().get(2).get(0).get(1).raw(b"\x86R0");
    refused("encoded bytes", bytes.times(1_000, &encode.0).file(&[]), "values take more than");
}

#[test]
fn the_pickles_of_a_legacy_file_are_counted_too() {
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.";
    let numbers = |count: usize| Pickle::new().raw(b"]").raw(b"(").times(count, b"N").raw(b"e.").0;
    let file = |system: usize, object: usize, keys: usize| {
        [&magic[..], &numbers(system), &numbers(object), &numbers(keys)].concat()
    };
    refused("system info", file(1_000_000, 1, 1), "values take more than 16 MB");
    refused("an object", file(1, 10_000_000, 1), "values take more than 96 MB");
    refused("storage keys", file(1, 1_000_000, 1_000_000), "values take more than 16 MB");
    refused("storage keys of None", file(1, 1_000_000, 1_000), "not a list of keys");
    let endless = [&magic[..], b"}.", &[b'N'; 80 << 20]].concat();
    refused("an object without an end", endless, "values take more than");
    let text = [&magic[..], b"}.X\xff\xff\xff\x03", &[b'N'; 80 << 20]].concat();
    refused("an object of one text", text, "at most 67108864 are read");
}

#[test]
fn many_small_values_are_counted_and_many_opcodes_without_any_are_quick() {
    refused("numbers", Pickle::new().times(16 << 20, b"N").file(&[]), "values take more than");
    refused("empty lists", Pickle::new().times(16 << 20, b"]0").file(&[]), "values take more than");
    refused("memo entries", Pickle::new().raw(b"N").times(30 << 20, b"h\x00").file(&[]), "was never set");
    refused("recalled values", Pickle::new().raw(b"Nq\0").times(30 << 20, b"h\0").file(&[]), "values take more than");
    refused("marks", Pickle::new().times(30 << 20, b"(1").file(&[]), "the stack is empty");
    refused("open marks", Pickle::new().times(1 << 20, b"(").file(&[]), "open marks");
    refused("frames", Pickle::new().times(7 << 20, &[0x95, 0, 0, 0, 0, 0, 0, 0, 0]).file(&[]), "the stack is empty");
    refused("a memo of two billion", Pickle::new().raw(b"N").put(2 << 30).file(&[]), "no pickler");
    refused("a text of 4 GiB", Pickle::new().raw(b"X\xff\xff\xff\xff").file(&[]), "it ends in the middle");
    let nested = Pickle::new().raw(b"N").times(5_000_000, b"\x85");
    refused("nested tuples", nested.file(&[]), "values take more than");
}

#[test]
fn sizes_that_overflow_are_refused() {
    let huge = i64::MAX;
    for (what, pickle, expected) in [
        ("a size", Pickle::new().raw(b"}").text("w").tensor("0", 1, &[huge, huge], &[1, 1]), "overflows"),
        ("a stride", Pickle::new().raw(b"}").text("w").tensor("0", 1, &[2, 2], &[huge, huge]), "reaches to element"),
        ("strides", Pickle::new().raw(b"}").text("w").tensor("0", 1, &[4, 4], &[huge, huge]), "overflow"),
        ("a storage", Pickle::new().raw(b"}").text("w").tensor("0", huge, &[1], &[1]), "should have"),
        ("a negative size", Pickle::new().raw(b"}").text("w").tensor("0", 1, &[-1], &[1]), "size is -1"),
        ("a reach", Pickle::new().raw(b"}").text("w").tensor("0", 1, &[2], &[1]), "reaches to element 2"),
    ] {
        refused(what, pickle.raw(b"s").file(&[("0", &[0; 4])]), expected);
    }
    let dimensions = vec![1; 1_000_000];
    let many = Pickle::new().raw(b"}").text("w").tensor("0", 1, &dimensions, &dimensions).raw(b"s");
    refused("dimensions", many.file(&[("0", &[0; 4])]), "more than 16 dimensions");

    let dtype = |pickle: Pickle| {
        pickle
            .global("numpy", "dtype")
            .text("f4")
            .raw(b"\x89\x88\x87R")
            .raw(b"(K\x03")
            .text("<")
            .raw(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb")
    };
    let array = |shape: &[i64]| {
        let array = Pickle::new().raw(b"}").text("w").global("numpy.core.multiarray", "_reconstruct");
        let array = array.global("numpy", "ndarray").raw(b"K\0\x85C\x01b\x87R(K\x01").ints(shape);
        dtype(array).raw(b"\x89C\x04\0\0\x80\x3ftbs")
    };
    assert_eq!(read(array(&[1]).file(&[])), Ok(()));
    let large = Pickle::new().raw(b"}").text("images").global("numpy.core.multiarray", "_reconstruct");
    let large = large.raw(b"B\0\0\0\x05").times(80 << 20, b"N");
    refused("a large array", large.file(&[]), "it holds NumPy arrays, which torch saves within the pickle");
    refused("an array's size", array(&[huge, huge]).file(&[]), "a NumPy array of size");
    refused("an array's bytes", array(&[2]).file(&[]), "2 values of float32 in 4 bytes");
    refused("an array of no bytes", array(&[0, huge]).file(&[]), "0 values");
    refused("a negative array", array(&[-1, -1]).file(&[]), "NumPy array of size");
}

/// A module of these submodules, each of which is a memo entry.
fn module(pickle: Pickle, submodules: &[(&str, u32)]) -> Pickle {
    let pickle =
        pickle.global("torch", "Module").raw(b")\x81}(").text("_parameters").raw(b"}").text("_modules").raw(b"}(");
    let pickle = submodules.iter().fold(pickle, |pickle, (name, index)| pickle.text(name).get(*index));
    pickle.raw(b"uub")
}

#[test]
fn a_module_under_many_names_is_counted_under_each() {
    // 2⁴⁰ names for one tensor.
    let mut pickle = Pickle::new().global("torch", "Module").raw(b")\x81}(").text("_modules").raw(b"}");
    pickle = pickle.text("_parameters").raw(b"}").text("w").whole("0", &[1]).raw(b"sub").put(0).raw(b"0");
    for level in 1..40 {
        pickle = module(pickle, &[("a", level - 1), ("b", level - 1)]).put(level).raw(b"0");
    }
    refused("doubled modules", pickle.get(39).file(&[("0", &[0; 4])]), "names take more than");

    let around = module(Pickle::new(), &[]).put(0).raw(b"}").text("_modules").raw(b"}").text("a").get(0).raw(b"ss");
    let around = around.text("_parameters").raw(b"}sb");
    refused("a module in itself", around.file(&[]), "nested without end");

    // Many modules with one and the same state, which takes long to look through.
    let state = Pickle::new().raw(b"}").put(0).raw(b"(N").put(1).times(1_000_000, b"h\x01h\x01").raw(b"N0").raw(b"u");
    let state = state.raw(b"0").global("torch", "Module").put(2).raw(b"0}").put(3).raw(b"(");
    let one = Pickle::default().raw(b"N").get(2).raw(b")\x81").get(0).raw(b"b");
    let many = state.times(50_000, &one.0).raw(b"u");
    refused("modules of one state", many.file(&[]), "hostile.pt");
}

#[test]
fn a_dictionary_that_holds_itself_is_no_network() {
    let itself = Pickle::new().raw(b"}").put(0).raw(b"(");
    let itself = ["state_dict", "model", "net", "module"].iter().fold(itself, |pickle, key| pickle.text(key).get(0));
    refused("a dictionary in itself", itself.raw(b"u").file(&[]), "does not hold a network");
}

#[test]
fn names_in_messages_move_no_cursor() {
    let name = "\u{1b}[2J\u{202e}\n";
    let tensor = Pickle::new().raw(b"}").text("w").tensor(name, 1, &[1], &[1]).raw(b"s");
    refused("a storage key", tensor.file(&[]), "\\u{1b}[2J\\u{202e}\\n");
    refused("a member", zip(&[("data.pkl", b"N."), (name, b""), (name, b"")]), "both have its name");
    refused("a key", Pickle::new().raw(b"}").text(name).raw(b"Ns").file(&[]), "\\u{1b}[2J");
    let class = Pickle::new().global("m", "\u{1b}[2J").raw(b")\x81");
    refused("a class", class.file(&[]), "\\u{1b}[2J");
}

#[test]
fn a_directory_of_many_members_is_quick_and_a_larger_one_is_refused() {
    let entry = |index: u32, header: u32| {
        let name = format!("a/{index:05x}");
        let mut bytes = b"PK\x01\x02\x14\0\x14\0\0\x08\0\0\0\0\x21\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
        bytes.extend((name.len() as u16).to_le_bytes());
        bytes.extend([0; 12]);
        bytes.extend(header.to_le_bytes());
        bytes.extend(name.as_bytes());
        bytes
    };
    for (count, expected) in [(300_000_u32, "without a data.pkl"), (400_000, "at most 16777216")] {
        // Members of nothing but their headers, which nobody looks at.
        let members = u64::from(count) * 37;
        let mut file = vec![0; members as usize];
        file[..4].copy_from_slice(b"PK\x03\x04");
        let directory: Vec<u8> = (0..count).flat_map(|index| entry(index, index * 37)).collect();
        file.extend(&directory);
        let record = file.len() as u64;
        file.extend(b"PK\x06\x06");
        file.extend([0; 28]);
        for value in [u64::from(count), directory.len() as u64, members] {
            file.extend(value.to_le_bytes());
        }
        file.extend(b"PK\x06\x07\0\0\0\0");
        file.extend(record.to_le_bytes());
        file.extend([1, 0, 0, 0]);
        file.extend(b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0");
        refused("members", file, expected);
    }
}

/// A file of NumPy: a header of this type and shape, and some bytes.
fn npy(descr: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), bytes].concat()
}

#[test]
fn archives_of_numpy_that_lie_are_refused() {
    let one = |descr: &str, shape: &str, bytes: &[u8]| zip(&[("x.npy", &npy(descr, shape, bytes))]);
    for shape in ["(4611686018427387904, 4)", "(9223372036854775807,)", "(-1,)", "(2,)", "(0,)"] {
        refused(shape, one("<f4", shape, &[0; 4]), "a/x.npy is malformed");
    }
    refused("dimensions", one("<f4", &format!("({})", "1, ".repeat(17)), &[0; 4]), "more than 16 dimensions");
    refused("texts", one("<U4611686018427387903", "(1,)", &[0; 4]), "in 4 bytes");
    refused("texts of nothing", one("<U0", "(9223372036854775807,)", b""), "does not hold a network");
    refused("many texts", one("|S1", "(70000000,)", &vec![b'a'; 70_000_000]), "arrays of text");
    let header = [b"\x93NUMPY\x02\0\xff\xff\xff\x7f", &[b' '; 20_000][..]].concat();
    refused("a header", zip(&[("x.npy", &header)]), "at most 10000 are read");
    let array = npy("<f4", "(1,)", &[0; 4]);
    let names: Vec<String> = (0..1_001).map(|index| format!("{index}.npy")).collect();
    let members: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), array.as_slice())).collect();
    refused("arrays", zip(&members), "the number of arrays is 1001, at most 1000");
    refused("names", zip(&[("\u{1b}[2J.npy", b"")]), "\\u{1b}[2J.npy is malformed: it does not start");
}
