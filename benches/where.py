#!/usr/bin/env python3
"""Where a request's instructions go: the table of benches/README.md.

usage: where.py BINARY [CASE]       runs BINARY (the hot_path bench) under callgrind twice; needs valgrind

What one run of 2,000 requests has more than one of 1,000 is sorted by the source file that each instruction comes
from, as inlined: a header map's code counts as header map, whoever uses it. Copying and allocating are shown by who
asks for it, too.
"""
import collections
import os
import re
import subprocess
import sys
import tempfile

COUNT = 1000

# By file, first match wins. What is left (the standard library, inlined) goes to the function that it is inlined into.
FILES = [
    ("copying (memcpy)", r"memmove|memcpy|memset"),
    ("allocator", r"malloc/|support/allocations|sys/alloc/|alloc/src/alloc\.rs|raw_vec"),
    ("the harness: client, upstream, pipes", r"benches/|tokio-[^/]*/src/io/util/mem"),
    ("clocks", r"clock_gettime|std/src/(sys/.*/)?time\.rs|sys/time/|src/upstream/clock|token/moment|tokio-[^/]*/src/time/(clock|instant)"),
    ("tokio: tasks, wakers, timers, park", r"tokio-[^/]*/src/(runtime|task|time|util|loom|macros|park)|epoll|core/src/task"),
    ("tokio: channels", r"tokio-[^/]*/src/sync|futures-|want-|try-lock"),
    ("tokio: I/O traits", r"tokio-[^/]*/src/io|hyper-util"),
    ("httparse", r"httparse-"),
    ("hyper: connection state machines", r"hyper-1|http-body"),
    ("header maps, names, values", r"http-[^/]*/src/(header|byte_str)"),
    ("URIs", r"http-[^/]*/src/uri"),
    ("requests, responses, extensions", r"http-[^/]*/src|hashbrown"),
    ("buffers (bytes)", r"bytes-"),
    ("strict reader, guard", r"src/server/strict"),
    ("connection and service", r"src/server/(?!admit)"),
    ("admission: host and origin", r"src/access|src/server/admit"),
    ("route", r"src/route"),
    ("head for the upstream, edits", r"src/forward/(headers|outgoing|target)"),
    ("bodies: replay wrapper, answer", r"src/forward/(body|answer)|src/upstream/body"),
    ("exchange, forward", r"src/forward"),
    ("upstream: pool, watch", r"src/upstream"),
    ("token", r"src/token|arc-swap"),
    ("access log", r"src/telemetry/(access_log|spool)"),
    ("metrics", r"src/telemetry"),
]
FUNCTIONS = [
    ("httparse", r"^httparse"),
    ("strict reader, guard", r"server::strict|TokioIo<T>"),
    ("admission: host and origin", r"admit|access::"),
    ("route", r"Forwarder::find|route::"),
    ("connection and service", r"server::(connection|serve_stream|registry)"),
    ("head for the upstream, edits", r"forward::(headers|outgoing|target|answer::edit)"),
    ("bodies: replay wrapper, answer", r"forward::(body|answer)|upstream::body|ResponseBody|WatchedBody"),
    ("upstream: pool, watch", r"upstream::"),
    ("exchange, forward", r"forward::|server::service"),
    ("token", r"token::|arc_swap"),
    ("access log", r"telemetry::(access_log|spool)"),
    ("metrics", r"telemetry::"),
    ("header maps, names, values", r"http::header|HeaderMap|HeaderValue|HeaderName"),
    ("URIs", r"http::uri"),
    ("requests, responses, extensions", r"http::|TypeId"),
    ("clocks", r"Timespec|Instant"),
    ("buffers (bytes)", r"bytes::"),
    ("the harness: client, upstream, pipes", r"hot_path::support|io::util::mem"),
    ("tokio: tasks, wakers, timers, park", r"tokio::(runtime|time|task)|hot_path::measure"),
    ("tokio: channels", r"tokio::sync|want::"),
    ("hyper: connection state machines", r"hyper"),
    ("searching bytes", r"memchr|core::str|core::slice"),
    ("memcmp", r"memcmp"),
]


def subject_of(at, function):
    at = re.sub(r"^.*/(?=[^/]+-\d[^/]*/src/)", "", at)
    for patterns, text in ((FILES, at), (FUNCTIONS, function)):
        for subject, pattern in patterns:
            if re.search(pattern, text):
                return subject
    return "other"


def profile(binary, case, count, directory):
    """exclusive instructions by (file, function), and of memcpy and malloc by caller"""
    out = os.path.join(directory, f"{count}.out")
    subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", binary, "--run", case, str(count)],
                   check=True, capture_output=True)
    names, costs, calls = {}, collections.Counter(), collections.Counter()

    def name(text, kind):
        number, _, rest = text.partition(" ")
        if number.startswith("("):
            if rest:
                names[kind, number] = rest
            return names[kind, number]
        return text
    at = function = callee = None
    times = 0
    for line in open(out, errors="replace"):
        line = line.rstrip("\n")
        key, equals, value = line.partition("=")
        if equals and key in ("fl", "fi", "fe"):
            at = name(value, "file")
        elif equals and key == "fn":
            function = name(value, "fn")
        elif equals and key in ("cfi", "cfl"):
            name(value, "file")
        elif equals and key in ("ob", "cob"):
            name(value, "object")
        elif equals and key == "cfn":
            callee = name(value, "fn")
        elif equals and key == "calls":
            times = int(value.split()[0])
        elif line and (line[0].isdigit() or line[0] in "+-*"):
            if times:   # the line after calls= holds what the callee cost
                if re.search("memcpy|memmove", callee):
                    calls["memcpy", function] += times
                elif re.fullmatch(r"(malloc|calloc|realloc)", callee):
                    calls["malloc", function] += times
                times = 0
            else:
                costs[at, function] += int(line.split()[1])
    return costs, calls


def main():
    binary, case = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "W1"
    with tempfile.TemporaryDirectory() as directory:
        once, calls_once = profile(binary, case, COUNT, directory)
        twice, calls_twice = profile(binary, case, COUNT * 2, directory)
    subjects, rest = collections.Counter(), collections.Counter()
    for key in twice:
        cost = (twice[key] - once[key]) / COUNT
        subject = subject_of(*key)
        subjects[subject] += cost
        if subject == "other":
            rest[key] += cost
    total = sum(subjects.values())
    print(f"{case}: {total:,.0f} instructions a request\n\n| subject | instructions | share |\n| --- | ---: | ---: |")
    for subject, cost in subjects.most_common():
        if cost >= 1:
            print(f"| {subject} | {cost:,.0f} | {cost / total:.1%} |")
    for what in ("memcpy", "malloc"):
        print(f"\n{what}: calls a request")
        for (kind, function), times in (calls_twice - calls_once).most_common():
            if kind == what and times >= COUNT / 2:
                print(f"  {times / COUNT:6.2f}  {re.sub(r'<alloc.*', '', function)[:150]}")
    for at, cost in rest.most_common(8):
        if cost >= 20:
            print("other:", *at, round(cost))


if __name__ == "__main__":
    main()
