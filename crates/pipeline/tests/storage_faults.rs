//! An S3 that misbehaves: a server of a few lines that answers each request as a test tells it to.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    io::{BufRead, BufReader, Read, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use pipeline::{
    Error,
    storage::{Limits, ObjectInfo, ObjectStore, S3Store, StorageError, Write, aws_config, explain},
};

/// What the store holds: 100,000 bytes, each of which tells where it is.
const SIZE: usize = 100_000;

fn contents() -> Vec<u8> {
    (0..SIZE).map(|at| (at / 251 + at) as u8).collect()
}

/// A request as it came.
#[derive(Debug, Clone, Default)]
struct Request {
    method: String,
    headers: Vec<(String, String)>,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The bytes that are asked for.
    fn range(&self) -> std::ops::Range<usize> {
        let Some(range) = self.header("range").and_then(|range| range.strip_prefix("bytes=")) else { return 0..SIZE };
        let (from, to) = range.split_once('-').unwrap();
        from.parse().unwrap()..to.parse::<usize>().map_or(SIZE, |to| to + 1)
    }
}

/// What the server does with a request.
#[derive(Debug, Clone)]
enum Answer {
    /// Status, headers and body.
    Of(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// The bytes that were asked for.
    Good,
    /// As good, and the connection ends after so many bytes of the body.
    Cut(usize),
    /// As good, and nothing comes after so many bytes of the body.
    Stall(usize),
    /// The first so many of the bytes that were asked for, as if they were all.
    Short(usize),
    /// So many bytes more than were asked for.
    Long(usize),
    /// As good, with one bit that is not.
    Flipped,
    /// A success that does not say how long its body is.
    Headless,
    /// The head of the object that the upload was to make, which is there.
    Uploaded,
    /// Nothing at all.
    Silence,
}

fn of(status: u16, code: &str) -> Answer {
    Answer::Of(status, Vec::new(), format!("<Error><Code>{code}</Code><Message>words</Message></Error>").into_bytes())
}

/// The CRC-32 of `contents()`, as S3 tells it: in base64.
fn checksum() -> String {
    let mut crc = aws_smithy_checksums::ChecksumAlgorithm::Crc32.into_impl();
    crc.update(&contents());
    crc.header_value().to_str().unwrap().to_owned()
}

fn read_request(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut request = Request { method: line.split(' ').next()?.to_owned(), headers: Vec::new() };
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        request.headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(request)
}

/// Answers a request; `false` where the connection is at its end.
fn respond(stream: &mut TcpStream, request: &Request, answer: Answer) -> bool {
    let range = request.range();
    let asked = contents()[range.clone()].to_vec();
    let (length, body, ends) = match answer {
        Answer::Silence => {
            std::thread::sleep(Duration::from_secs(5));
            return false;
        }
        Answer::Headless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nETag: \"one\"\r\n\r\n");
            return false;
        }
        Answer::Of(status, headers, body) => {
            let mut head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
            for (name, value) in headers {
                head += &format!("{name}: {value}\r\n");
            }
            let body = if request.method == "HEAD" { Vec::new() } else { body };
            return stream.write_all(head.as_bytes()).is_ok()
                && stream.write_all(b"\r\n").is_ok()
                && stream.write_all(&body).is_ok();
        }
        Answer::Good | Answer::Uploaded => (asked.len(), asked, false),
        Answer::Cut(after) | Answer::Stall(after) => (asked.len(), asked[..after.min(asked.len())].to_vec(), true),
        Answer::Short(length) => (length, asked[..length].to_vec(), false),
        Answer::Long(more) => (asked.len() + more, [asked, vec![0; more]].concat(), false),
        Answer::Flipped => {
            let mut body = asked;
            body[77] ^= 4;
            (body.len(), body, false)
        }
    };
    let mut head = format!("Content-Length: {length}\r\nETag: \"one\"\r\n");
    let status = match request.header("range") {
        Some(_) => {
            head += &format!("Content-Range: bytes {}-{}/{SIZE}\r\n", range.start, range.start + length.max(1) - 1);
            206
        }
        None => 200,
    };
    if request.header("x-amz-checksum-mode").is_some() && request.header("range").is_none() {
        head += &format!("x-amz-checksum-crc32: {}\r\n", checksum());
    }
    let sent = stream.write_all(format!("HTTP/1.1 {status} OK\r\n{head}\r\n").as_bytes()).is_ok()
        && stream.write_all(&body).is_ok();
    if matches!(answer, Answer::Stall(_)) {
        std::thread::sleep(Duration::from_secs(5));
    }
    sent && !ends
}

/// A store on a server that gives these answers in turn, and the last one from then on.
struct Faulty {
    store: S3Store,
    requests: Arc<Mutex<Vec<Request>>>,
}

fn limits() -> Limits {
    Limits {
        answer: Duration::from_millis(400),
        stall: Duration::from_millis(300),
        slowest: 1000,
        upload: 1_000_000,
        attempts: 5,
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(20),
        operation: Duration::from_secs(10),
    }
}

impl Faulty {
    async fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers: Vec<Answer> = answers.into_iter().collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, next) = (Arc::clone(&requests), Arc::new(AtomicUsize::new(0)));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let (answers, seen, next) = (answers.clone(), Arc::clone(&seen), Arc::clone(&next));
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    while let Some(request) = read_request(&mut reader) {
                        seen.lock().unwrap().push(request.clone());
                        let turn = next.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
                        let answer = match answers[turn].clone() {
                            Answer::Uploaded => uploaded(&seen.lock().unwrap()),
                            answer => answer,
                        };
                        if !respond(&mut stream, &request, answer) {
                            break;
                        }
                    }
                });
            }
        });
        let config = config(&format!("http://{address}")).await;
        Self { store: S3Store::new(S3Store::client(&config), "sky").with_limits(limits()), requests }
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    fn ranges(&self) -> Vec<Option<String>> {
        self.requests().iter().map(|request| request.header("range").map(str::to_owned)).collect()
    }

    fn object(&self) -> ObjectInfo {
        ObjectInfo { key: "1.pt".into(), size: SIZE as u64, etag: "\"one\"".into() }
    }
}

async fn config(endpoint: &str) -> SdkConfig {
    let config = aws_config(Some(endpoint)).await.into_builder();
    let credentials = SharedCredentialsProvider::new(Credentials::for_tests());
    config
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(credentials)
        .build()
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    for fault in [
        of(500, "InternalError"),
        of(503, "SlowDown"),
        of(409, "ConditionalRequestConflict"),
        of(400, "RequestTimeout"),
        Answer::Silence,
        Answer::Cut(0),
        Answer::Cut(40_000),
        Answer::Stall(40_000),
        Answer::Short(40_000),
        Answer::Long(7),
        Answer::Flipped,
    ] {
        let faulty = Faulty::answering([fault.clone(), fault.clone(), Answer::Good]).await;
        let started = Instant::now();
        assert_eq!(faulty.store.get("1.pt").await.unwrap().bytes, contents(), "{fault:?}");
        assert!(started.elapsed() < Duration::from_secs(2), "{fault:?}: {:?}", started.elapsed());
        assert!(faulty.requests().len() > 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_body_goes_on_where_it_broke_off_and_holds_on_to_its_etag() {
    let faulty = Faulty::answering([Answer::Cut(40_000), Answer::Stall(30_000), Answer::Good]).await;
    assert_eq!(faulty.store.get("1.pt").await.unwrap().bytes, contents());
    let ranges = [None, Some("bytes=40000-99999".to_owned()), Some("bytes=70000-99999".to_owned())];
    assert_eq!(faulty.ranges(), ranges);
    let matches: Vec<_> =
        faulty.requests().iter().map(|request| request.header("if-match").map(str::to_owned)).collect();
    assert_eq!(matches, [None, Some("\"one\"".into()), Some("\"one\"".into())]);

    let faulty = Faulty::answering([Answer::Short(100), Answer::Cut(100), Answer::Good]).await;
    let range = faulty.store.get_range(&faulty.object(), 1000..5000).await.unwrap();
    assert_eq!(range, contents()[1000..5000]);
    let ranges = ["bytes=1000-4999", "bytes=1100-4999", "bytes=1200-4999"];
    assert_eq!(faulty.ranges(), ranges.map(|range| Some(range.to_owned())));
}

#[tokio::test]
async fn an_object_that_changes_under_a_read_is_no_mixture() {
    // Whole, it is read in its new state from the beginning.
    let answers = [Answer::Cut(40_000), of(412, "PreconditionFailed"), Answer::Good];
    let faulty = Faulty::answering(answers.clone()).await;
    assert_eq!(faulty.store.get("1.pt").await.unwrap().bytes, contents());
    assert_eq!(faulty.ranges(), [None, Some("bytes=40000-99999".into()), None]);
    // A part is of the state that was asked for, or none.
    let faulty = Faulty::answering(answers).await;
    let changed = faulty.store.get_range(&faulty.object(), 0..SIZE as u64).await.unwrap_err();
    assert!(matches!(changed, StorageError::Changed { .. }), "{changed}");
}

#[tokio::test]
async fn a_flipped_bit_of_a_whole_object_is_seen_even_where_its_body_broke_off() {
    let faulty = Faulty::answering([Answer::Cut(40_000), Answer::Flipped, Answer::Good]).await;
    assert_eq!(faulty.store.get("1.pt").await.unwrap().bytes, contents());
    assert_eq!(faulty.ranges(), [None, Some("bytes=40000-99999".into()), None]);
    let always = Faulty::answering([Answer::Flipped]).await;
    let whole = always.store.get_range(&always.object(), 0..SIZE as u64).await.unwrap_err();
    assert!(explain(&whole).contains("crc32 checksum"), "{}", explain(&whole));
}

#[tokio::test]
async fn what_does_not_pass_ends_in_seconds_and_says_how_often_it_was_tried() {
    for (fault, named) in [
        (of(503, "SlowDown"), "status 503"),
        (Answer::Silence, "no answer came for 0.4 s"),
        (Answer::Stall(10), "the body stalled"),
        (Answer::Long(1), "and 50000 were asked for"),
    ] {
        let faulty = Faulty::answering([fault]).await;
        let started = Instant::now();
        let part = faulty.store.get_range(&faulty.object(), 0..50_000).await;
        let said = explain(&part.unwrap_err());
        assert!(said.contains(named) && said.contains("gave up after 5 attempts"), "{said}");
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
        assert_eq!(faulty.requests().len(), 5);
    }
}

#[tokio::test]
async fn refusals_are_named_once_and_not_tried_again() {
    let region = vec![("x-amz-bucket-region", "eu-west-1".to_owned())];
    for (answer, named) in [
        (Answer::Of(301, region.clone(), Vec::new()), "(status 301): the bucket sky lies in the region eu-west-1"),
        (of(400, "ExpiredToken"), "(status 400, ExpiredToken): the credentials have expired"),
        (of(403, "InvalidObjectState"), "restore it first"),
        (of(400, "KMS.DisabledException"), "kms:Decrypt"),
    ] {
        let store = async || Faulty::answering([answer.clone()]).await;
        let [get, range, list, put, head] = [store().await, store().await, store().await, store().await, store().await];
        for (faulty, outcome, requests) in [
            (&get, get.store.get("1.pt").await.map(drop), 1),
            (&range, range.store.get_range(&range.object(), 3..9).await.map(drop), 1),
            (&list, list.store.list("").await.map(drop), 1),
            (&put, put.store.put("2.pt", "x".into(), Write::Create).await.map(drop), 1),
            // The answer to a HEAD has no body: a GET asks for the reason, but where the head alone says it.
            (&head, head.store.head("1.pt").await.map(drop), 2),
        ] {
            let error = outcome.unwrap_err();
            let said = explain(&error);
            assert!(said.contains(named) && said.starts_with("S3 refused to ") && !said.contains('\n'), "{said}");
            assert_eq!(Error::from(error).name(), "StoreRefused");
            assert!(faulty.requests().len() <= requests, "{named}: {:?}", faulty.requests());
        }
    }
    let denied = Faulty::answering([of(403, "AccessDenied")]).await;
    let said = explain(&denied.store.get("1.pt").await.unwrap_err());
    assert!(said.starts_with("access denied to s3://sky/1.pt") && said.contains("words"), "{said}");
}

#[tokio::test]
async fn the_region_is_asked_for_where_a_redirection_does_not_name_it() {
    let region = vec![("x-amz-bucket-region", "eu-west-1".to_owned())];
    let faulty = Faulty::answering([of(301, "PermanentRedirect"), Answer::Of(301, region, Vec::new())]).await;
    let said = explain(&faulty.store.get("1.pt").await.unwrap_err());
    assert!(said.contains("eu-west-1") && said.contains("PermanentRedirect"), "{said}");
    assert_eq!(faulty.requests().len(), 2);
}

/// What S3 answers to a PUT.
fn written() -> Answer {
    Answer::Of(200, vec![("ETag", "\"new\"".into())], Vec::new())
}

#[tokio::test]
async fn a_conditional_write_knows_its_own_work_again() {
    // The first answer is lost, and the second finds the key taken: by these bytes, or by others.
    let whole = || bytes::Bytes::from(contents());
    let taken = of(412, "PreconditionFailed");
    let faulty = Faulty::answering([of(500, "InternalError"), taken.clone(), Answer::Good]).await;
    assert!(faulty.store.put("plan.json", whole(), Write::Create).await.unwrap().is_some());
    let faulty = Faulty::answering([of(500, "InternalError"), taken.clone(), Answer::Good]).await;
    assert!(faulty.store.put("plan.json", "another".into(), Write::Create).await.unwrap().is_none());
    // Nothing was written before: the key was taken by someone else, whatever it holds.
    for first in [taken.clone(), of(409, "ConditionalRequestConflict")] {
        let faulty = Faulty::answering([first, taken.clone(), Answer::Good]).await;
        assert!(faulty.store.put("plan.json", whole(), Write::Create).await.unwrap().is_none());
    }
    let faulty = Faulty::answering([of(409, "ConditionalRequestConflict"), written()]).await;
    assert!(faulty.store.put("plan.json", whole(), Write::Create).await.unwrap().is_some(), "409 is no answer");
}

#[tokio::test]
async fn uploads_are_tried_again() {
    let done = written();
    for fault in [of(500, "InternalError"), of(503, "SlowDown"), of(400, "BadDigest"), Answer::Silence] {
        let faulty = Faulty::answering([fault.clone(), fault, done.clone()]).await;
        let started = Instant::now();
        assert!(faulty.store.put("a", contents().into(), Write::Replace).await.unwrap().is_some());
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
        assert_eq!(faulty.requests().len(), 3);
    }
}

/// The name of an upload's own number among an object's metadata.
const NUMBER: &str = "x-amz-meta-cosmic-upload";

/// A head with the number that the upload was started with.
fn uploaded(requests: &[Request]) -> Answer {
    let number = requests.iter().find_map(|request| request.header(NUMBER)).unwrap();
    Answer::Of(200, vec![("ETag", "\"new-2\"".into()), (NUMBER, number.to_owned())], Vec::new())
}

fn started() -> Answer {
    let body = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
    Answer::Of(200, Vec::new(), body.into())
}

fn completed() -> Answer {
    let body = "<CompleteMultipartUploadResult><ETag>\"new-2\"</ETag></CompleteMultipartUploadResult>";
    Answer::Of(200, Vec::new(), body.into())
}

#[tokio::test]
async fn an_upload_in_parts_is_tried_again_and_knows_its_own_work_again() {
    let gone = || of(404, "NoSuchUpload");
    let lost = [of(412, "PreconditionFailed"), gone()];
    for found in lost.iter().cloned() {
        let answers = [started(), of(503, "SlowDown"), written(), Answer::Silence, found, Answer::Uploaded];
        let faulty = Faulty::answering(answers).await;
        let mut upload = faulty.store.start_upload("1.pt").await.unwrap();
        upload.send("new".into()).await.unwrap();
        let done = upload.complete(Write::Create).await.unwrap().unwrap();
        assert_eq!((done.etag.as_str(), done.size), ("\"new-2\"", 3));
    }
    // What another upload has written meanwhile is not its own.
    let other = Answer::Of(200, vec![("ETag", "\"other\"".into()), (NUMBER, "1".into())], Vec::new());
    for (found, expected) in lost.into_iter().zip([Some(None), None]) {
        let faulty = Faulty::answering([started(), written(), Answer::Silence, found, other.clone()]).await;
        let mut upload = faulty.store.start_upload("1.pt").await.unwrap();
        upload.send("new".into()).await.unwrap();
        assert_eq!(upload.complete(Write::Create).await.ok(), expected);
    }
    // After a conflict the whole is to be started anew, unless it was completed before by a request without an answer.
    let conflict = || of(409, "ConditionalRequestConflict");
    let faulty = Faulty::answering([started(), written(), conflict(), completed()]).await;
    let mut upload = faulty.store.start_upload("1.pt").await.unwrap();
    upload.send("new".into()).await.unwrap();
    let error = upload.complete(Write::Create).await.unwrap_err();
    assert!(explain(&error).contains("ConditionalRequestConflict"), "{}", explain(&error));
    assert_eq!((Error::from(error).name(), faulty.requests().len()), ("StoreUnavailable", 3));
    let faulty = Faulty::answering([started(), written(), Answer::Silence, conflict(), Answer::Uploaded]).await;
    let mut upload = faulty.store.start_upload("1.pt").await.unwrap();
    upload.send("new".into()).await.unwrap();
    assert!(upload.complete(Write::Create).await.unwrap().is_some());
    // The condition is repeated with the request.
    let faulty = Faulty::answering([started(), written(), of(503, "SlowDown"), completed()]).await;
    let mut upload = faulty.store.start_upload("1.pt").await.unwrap();
    upload.send("new".into()).await.unwrap();
    assert!(upload.complete(Write::Update("\"one\"")).await.unwrap().is_some());
    let conditions: Vec<_> = faulty.requests().iter().map(|request| request.header("if-match").is_some()).collect();
    assert_eq!(conditions, [false, false, true, true], "the condition is that of the last request");
}

#[tokio::test]
async fn an_upload_that_fails_is_an_error_and_is_given_up() {
    let faulty =
        Faulty::answering([started(), written(), of(403, "AccessDenied"), Answer::Of(204, vec![], vec![])]).await;
    let mut upload = faulty.store.start_upload("1.pt").await.unwrap();
    upload.send("new".into()).await.unwrap();
    assert!(matches!(upload.send("more".into()).await, Err(StorageError::AccessDenied { .. })));
    upload.abort().await.unwrap();
    let methods: Vec<_> = faulty.requests().into_iter().map(|request| request.method).collect();
    assert_eq!(methods, ["POST", "PUT", "PUT", "DELETE"]);
}

fn listing(keys: usize, said: usize, truncated: Option<bool>) -> Answer {
    let objects: String =
        (0..keys).map(|key| format!("<Contents><Key>{key}.pt</Key><Size>1</Size><ETag>e</ETag></Contents>")).collect();
    let truncated = truncated.map_or(String::new(), |truncated| format!("<IsTruncated>{truncated}</IsTruncated>"));
    let body = format!("<ListBucketResult>{truncated}<KeyCount>{said}</KeyCount>{objects}</ListBucketResult>");
    Answer::Of(200, Vec::new(), body.into_bytes())
}

#[tokio::test]
async fn a_listing_that_is_not_whole_is_asked_for_again() {
    let half = {
        let Answer::Of(status, headers, body) = listing(8, 8, Some(false)) else { unreachable!() };
        Answer::Of(status, headers, body[..body.len() / 2].to_vec())
    };
    let sizeless = b"<ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>1</KeyCount><Contents><Key>1.pt</Key>\
        </Contents></ListBucketResult>";
    for fault in [
        half,
        listing(3, 8, Some(false)),
        listing(8, 8, None),
        listing(8, 8, Some(true)),
        Answer::Of(200, Vec::new(), sizeless.to_vec()),
        Answer::Of(200, Vec::new(), Vec::new()),
    ] {
        let faulty = Faulty::answering([fault.clone(), listing(8, 8, Some(false))]).await;
        assert_eq!(faulty.store.list("").await.unwrap().objects.len(), 8, "{fault:?}");
        let always = Faulty::answering([fault.clone()]).await;
        assert!(matches!(always.store.list("").await, Err(StorageError::Unavailable { .. })), "{fault:?}");
    }
}

#[tokio::test]
async fn a_head_without_size_or_etag_is_no_answer() {
    let sizeless = Faulty::answering([Answer::Headless]).await;
    let said = explain(&sizeless.store.head("1.pt").await.unwrap_err());
    assert!(said.contains("no Content-Length"), "{said}");
    let without = Faulty::answering([Answer::Of(200, Vec::new(), Vec::new())]).await;
    let said = explain(&without.store.head("1.pt").await.unwrap_err());
    assert!(said.contains("no ETag"), "{said}");
}

#[tokio::test]
async fn a_reader_that_pays_says_so_with_each_request() {
    let faulty = Faulty::answering([Answer::Good]).await;
    let store = faulty.store.clone().at_own_cost(true);
    store.get("1.pt").await.unwrap();
    store.head("1.pt").await.unwrap();
    store.get_range(&faulty.object(), 3..9).await.unwrap();
    // The bytes of an object are no listing.
    store.list("").await.unwrap_err();
    store.find_version(&faulty.object()).await.unwrap_err();
    let requests = faulty.requests();
    assert!(requests.len() >= 5);
    assert!(requests.iter().all(|request| request.header("x-amz-request-payer") == Some("requester")));
}
