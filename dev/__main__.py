"""`python -m dev`: see `dev.commands`."""

import signal

if __name__ == "__main__":
    # Importing the commands takes a second or two. Meanwhile, Ctrl-C ends the process without a stack trace.
    interrupt = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from dev.commands import main

    signal.signal(signal.SIGINT, interrupt)
    main(prog_name="python -m dev")
