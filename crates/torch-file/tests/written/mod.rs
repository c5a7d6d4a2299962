//! Files written byte by byte, for tests of what torch.save would never write.

#![allow(dead_code, reason = "each test uses some of it")]

/// A zip file as torch.save lays it out: members in the folder `a`, stored, with their checksums.
pub(crate) fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut directory = Vec::new();
    for (name, bytes) in members {
        let name = format!("a/{name}");
        let header = file.len() as u32;
        let mut common = vec![0, 8, 0, 0, 0, 0, 0x21, 0];
        common.extend(crc32fast::hash(bytes).to_le_bytes());
        common.extend((bytes.len() as u32).to_le_bytes());
        common.extend((bytes.len() as u32).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        file.extend(b"PK\x03\x04\x14\0");
        file.extend(&common);
        file.extend(name.as_bytes());
        file.extend(*bytes);
        directory.extend(b"PK\x01\x02\x14\0\x14\0");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(header.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = file.len() as u32;
    file.extend(&directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend((members.len() as u16).to_le_bytes());
    file.extend((members.len() as u16).to_le_bytes());
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend([0, 0]);
    file
}

/// A pickle's opcodes, in the order of what they build.
#[derive(Default, Clone)]
pub(crate) struct Pickle(pub(crate) Vec<u8>);

impl Pickle {
    pub(crate) fn new() -> Self {
        Self(vec![0x80, 4])
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub(crate) fn text(mut self, text: &str) -> Self {
        self.0.push(b'X');
        self.0.extend((text.len() as u32).to_le_bytes());
        self.0.extend(text.as_bytes());
        self
    }

    pub(crate) fn int(mut self, value: i64) -> Self {
        self.0.extend([0x8a, 8]);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn ints(self, values: &[i64]) -> Self {
        values.iter().fold(self.raw(b"("), |pickle, value| pickle.int(*value)).raw(b"t")
    }

    pub(crate) fn global(self, module: &str, name: &str) -> Self {
        self.raw(format!("c{module}\n{name}\n").as_bytes())
    }

    /// Stores what is on top.
    pub(crate) fn put(mut self, index: u32) -> Self {
        self.0.push(b'r');
        self.0.extend(index.to_le_bytes());
        self
    }

    pub(crate) fn get(mut self, index: u32) -> Self {
        self.0.push(b'j');
        self.0.extend(index.to_le_bytes());
        self
    }

    pub(crate) fn times(mut self, count: usize, bytes: &[u8]) -> Self {
        for _ in 0..count {
            self.0.extend(bytes);
        }
        self
    }

    /// A storage of f32 with this key.
    pub(crate) fn storage(self, key: &str, elements: i64) -> Self {
        let storage = self.raw(b"(").text("storage").global("torch", "FloatStorage").text(key).text("cpu");
        storage.int(elements).raw(b"tQ")
    }

    /// A tensor of f32.
    pub(crate) fn tensor(self, key: &str, elements: i64, shape: &[i64], stride: &[i64]) -> Self {
        let tensor = self.global("torch._utils", "_rebuild_tensor_v2").raw(b"(").storage(key, elements);
        tensor.int(0).ints(shape).ints(stride).raw(b"\x89}tR")
    }

    /// A contiguous tensor of f32 that is all of its storage.
    pub(crate) fn whole(self, key: &str, shape: &[i64]) -> Self {
        let stride: Vec<i64> = (0..shape.len()).map(|dimension| shape[dimension + 1..].iter().product()).collect();
        self.tensor(key, shape.iter().product(), shape, &stride)
    }

    /// A zip file of it, after STOP, with these storages.
    pub(crate) fn file(self, storages: &[(&str, &[u8])]) -> Vec<u8> {
        let pickle = self.raw(b".");
        let names: Vec<String> = storages.iter().map(|(key, _)| format!("data/{key}")).collect();
        let mut members: Vec<(&str, &[u8])> = vec![("data.pkl", &pickle.0), ("byteorder", b"little")];
        members.extend(names.iter().zip(storages).map(|(name, (_, bytes))| (name.as_str(), *bytes)));
        zip(&members)
    }
}
