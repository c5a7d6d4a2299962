"""Distributed Maps as on AWS, where moto's interpreter differs: tolerated failures are counted, the ResultWriter writes
its result files, what S3 refuses fails the map under the names of Step Functions, the item counts are true from the
start, and no more children run at once than this machine has room for, unless it is to throttle as Lambda does.
https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
"""

import json
import threading
import time
from types import SimpleNamespace

from botocore.exceptions import ClientError
from moto.stepfunctions.parser.api import HistoryEventType, MapRunFailedEventDetails
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_map.item_reader.eval.resource_eval_s3 import (
    ResourceEvalS3 as ItemReaderS3,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.distributed_iteration_component import (
    DistributedIterationComponent,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.itemprocessor.distributed_item_processor_worker import (  # noqa: E501
    DistributedItemProcessorWorker,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.itemprocessor.map_run_record import (
    MapRunRecord,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.job import JobPool
from moto.stepfunctions.parser.asl.component.state.exec.state_map.result_writer.resource_eval.resource_eval_s3 import (
    ResourceEvalS3,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.result_writer.result_writer_decl import ResultWriter
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventHistoryContext
from moto.stepfunctions.parser.asl.eval.program_state import ProgramError, ProgramStopped
from moto.stepfunctions.parser.asl.eval.states import ItemData, MapData
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str

from executions import Child
from options import Options

# Children, which are threads here, that run at once where functions are throttled.
CHILDREN = 100


def install(options: Options) -> None:
    """Puts this module's parts into moto's interpreter."""

    def map_run(component, env, eval_input) -> None:
        run_map(component, env, eval_input, CHILDREN if options.throttle else options.concurrency)

    read = ItemReaderS3.eval_resource

    def read_items(reader: ItemReaderS3, env) -> None:
        try:
            read(reader, env)
        except ClientError as error:
            raise map_run_failed(env, StatesErrorNameType.StatesItemReaderFailed, str(error)) from None

    make_record = MapRunRecord.__init__

    def make_record_with_children(run: MapRunRecord, *args, **kwargs) -> None:
        make_record(run, *args, **kwargs)
        # By the index of their item.
        run.children: dict[int, Child] = {}
        run.children_lock = threading.Lock()

    MapRunRecord.__init__ = make_record_with_children
    ItemReaderS3.eval_resource = read_items
    DistributedIterationComponent._map_run = map_run
    DistributedItemProcessorWorker.eval = work
    ResultWriter._eval_body = evaluate_result_writer
    ResourceEvalS3._handle_put_object = staticmethod(write_results)
    retrier_decl.time = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds * options.retry_pace))


def run_map(component, env, eval_input, concurrency: int) -> None:
    """Runs all children, and leaves the outputs of those that succeeded on the stack."""
    items = env.stack.pop()
    run = eval_input.map_run_record
    for counter in (run.item_counter, run.execution_counter):
        counter.total.count(len(items))
        counter.pending.count(len(items))
    jobs = JobPool(job_program=component._get_iteration_program(), job_inputs=items)
    for _ in range(min(len(items), run.max_concurrency or len(items), concurrency)):
        component._launch_worker(env=env, eval_input=eval_input, job_pool=jobs)
    jobs.await_jobs()
    if problem := jobs.get_worker_exception():
        raise problem

    children = [child for _, child in sorted(run.children.items())]
    failed = sum(child.status != "SUCCEEDED" for child in children)
    if not tolerated(failed, len(items), run.tolerated_failure_count, run.tolerated_failure_percentage):
        raise map_run_failed(
            env,
            StatesErrorNameType.StatesExceedToleratedFailureThreshold,
            "The specified tolerated failure threshold was exceeded",
        )
    env.stack.append([json.loads(child.details["Output"]) for child in children if child.status == "SUCCEEDED"])


def tolerated(failed: int, of: int, count: int | None, percentage: float | None) -> bool:
    """Whether so many failures leave a map run successful. With neither limit set, none is allowed."""
    if failed == 0:
        return True
    if not count and not percentage:
        return False
    return not (count and failed > count) and not (percentage and 100 * failed > percentage * of)


def map_run_failed(env, name: StatesErrorNameType, cause: str) -> FailureEventException:
    details = MapRunFailedEventDetails(error=name.to_name(), cause=cause)
    return FailureEventException(
        FailureEvent(
            env=env,
            error_name=StatesErrorName(name),
            event_type=HistoryEventType.MapRunFailed,
            event_details=EventDetails(mapRunFailedEventDetails=details),
        )
    )


def work(worker: DistributedItemProcessorWorker) -> None:
    """One worker: child after child until none is left."""
    pool, frame = worker._job_pool, worker._env
    while (job := pool.next_job()) is not None:
        # No child starts in an execution that was stopped.
        if frame.is_running():
            child = frame.open_inner_frame(EventHistoryContext.of_program_start())
            run_child(worker, child, job)
            frame.delete_frame(child)
        pool.close_job(job)


def run_child(worker: DistributedItemProcessorWorker, env, job) -> None:
    """One child execution, which is kept for who asks for it and for the ResultWriter."""
    run, given = worker._map_run_record, job.job_input
    try:
        env.states.context_object.context_object_data["Map"] = MapData(
            Item=ItemData(Index=job.job_index, Value=job.job_input)
        )
        env.states.reset(job.job_input)
        env.stack.append(env.states.get_input())
        worker._eval_input(env_frame=env)
        given = env.states.get_input()
    except Exception as problem:  # What one child meets must not keep the others' results from being written.
        start_child(run, job, given).end("FAILED", Error="States.Runtime", Cause=str(problem))
        return
    child = start_child(run, job, given)
    env.event_manager = child.events
    try:
        job.job_program.eval(env)
        end = env.program_state()
        if isinstance(end, ProgramError):
            problem = end.error or {}
            child.end("FAILED", Error=problem.get("error") or "States.Runtime", Cause=problem.get("cause") or "")
        elif isinstance(end, ProgramStopped):
            child.end("ABORTED")
        else:
            child.end("SUCCEEDED", Output=to_json_str(env.states.get_input()), OutputDetails={"Included": True})
    except Exception as problem:
        child.end("FAILED", Error="States.Runtime", Cause=str(problem))


def start_child(run, job, given) -> Child:
    child = Child(run, to_json_str(given))
    with run.children_lock:
        run.children[job.job_index] = child
    return child


def evaluate_result_writer(writer: ResultWriter, env) -> None:
    """Evaluates the writer's paths in the state's input, as AWS does; moto has the outputs on the stack there."""
    env.stack.append(env.states.get_input())
    writer.parargs.eval(env=env)
    parameters = env.stack.pop()
    env.stack[-1] = parameters
    try:
        writer.resource_eval.eval_resource(env=env)
    except ClientError as error:
        raise map_run_failed(env, StatesErrorNameType.StatesResultWriterFailed, str(error)) from None


def write_results(env, resource_runtime_part, state_credentials) -> None:
    """SUCCEEDED_0.json, FAILED_0.json and manifest.json.
    https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html
    """
    parameters = env.stack.pop()
    env.stack.pop()  # The outputs, which go to the files instead.
    s3 = ResourceEvalS3._get_s3_client(resource_runtime_part, state_credentials)
    run = env.map_run_record_pool_manager.get_all().pop()
    bucket, prefix = parameters["Bucket"], parameters.get("Prefix", "").rstrip("/")
    folder = "/".join(filter(None, [prefix, run.map_run_arn.rsplit(":", 1)[1]]))
    files = {"FAILED": [], "PENDING": [], "SUCCEEDED": []}
    for status, listed in files.items():
        children = [child.result() for _, child in sorted(run.children.items()) if child.status == status]
        if children:
            key, body = f"{folder}/{status}_0.json", json.dumps(children).encode()
            s3.put_object(Bucket=bucket, Key=key, Body=body)
            listed.append({"Key": key, "Size": len(body)})
            run.item_counter.results_written.count(len(children))
            run.execution_counter.results_written.count(len(children))
    manifest = {"DestinationBucket": bucket, "MapRunArn": run.map_run_arn, "ResultFiles": files}
    s3.put_object(Bucket=bucket, Key=f"{folder}/manifest.json", Body=json.dumps(manifest).encode())
    env.stack.append(
        {"MapRunArn": run.map_run_arn, "ResultWriterDetails": {"Bucket": bucket, "Key": f"{folder}/manifest.json"}}
    )
