//! What every store must do, on a folder and on S3: the local stack's, over HTTP, which `scripts/setup.sh` installs.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::{Client, config::Credentials};
use bytes::Bytes;
use futures::{StreamExt, stream};
use pipeline::storage::{LocalStore, Object, ObjectStore, Requests, S3Store, StorageError, Write, aws_config, explain};

/// One store, whichever it is, in a state of its own.
async fn conforms(store: &dyn ObjectStore) {
    let created = store.put("a/1", "one".into(), Write::Create).await.unwrap();
    assert_eq!(store.put("a/1", "other".into(), Write::Create).await.unwrap(), None, "the key was taken");
    let Object { info, bytes } = store.get("a/1").await.unwrap();
    assert_eq!(bytes, "one");
    let first = store.head("a/1").await.unwrap();
    assert_eq!((created.as_ref(), &info), (Some(&first), &first));
    assert_eq!((first.key.as_str(), first.size), ("a/1", 3));
    assert_eq!(store.get_range(&first, 1..3).await.unwrap(), "ne");
    assert_eq!(store.get_range(&first, 0..0).await.unwrap(), "");

    let third = store.put("a/1", "two..".into(), Write::Update(&first.etag)).await.unwrap().unwrap();
    assert_eq!(store.put("a/1", "late!".into(), Write::Update(&first.etag)).await.unwrap(), None, "it has changed");
    assert_eq!(store.put("a/0", "late!".into(), Write::Update(&first.etag)).await.unwrap(), None, "it is not there");
    store.put("a/1", "three".into(), Write::over(Some(&third))).await.unwrap().unwrap();
    let changed = store.get_range(&first, 0..3).await.unwrap_err();
    assert!(matches!(&changed, StorageError::Changed { location } if location.contains("a/1")), "{changed}");
    let past = store.get_range(&store.head("a/1").await.unwrap(), 3..9).await;
    assert!(past.is_err(), "exactly the bytes asked for, or none");
    let whole = store.head("a/1").await.unwrap();
    assert_eq!(store.get_range(&whole, 0..5).await.unwrap(), "three");
    store.put("empty", "".into(), Write::Replace).await.unwrap();
    assert_eq!(store.get("empty").await.unwrap().bytes, "");
    for key in ["odd/a b+c%20&d.pt", "odd/é\u{7}<x>.pt"] {
        store.put(key, "odd".into(), Write::Replace).await.unwrap();
        let listed = store.list(key).await.unwrap().objects;
        assert_eq!(listed.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), [key]);
        assert_eq!(store.get_range(&listed[0], 0..3).await.unwrap(), "odd");
        assert!(!store.location(key).contains('\u{7}'), "{}", store.location(key));
    }

    let part = Bytes::from(vec![7; store.part_bytes()]);
    let sent = [&part[..], b"rest"].concat();
    let upload = async |rest: &'static [u8]| {
        let mut upload = store.start_upload("large").await.unwrap();
        upload.send(part.clone()).await.unwrap();
        upload.send(rest.into()).await.unwrap();
        upload
    };
    let mut begun = upload(b"rest").await;
    assert!(store.head("large").await.is_err(), "an upload shows once it is whole");
    let tag = &first.etag;
    assert_eq!(begun.complete(Write::Update(tag)).await.unwrap(), None, "it is not there");
    let completed = begun.complete(Write::Create).await.unwrap().unwrap();
    let Object { info, bytes } = store.get("large").await.unwrap();
    assert_eq!((&info, info.size), (&completed, sent.len() as u64));
    assert!(bytes == sent);
    let mut late = upload(b"other").await;
    for write in [Write::Create, Write::Update(tag)] {
        assert_eq!(late.complete(write).await.unwrap(), None, "another object is there");
    }
    assert_eq!(store.head("large").await.unwrap(), completed);
    let second = late.complete(Write::Update(&completed.etag)).await.unwrap().unwrap();
    assert_eq!((store.head("large").await.unwrap(), second.size), (second.clone(), part.len() as u64 + 5));
    upload(b"aborted").await.abort().await.unwrap();
    assert_eq!(store.head("large").await.unwrap(), second);

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "two").unwrap();
    store.put_file("a/b/2", file.path()).await.unwrap();
    assert_eq!(store.get("a/b/2").await.unwrap().bytes, "two");
    store.put("ab", "no".into(), Write::Replace).await.unwrap();
    let mut keys: Vec<String> = store.list("a/").await.unwrap().objects.into_iter().map(|object| object.key).collect();
    keys.sort();
    assert_eq!(keys, ["a/1", "a/b/2"]);
    assert_eq!(store.list("a/").await.unwrap().objects.len(), 2);

    store.delete(&["a/1".into(), "absent".into()]).await.unwrap();
    for missing in [store.get("a/1").await.map(drop), store.head("a/1").await.map(drop)] {
        let missing = missing.unwrap_err();
        assert!(matches!(&missing, StorageError::NotFound { location, .. } if location.contains("a/1")), "{missing}");
    }
}

#[tokio::test]
async fn a_folder_is_a_store() {
    let folder = tempfile::tempdir().unwrap();
    conforms(&LocalStore::new(folder.path())).await;
    assert!(folder.path().join("a/b/2").exists());
    let left = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with('.')), "an upload leaves nothing");
}

#[tokio::test]
async fn a_folder_reads_nothing_that_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::new(folder.path());
    assert!(Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap().success());
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("link")).unwrap();
    store.put("1.pt", "one".into(), Write::Create).await.unwrap();
    for key in ["pipe", "folder"] {
        for outcome in [store.get(key).await.map(drop), store.head(key).await.map(drop)] {
            let said = explain(&outcome.unwrap_err());
            assert!(said.contains(key) && said.contains("no file"), "{said}");
        }
        assert!(store.put_file("copy", &folder.path().join(key)).await.is_err());
    }
    let listing = store.list("").await.unwrap();
    assert_eq!(listing.objects.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), ["1.pt"]);
    let mut unreadable: Vec<_> = listing.unreadable.into_iter().map(|unreadable| unreadable.name).collect();
    unreadable.sort();
    assert_eq!(unreadable, ["link", "pipe"]);
}

/// The local stack, stopped when it is dropped.
struct Stack(Child);

impl Drop for Stack {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

async fn start_stack() -> (Stack, Client) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = root.join(".tools/venv/bin/python");
    assert!(python.exists(), "{} is not there: run scripts/setup.sh", python.display());
    let command = [root.join("infra/local/stack.py").display().to_string(), "--port".into(), "0".into()];
    let mut child = Command::new(python).args(command).stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let stack = Stack(child);
    let endpoint = ready.trim().strip_prefix("ready ").unwrap();
    let config = aws_config(Some(endpoint)).await.into_builder();
    let config = config
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(aws_sdk_s3::config::SharedCredentialsProvider::new(Credentials::for_tests()));
    (stack, S3Store::client(&config.build()))
}

#[tokio::test]
async fn s3_is_a_store() {
    let (_stack, client) = start_stack().await;
    let nowhere = S3Store::new(client.clone(), "nowhere");
    for missing in [nowhere.list("").await.map(drop), nowhere.get("a").await.map(drop)] {
        let missing = missing.unwrap_err();
        assert!(
            matches!(&missing, StorageError::NotFound { location, .. } if location.contains("nowhere")),
            "{missing}"
        );
    }

    client.create_bucket().bucket("there").send().await.unwrap();
    let store = S3Store::new(client.clone(), "there");
    conforms(&store).await;
    let uploads = client.list_multipart_uploads().bucket("there").send().await.unwrap();
    assert!(uploads.uploads().is_empty(), "an upload leaves nothing: {uploads:?}");
    store.put("a/report.html", "<!doctype html>".into(), Write::Create).await.unwrap();
    let page = client.head_object().bucket("there").key("a/report.html").send().await.unwrap();
    assert_eq!(page.content_type(), Some("text/html; charset=utf-8"), "a browser shows it");
    let many: Vec<String> = (0..1100).map(|index| format!("many/{index}")).collect();
    stream::iter(&many)
        .for_each_concurrent(8, async |key| {
            store.put(key, "x".into(), Write::Replace).await.unwrap();
        })
        .await;
    let before = Requests::so_far();
    assert_eq!(store.list("many/").await.unwrap().objects.len(), many.len(), "listings have pages of a thousand");
    store.head("many/0").await.unwrap();
    store.delete(&many).await.unwrap();
    let sent = Requests::so_far() - before;
    assert_eq!(sent, Requests { reads: 1, writes: 2 }, "listing costs as much as writing, and deleting nothing");
    assert_eq!(store.list("many/").await.unwrap().objects, []);
}
