//! `cosmic sweep` with executions where AWS does not go along, which the local stack cannot be told to do: what a sweep
//! leaves behind, and what it records of a cost that the logs do not tell.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use assert_cmd::Command;
use command::text;
use serde_json::{Value, json};

mod command;

const MACHINE: &str = "arn:aws:states:us-east-1:123456789012:stateMachine:m";
const EXECUTION: &str = "arn:aws:states:us-east-1:123456789012:execution:m:one";
const FUNCTION: &str = "arn:aws:lambda:us-east-1:123456789012:function:inference";
const TAG: &str = "cosmic:sweep-memory";
const DEPLOYED: u64 = 3008;

/// The services that a sweep calls, with one function and one execution.
#[derive(Default)]
struct Aws {
    memory: u64,
    tag: Option<String>,
    /// Answers to DescribeExecution, of which the last one stays.
    execution: Vec<Result<&'static str, &'static str>>,
    /// Whether StopExecution is refused.
    refuses_to_stop: bool,
    /// Whether an update of the function is refused.
    refuses_to_update: bool,
    /// What was called, but for what only looks.
    calls: Vec<String>,
}

impl Aws {
    fn answer(&mut self, request: &Request) -> (u16, Value) {
        match request.target.rsplit('.').next().unwrap_or_default() {
            "DescribeStateMachine" | "DescribeStateMachineForExecution" => {
                let definition = json!({"States": {"Ranks": {"ItemProcessor": {"Resource": FUNCTION}}}}).to_string();
                (
                    200,
                    json!({"stateMachineArn": MACHINE, "name": "m", "definition": definition, "roleArn": "r",
                           "type": "STANDARD", "creationDate": 1, "updateDate": 1}),
                )
            }
            "StartExecution" => {
                self.calls.push("start".into());
                (200, json!({"executionArn": EXECUTION, "startDate": 1}))
            }
            "DescribeExecution" => {
                let state = if self.execution.len() > 1 { self.execution.remove(0) } else { self.execution[0] };
                match state {
                    Ok(status) => {
                        let mut described = json!({"executionArn": EXECUTION, "stateMachineArn": MACHINE, "name": "one",
                                                   "status": status, "startDate": 1, "input": "{}"});
                        if status != "RUNNING" {
                            described["stopDate"] = 11.into();
                        }
                        (200, described)
                    }
                    Err(code) => (400, json!({"__type": code, "message": "words"})),
                }
            }
            "StopExecution" if self.refuses_to_stop => (400, json!({"__type": "AccessDeniedException"})),
            "StopExecution" => {
                self.calls.push("stop".into());
                self.execution = vec![Ok("ABORTED")];
                (200, json!({"stopDate": 1}))
            }
            "GetExecutionHistory" => {
                let event = |id: u64, kind: &str| json!({"timestamp": 1, "type": kind, "id": id});
                (200, json!({"events": [event(1, "TaskStateEntered"), event(2, "TaskScheduled")]}))
            }
            "ListMapRuns" => (200, json!({"mapRuns": []})),
            "FilterLogEvents" => (200, json!({"events": []})),
            _ => self.of_function(request),
        }
    }

    fn of_function(&mut self, request: &Request) -> (u16, Value) {
        let configuration = request.path.ends_with("/configuration");
        match request.method.as_str() {
            "PUT" if self.refuses_to_update => return (403, json!({"__type": "AccessDeniedException"})),
            "PUT" => {
                self.memory = request.body["MemorySize"].as_u64().unwrap();
                self.calls.push(format!("memory {}", self.memory));
            }
            "POST" => self.tag = request.body["Tags"][TAG].as_str().map(str::to_owned),
            "DELETE" => {
                self.tag = None;
                self.calls.push("untag".into());
            }
            _ if !configuration => {
                return (
                    200,
                    json!({"Tags": self.tag.iter().map(|tag| (TAG, tag)).collect::<std::collections::BTreeMap<_, _>>()}),
                );
            }
            _ => {}
        }
        if configuration {
            return (200, json!({"FunctionName": "inference", "FunctionArn": FUNCTION, "MemorySize": self.memory}));
        }
        (204, Value::Null)
    }
}

struct Request {
    method: String,
    path: String,
    /// What JSON protocols call.
    target: String,
    body: Value,
}

fn read_request(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let path = path.split('?').next()?.to_owned();
    let (mut target, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        match name.to_lowercase().as_str() {
            "x-amz-target" => value.trim().clone_into(&mut target),
            "content-length" => length = value.trim().parse().unwrap(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Request { method, path, target, body: serde_json::from_slice(&body).unwrap_or_default() })
}

/// A sweep of one run with another memory.
struct Sweep {
    folder: tempfile::TempDir,
    aws: Arc<Mutex<Aws>>,
    endpoint: String,
}

impl Sweep {
    fn new(execution: &[Result<&'static str, &'static str>]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let aws = Aws { memory: DEPLOYED, execution: execution.to_vec(), ..Aws::default() };
        let aws = Arc::new(Mutex::new(aws));
        let answering = Arc::clone(&aws);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, answering) = (stream.unwrap(), Arc::clone(&answering));
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    while let Some(request) = read_request(&mut reader) {
                        let (status, body) = answering.lock().unwrap().answer(&request);
                        let body = if status == 204 { String::new() } else { body.to_string() };
                        let length = body.len();
                        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}");
                        if stream.write_all(answer.as_bytes()).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let sweep = json!({
            "name": "small", "place": "executions", "data": "s3://b/data", "bucket": "b", "state_machine": MACHINE,
            "grids": [{"batch_sizes": [8], "memory_sizes": [1536], "repeats": 1}],
        });
        fs::write(folder.path().join("small.json"), sweep.to_string()).unwrap();
        Self { folder, aws, endpoint }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// Runs it, and gives its exit code and what it says.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let file = self.folder.path().join("small.json");
        let mut command = Command::cargo_bin("cosmic").unwrap();
        command.args(["sweep", text(&file), "--out", text(&self.out()), "--endpoint-url", &self.endpoint]);
        for (name, value) in
            [("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_REGION", "us-east-1")]
        {
            command.env(name, value);
        }
        let output = command.args(arguments).output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        (output.status.code().unwrap(), said)
    }

    fn record(&self) -> Value {
        serde_json::from_slice(&fs::read(self.out().join("sweep.json")).unwrap()).unwrap()
    }

    /// What a sweep leaves that is killed while it runs an execution, with these states of it from then on.
    fn killed(execution: &[Result<&'static str, &'static str>]) -> Self {
        let sweep = Self::new(&[Ok("FAILED")]);
        sweep.run(&[]);
        let mut record = sweep.record();
        record["running"] = EXECUTION.into();
        record["memory_to_restore"] = json!({"function": FUNCTION, "memory_mb": DEPLOYED});
        fs::write(sweep.out().join("sweep.json"), record.to_string()).unwrap();
        let tag = format!("small-{:.0} {DEPLOYED}", record["started_at"].as_f64().unwrap() * 1e3);
        let aws = Aws { memory: 1536, tag: Some(tag), execution: execution.to_vec(), ..Aws::default() };
        *sweep.aws.lock().unwrap() = aws;
        sweep
    }

    fn calls(&self) -> Vec<String> {
        self.aws.lock().unwrap().calls.clone()
    }
}

#[test]
fn a_cost_without_all_report_lines_is_recorded_as_not_known() {
    let sweep = Sweep::new(&[Ok("FAILED")]);
    let (code, said) = sweep.run(&[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("the cost is not known of batch 8, 1536 MB, repeat 1: the logs have 0 of 1"), "{said}");
    let record = sweep.record();
    let repeat = &record["cells"][0]["repeats"][0];
    assert_eq!((&repeat["billed_ms"], &repeat["cost_usd"]), (&Value::Null, &Value::Null));
    assert_eq!(repeat["cost_of"], json!({"invocations": 0, "expected_invocations": 1, "at_least": false}));
    assert_eq!(sweep.calls(), ["memory 1536", "start", "memory 3008", "untag"]);
}

#[test]
fn an_execution_that_cannot_be_followed_is_stopped_before_the_next_one() {
    let sweep = Sweep::new(&[Err("AccessDeniedException"), Ok("RUNNING")]);
    let (code, said) = sweep.run(&[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(&format!("stopped {EXECUTION}")), "{said}");
    assert_eq!(sweep.calls(), ["memory 1536", "start", "stop", "memory 3008", "untag"]);
    assert!(sweep.record().get("running").is_none());
}

#[test]
fn an_execution_that_cannot_be_stopped_ends_the_sweep_and_stays_recorded() {
    let sweep = Sweep::new(&[Err("AccessDeniedException"), Ok("RUNNING")]);
    sweep.aws.lock().unwrap().refuses_to_stop = true;
    let (code, said) = sweep.run(&[]);
    assert!(code == 1 && said.contains("an execution may run still") && said.contains("failed to stop"), "{said}");
    let record = sweep.record();
    assert_eq!(
        (&record["running"], &record["cells"][0]["repeats"][0]["status"]),
        (&EXECUTION.into(), &"failed".into())
    );
    assert_eq!(sweep.calls(), ["memory 1536", "start", "memory 3008", "untag"], "the memory is put back all the same");
}

#[test]
fn an_execution_that_is_forgotten_holds_nothing_up() {
    let sweep = Sweep::killed(&[Err("ExecutionDoesNotExist")]);
    let (code, said) = sweep.run(&["--restore"]);
    assert!(code == 0 && said.contains("has its memory of 3008 MB again"), "{said}");
    let record = sweep.record();
    assert!(record.get("running").is_none() && record.get("memory_to_restore").is_none(), "{record}");
    assert_eq!(sweep.calls(), ["memory 3008", "untag"]);
}

#[test]
fn the_memory_is_put_back_where_the_execution_cannot_be_stopped() {
    let sweep = Sweep::killed(&[Ok("RUNNING")]);
    sweep.aws.lock().unwrap().refuses_to_stop = true;
    let (code, said) = sweep.run(&["--restore"]);
    assert!(code == 1 && said.contains("has its memory of 3008 MB again") && said.contains("failed to stop"), "{said}");
    let record = sweep.record();
    assert_eq!(record["running"], EXECUTION);
    assert!(record.get("memory_to_restore").is_none(), "{record}");
}

#[test]
fn a_memory_that_cannot_be_put_back_is_said_beside_what_ended_the_sweep() {
    let sweep = Sweep::killed(&[Ok("RUNNING")]);
    let aws = &sweep.aws;
    (aws.lock().unwrap().refuses_to_stop, aws.lock().unwrap().refuses_to_update) = (true, true);
    let (code, said) = sweep.run(&[]);
    assert!(code == 1 && said.contains("failed to stop"), "{said}");
    assert!(
        said.contains("update-function-configuration --function-name") && said.contains("--memory-size 3008"),
        "{said}"
    );
    assert_eq!(sweep.record()["memory_to_restore"]["memory_mb"], DEPLOYED);
}

#[test]
fn a_function_that_another_sweep_has_taken_is_left_alone() {
    for tag in [Some("other-1764000000000 2048"), None] {
        let sweep = Sweep::killed(&[Ok("SUCCEEDED")]);
        sweep.aws.lock().unwrap().tag = tag.map(str::to_owned);
        let (code, said) = sweep.run(&["--restore"]);
        assert!(code == 0 && said.contains("is left as it is"), "{said}");
        assert_eq!(said.contains("other-1764000000000"), tag.is_some(), "{said}");
        assert!(sweep.calls().is_empty() && sweep.aws.lock().unwrap().memory == 1536, "{:?}", sweep.calls());
        assert!(sweep.record().get("memory_to_restore").is_none());
    }
}
