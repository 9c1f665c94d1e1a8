"""The first process of a room: carries out the commands that it is told on standard input, and says of each how it ended.

Each command is a user of its own, who has no right that the room's other users could be reached by. This process alone may become those
users and end what they run. What a command writes comes here by pipes, so no command can speak for another. Any Python from 3.9 on will do.
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
    """Kills every process of a user at once: one by one, they could multiply faster. It is asked again where they were quicker."""
    for _ in range(100):
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setresgid(user, user, user)
                os.setresuid(user, user, user)
                os.kill(-1, signal.SIGKILL)
            except ProcessLookupError:
                pass
            except BaseException:
                os._exit(1)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            return


def reap_all_of(user):
    """Takes leave of what a user's command has left to this process. The command itself must have been waited for."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/status", encoding="utf-8", errors="replace") as status:
                said = dict(line.split(":", 1) for line in status if ":" in line)
            if str(user) in said["Uid"].split() and said["PPid"].strip() == str(os.getpid()):
                os.waitpid(int(entry), 0 if said["State"].split()[0] == "Z" else os.WNOHANG)
        except (FileNotFoundError, ProcessLookupError, ChildProcessError):
            continue


def environment():
    """The image's own: what this Python adds to it for itself is no command's."""
    with open("/proc/self/environ", "rb") as own:
        entries = (entry.partition(b"=") for entry in own.read().split(b"\0"))
    return {name: value for name, sep, value in entries if sep}


def carried_out(command, base, seconds, most):
    user = command["user"]
    try:
        process = subprocess.Popen(
            command["argv"],
            env={**base, **{os.fsencode(name): os.fsencode(value) for name, value in command["env"].items()}},
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
    # A status that is lost says 0 below, and here it is an error.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    code = process.wait()
    timer.cancel()
    timer.join()
    # What it has left behind would hold its pipes open.
    end_all_of(user)
    reap_all_of(user)
    for output in outputs:
        output.join()
    if late.is_set():
        ended = {"how": "timed_out", "seconds": seconds}
    else:
        ended = {"how": "exited", "code": code if code >= 0 else 128 - code}
    stdout, stderr = (output.kept.decode(errors="replace") for output in outputs)
    return {"ended": ended, "stdout": stdout, "stderr": stderr, "cut": any(output.cut for output in outputs)}


def main():
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    threading.stack_size(512 * 1024)
    told, base = json.loads(sys.stdin.readline()), environment()
    waiting, saying = iter(told["commands"]), threading.Lock()

    def work():
        while True:
            with saying:
                command = next(waiting, None)
            if command is None:
                return
            try:
                done = carried_out(command, base, told["seconds"], told["output"])
            except Exception as error:
                done = {"ended": {"how": "not_started", "why": f"it cannot be carried out: {error!r}"}}
            said = json.dumps({"at": command["at"], **done})
            with saying:
                print(said, flush=True)

    workers = [threading.Thread(target=work) for _ in range(told["at_once"])]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


main()
