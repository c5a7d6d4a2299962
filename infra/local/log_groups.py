"""FilterLogEvents as on AWS, where moto's is less: events of all streams in the order of their times, in pages of a
megabyte, by patterns that name several terms; throttled, and with lines that take a while to arrive.
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
"""

import re
import threading
import time
from collections import deque

from moto.logs.exceptions import InvalidParameterException, LogsClientError
from moto.logs.models import LogGroup, LogsBackend
from moto.logs.utils import EventMessageFilter

from options import Options

PAGE_BYTES, PAGE_EVENTS = 1 << 20, 10_000


class Throttled(LogsClientError):
    def __init__(self):
        super().__init__("ThrottlingException", "Rate exceeded")


def install(options: Options) -> None:
    """Puts this module's parts into moto."""
    answered: deque[float] = deque()
    lock = threading.Lock()
    backend_filter = LogsBackend.filter_log_events

    def throttle() -> None:
        with lock:
            now = time.monotonic()
            while answered and answered[0] <= now - 1:
                answered.popleft()
            if options.log_calls and len(answered) >= options.log_calls:
                options.count("FilterLogEvents throttled")
                raise Throttled
            answered.append(now)

    def filter_backend(backend: LogsBackend, *args, **kwargs):
        throttle()
        return backend_filter(backend, *args, **kwargs)

    def filter_group(
        group: LogGroup,
        log_group_name: str,
        log_stream_names: list[str],
        start_time: int,
        end_time: int,
        limit: int | None,
        next_token: str | None,
        filter_pattern: str,
        interleaved: bool,
    ) -> tuple[list[dict], str | None, list[dict]]:
        arrived = (time.time() - options.log_delay_seconds) * 1000
        streams = [
            stream for name, stream in list(group.streams.items()) if not log_stream_names or name in log_stream_names
        ]
        events = [
            {**event.to_filter_dict(), "logStreamName": stream.log_stream_name}
            for stream in streams
            for event in list(stream.events)
            if event.ingestion_time <= arrived
            and event.timestamp >= (start_time or 0)
            and (not end_time or event.timestamp <= end_time)
            and matches(filter_pattern, event.message)
        ]
        events.sort(key=lambda event: (event["timestamp"], int(event["eventId"])))
        after = place(next_token)
        events = [event for event in events if (event["timestamp"], int(event["eventId"])) > after]
        shown, size = [], 0
        for event in events[: min(limit or PAGE_EVENTS, PAGE_EVENTS)]:
            size += len(event["message"].encode())
            if shown and size > PAGE_BYTES:
                break
            shown.append(event)
        token = f"{shown[-1]['timestamp']}/{shown[-1]['eventId']}" if len(shown) < len(events) else None
        return shown, token, []

    LogsBackend.filter_log_events = filter_backend
    LogGroup.filter_log_events = filter_group


def place(token: str | None) -> tuple[int, int]:
    """The time and identifier of the last event of the page before."""
    if token is None:
        return -1, -1
    found = re.fullmatch(r"(\d+)/(\d+)", token)
    if found is None:
        raise InvalidParameterException("The specified nextToken is invalid.")
    return int(found[1]), int(found[2])


def matches(pattern: str | None, message: str) -> bool:
    """Whether an event has one of the terms of `?term ?"another term"`, or what moto understands of other patterns.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
    """
    if pattern and pattern.startswith("?"):
        terms = re.findall(r'\?(?:"([^"]*)"|(\S+))', pattern)
        return any((quoted or plain) in message for quoted, plain in terms)
    return EventMessageFilter(pattern).matches(message)
