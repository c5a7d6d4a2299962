//! What a file is that neither torch.save nor numpy.savez wrote, by its first bytes or by the names in its zip
//! directory; and what to do with it, which is what whoever has it wants to know.

use bytes::Bytes;

use crate::{
    pickle,
    printable::{Printable, escaped},
};

/// The most members of a zip file that are named.
const MAX_NAMES: usize = 5;
/// Bytes at the start of a file that show whether it is text.
const TEXT_START: usize = 512;

/// Beginnings of files, what such a file is, and what to do with it.
const KNOWN: [(&[u8], &str, &str); 24] = [
    (
        b"version https://git-lfs.github.com",
        "a pointer of Git LFS in place of the file",
        "fetch the file with `git lfs pull`",
    ),
    (b"/annex/objects/", "a pointer of git-annex in place of the file", "fetch the file with `git annex get`"),
    (
        b"\x89HDF",
        "an HDF5 file",
        "save its arrays, `numpy.savez(new_path, **{name: file[name][:] for name in file})` with h5py's `file`",
    ),
    (b"SIMPLE  =", "a FITS file", "read it with astropy.io.fits, and save its arrays by name with numpy.savez"),
    (b"\x93NUMPY", "a single array of NumPy", "save all arrays by name in one file, with numpy.savez"),
    (b"PAR1", "a Parquet file", "save its columns as arrays by name, with numpy.savez"),
    (b"ARROW1", "an Arrow file", "save its columns as arrays by name, with numpy.savez"),
    (b"\x1f\x8b", "data compressed with gzip", "unpack it with `gunzip`"),
    (b"\x28\xb5\x2f\xfd", "data compressed with zstd", "unpack it with `zstd -d`"),
    (b"\xfd7zXZ", "data compressed with xz", "unpack it with `unxz`"),
    (b"BZh", "data compressed with bzip2", "unpack it with `bunzip2`"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it"),
    (b"Rar!", "a RAR archive", "unpack it"),
    (b"PK\x05\x06", "an empty zip file", "save the arrays again"),
    (b"MATLAB 5.0", "a MATLAB file", "read it with scipy.io.loadmat, and save its arrays by name with numpy.savez"),
    (b"SR\0\x04", "a file of IDL", "read it with scipy.io.readsav, and save its arrays by name with numpy.savez"),
    (b"\x89PNG", "a PNG picture", "save the pixels of all images as one array"),
    (b"II*\0", "a TIFF picture", "save the pixels of all images as one array"),
    (b"\xff\xd8\xff", "a JPEG picture", "save the pixels of all images as one array"),
    (b"GGUF", "a GGUF model", "save the network with torch.save"),
    (b"%PDF", "a PDF document", "check the path"),
    (b"<!DOCTYPE", "a web page", "look into it: what was downloaded is a page instead of the file"),
    (b"<html", "a web page", "look into it: what was downloaded is a page instead of the file"),
    (b"<?xml", "XML", "look into it: storage and web servers answer so where they do not give the file"),
];

/// What a file's first bytes say it is, as a sentence that begins with "it".
pub(crate) fn by_start(head: &Bytes) -> String {
    if let Some((_, what, instead)) = KNOWN.iter().find(|(magic, ..)| head.starts_with(magic)) {
        return format!("it looks like {what}: {instead}");
    }
    if head.is_empty() {
        return "it is empty: it was not written to its end, or not downloaded".to_owned();
    }
    if head.get(8) == Some(&b'{') {
        return "it looks like a safetensors file: a model, and no data set".to_owned();
    }
    // A pickle of protocol 2 or later, or what protocols 0 and 1 begin classes, dictionaries and lists with.
    if [&b"\x80"[..], b"c", b"(d", b"(l", b"}q", b"]q"].iter().any(|start| head.starts_with(start))
        && let Some(what) = pickle::describe_start(head)
    {
        let instead = match what.starts_with("a dictionary") {
            true => "save its arrays, `numpy.savez(new_path, **pickle.load(open(path, \"rb\")))`",
            false => "neither a network nor arrays by name, which torch.save and numpy.savez save",
        };
        return format!("it is a plain pickle of {what}: {instead}");
    }
    if head.iter().all(|byte| *byte == 0) {
        return "it begins with nothing but zeros: it was not written, or not copied, to its end".to_owned();
    }
    let start = &head[..head.len().min(TEXT_START)];
    let text = match std::str::from_utf8(start) {
        Ok(text) => Some(text),
        // The last character may be cut.
        Err(error) if start.len() - error.valid_up_to() < 4 => std::str::from_utf8(&start[..error.valid_up_to()]).ok(),
        Err(_) => None,
    };
    match text.filter(|text| !text.chars().any(|character| character.is_control() && !character.is_whitespace())) {
        Some(text) => {
            let line: String = text.trim_start().lines().next().unwrap_or_default().chars().take(40).collect();
            format!("it is text that begins with \"{}\": save arrays with torch.save or numpy.savez", escaped(&line))
        }
        None => format!("it begins with {:02x?}", &head[..head.len().min(4)]),
    }
}

/// What a zip file is that holds neither a pickle of torch.save nor arrays of NumPy, by the names in it.
pub(crate) fn by_members(names: &[&str]) -> String {
    let has = |wanted: &str| names.iter().any(|name| name.contains(wanted));
    let ends = |ending: &str| names.iter().any(|name| name.ends_with(ending));
    if has("/code/") || ends("constants.pkl") {
        return format!("it is {TORCHSCRIPT}: {FROM_TORCHSCRIPT}");
    }
    if ends("archive_format") || has("/data/weights/") {
        return "it is a program of torch.export: save its weights, \
                `torch.save(torch.export.load(path).state_dict, new_path)`"
            .to_owned();
    }
    if ends("model.weights.h5") {
        return "it is a model of Keras, and no network of PyTorch".to_owned();
    }
    let shown: Vec<String> = names.iter().take(MAX_NAMES).map(|name| Printable(name).to_string()).collect();
    let instead = match ends(".pt") || ends(".pth") || ends(".npz") {
        true => "unpack it, and give the folder",
        false => "save the arrays or the network again, with torch.save or numpy.savez",
    };
    format!("it is a zip file without a data.pkl or arrays of NumPy ({}): {instead}", shown.join(", "))
}

pub(crate) const TORCHSCRIPT: &str = "a TorchScript archive";
pub(crate) const FROM_TORCHSCRIPT: &str = "save its weights, `torch.save(torch.jit.load(path).state_dict(), new_path)`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_others_are_told_by_their_first_bytes() {
        for (head, expected) in [
            (&b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n"[..], "`git lfs pull`"),
            (b"\x89HDF\r\n\x1a\n", "an HDF5 file: save its arrays, `numpy.savez("),
            (b"SIMPLE  =                    T", "a FITS file: read it with astropy.io.fits"),
            (b"", "it is empty"),
            (b"\0\0\0\0\0\0\0\0\0\0", "nothing but zeros"),
            (b"ra,dec,z\n150.1,2.2,0.3\n", "text that begins with \"ra,dec,z\""),
            ("# %ECSV é".as_bytes(), "text that begins with \"# %ECSV é\""),
            (b"\xff\xfer\0a\0", "begins with [ff, fe, 72, 00]"),
            (b"\x28\xb5\x2f\xfd", "`zstd -d`"),
            (b"\x80\x04\x8c\x07sklearn\x8c\x06Forest\x93)\x81}b.", "plain pickle of an object of class sklearn.Forest"),
            (
                b"\x80\x02}q\0X\x06\0\0\0imagesq\x01K\x07s.",
                "plain pickle of a dictionary of 1: save its arrays, `numpy.savez(",
            ),
            (
                b"ccopy_reg\n_reconstructor\n(csklearn\nForest\nc__builtin__\nobject\nNtR.",
                "of an object of class sklearn.Forest: neither a network",
            ),
            (b"(dp0\nVimages\np1\nI1\ns.", "plain pickle of a dictionary of 1"),
            (b"comment on nothing", "text that begins with \"comment on nothing\""),
        ] {
            let said = by_start(&Bytes::copy_from_slice(head));
            assert!(said.starts_with("it ") && said.contains(expected), "{said}");
        }
    }

    #[test]
    fn zip_files_of_others_are_told_by_their_names() {
        for (names, expected) in [
            (&["m/version", "m/code/__torch__/m.py"][..], "torch.jit.load"),
            (&["m/archive_format", "m/models/model.json"], "torch.export.load"),
            (&["config.json", "model.weights.h5"], "Keras"),
            (&["sky/1.pt", "sky/2.pt"], "(sky/1.pt, sky/2.pt): unpack it"),
            (&["xl/workbook.xml"], "(xl/workbook.xml): save the arrays"),
        ] {
            let said = by_members(names);
            assert!(said.contains(expected), "{said}");
        }
    }
}
