"""The first process of a room: carries out the commands that it is told on standard input, and says of each how it ended.

Each command is a user of its own, who has no right that the room's other users could be reached by. This process alone may become those
users and end what they run. What a command writes comes here by pipes, so no command can speak for another.
"""

import json
import os
import signal
import subprocess
import sys
import threading


class Output(threading.Thread):
    """Reads a pipe to its end, and keeps its beginning."""

    def __init__(self, pipe, most):
        super().__init__(daemon=True)
        self.pipe, self.most, self.kept, self.cut = pipe, most, b"", False
        self.start()

    def run(self):
        with self.pipe:
            while part := self.pipe.read1(65536):
                room = self.most - len(self.kept)
                self.cut = self.cut or len(part) > room
                self.kept += part[:room]


def end_all_of(user):
    """Kills every process of a user, until there is none."""
    found = True
    while found:
        found = False
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/status", encoding="utf-8", errors="replace") as status:
                    said = dict(line.split(":", 1) for line in status if ":" in line)
                if str(user) in said["Uid"].split() and said["State"].split()[0] not in ("Z", "X"):
                    os.kill(int(entry), signal.SIGKILL)
                    found = True
            except (FileNotFoundError, ProcessLookupError):
                continue


def carried_out(command, seconds, most):
    user = command["user"]
    try:
        process = subprocess.Popen(
            command["argv"],
            env={**os.environ, **command["env"]},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            user=user,
            group=user,
            extra_groups=[],
            start_new_session=True,
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return {"ended": {"how": "not_started", "why": f"{command['argv'][0]}: {error}"}}
    outputs = [Output(process.stdout, most), Output(process.stderr, most)]
    late = threading.Event()

    def end_late():
        late.set()
        end_all_of(user)

    timer = threading.Timer(seconds, end_late)
    timer.daemon = True
    timer.start()
    code = process.wait()
    timer.cancel()
    timer.join()
    # What it has left behind would hold its pipes open.
    end_all_of(user)
    for output in outputs:
        output.join()
    if late.is_set():
        ended = {"how": "timed_out", "seconds": seconds}
    else:
        ended = {"how": "exited", "code": code if code >= 0 else 128 - code}
    stdout, stderr = (output.kept.decode(errors="replace") for output in outputs)
    return {"ended": ended, "stdout": stdout, "stderr": stderr, "cut": any(output.cut for output in outputs)}


def main():
    threading.stack_size(512 * 1024)
    told = json.loads(sys.stdin.readline())
    waiting, saying = iter(told["commands"]), threading.Lock()

    def work():
        while True:
            with saying:
                command = next(waiting, None)
            if command is None:
                return
            said = json.dumps({"at": command["at"], **carried_out(command, told["seconds"], told["output"])})
            with saying:
                print(said, flush=True)

    workers = [threading.Thread(target=work) for _ in range(told["at_once"])]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


main()
