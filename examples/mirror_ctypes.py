# SPDX-FileCopyrightText: 2026 libmirror contributors
# SPDX-License-Identifier: MIT
"""libmirror from Python, through ctypes alone: copy the file, or the first half of it.

Whoever has a raw address of an mmap object, as a device or a thread of C has, crashes the process when the object is
closed.  Here a reader hears before.  MIRROR_LIBRARY=path/to/libmirror.so if the library is not installed.

ctypes lets other threads run during a call, and takes the interpreter's lock for a callback.  So a callback may take
locks that other threads of Python hold, and an unregister may wait for a callback.  An exception in a callback is
printed, and counts as "dropped": catch what may come.
"""
import contextlib
import ctypes
import ctypes.util
import mmap
import os
import signal
import threading

UNMAP, CLEAR = 0, 1
BLOCKABLE = 1


class Range(ctypes.Structure):
    _fields_ = [("start", ctypes.c_uint64), ("end", ctypes.c_uint64), ("event", ctypes.c_int),
                ("flags", ctypes.c_uint), ("owner", ctypes.c_void_p), ("data", ctypes.c_void_p),
                ("_private", ctypes.c_uint64 * 8)]


START = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(Range))
END = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(Range))
RELEASE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Ops(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("start", START), ("end", END), ("release", RELEASE), ("finish", END)]


# Room enough for struct mirror, which is private but for its first member.
Mirror = ctypes.c_uint64 * 64

library = ctypes.CDLL(os.environ.get("MIRROR_LIBRARY") or ctypes.util.find_library("mirror") or "libmirror.so.0")
library.mirror_strerror.restype = ctypes.c_char_p
library.mirror_invalidate_range_end.restype = None


def call(name, *arguments):
    error = getattr(library, name)(*arguments)
    if error:
        raise OSError(-error, library.mirror_strerror(error, name.encode()).decode())


class List:
    def __init__(self):
        self.list = ctypes.c_void_p()
        call("mirror_list_create", ctypes.byref(self.list), None)

    def close(self):
        call("mirror_list_destroy", self.list)

    @contextlib.contextmanager
    def change(self, start, end, event=CLEAR):
        """with list.change(start, end): ... the change ..."""
        bracket = Range(start=start, end=end, event=event, flags=BLOCKABLE)
        call("mirror_invalidate_range_start", self.list, ctypes.byref(bracket))
        try:
            yield
        finally:
            library.mirror_invalidate_range_end(self.list, ctypes.byref(bracket))


class Subscription:
    """Calls on_start(range) before each change of [start, end), and on_end(range) after it, until close()."""

    def __init__(self, list_, start, end, on_start, on_end=None):
        def run_start(_mirror, range_):
            on_start(range_.contents)
            return 0

        def run_end(_mirror, range_):
            on_end(range_.contents)

        # The library keeps pointers to both until close() has returned.
        self.ops = Ops(ctypes.sizeof(Ops), START(run_start), END(run_end) if on_end else END(0))
        self.mirror = Mirror()
        call("mirror_register_range", list_.list, self.mirror, ctypes.byref(self.ops), ctypes.c_uint64(start),
             ctypes.c_uint64(end))

    def close(self):
        call("mirror_unregister", self.mirror)


# ---- a reader of raw addresses

PAGE = mmap.PAGESIZE


def address_of(memory):
    """Nothing keeps the object open for it."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


class Reader:
    def __init__(self, list_, memory):
        self.address = address_of(memory)
        self.lock = threading.Lock()
        self.gone = False
        self.nr_reads = 0
        self.read_some = threading.Event()
        self.subscription = Subscription(list_, self.address, self.address + PAGE, self.on_start)
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def on_start(self, _range):
        with self.lock:
            self.gone = True

    def run(self):
        while True:
            with self.lock:
                if self.gone:
                    return
                ctypes.string_at(self.address, PAGE)
                self.nr_reads += 1
            self.read_some.set()

    def close(self):
        self.thread.join()
        self.subscription.close()


def read_unheard():
    memory = mmap.mmap(-1, PAGE)
    address = address_of(memory)
    memory.close()
    ctypes.string_at(address, PAGE)


def signal_of_child(function):
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        function()
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def main():
    rounds = 50
    print("no mirror: the memory was closed, and the reader's process died of signal", signal_of_child(read_unheard))
    list_ = List()
    for _ in range(rounds):
        memory = mmap.mmap(-1, PAGE)
        reader = Reader(list_, memory)
        reader.read_some.wait()
        with list_.change(reader.address, reader.address + PAGE, UNMAP):
            memory.close()
        reader.close()
        assert reader.gone and reader.nr_reads > 0
    list_.close()
    print(f"with mirrors: {rounds} readers heard in time")


if __name__ == "__main__":
    main()
