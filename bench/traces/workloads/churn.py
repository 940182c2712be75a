# SPDX-FileCopyrightText: 2026 libmirror contributors
# SPDX-License-Identifier: MIT
"""Works Python's and the C library's allocators from several threads, with a child process beside them."""

import random
import subprocess
import sys
import threading

THREADS = 4
ROUNDS = 200


def churn(seed):
    numbers = random.Random(seed)
    kept = {}
    for step in range(ROUNDS):
        # Large objects get mappings of their own, small ones share arenas.
        kept[step % 8] = bytearray(numbers.randrange(64 << 10, 2 << 20))
        table = {n: str(n) * 4 for n in range(numbers.randrange(1000, 20000))}
        words = [" ".join(table.values()) for _ in range(2)]
        kept[8 + step % 5] = (table, words)
        if step % 13 == 12:
            kept.clear()
    return len(kept)


def main():
    for generation in range(5):
        threads = [threading.Thread(target=churn, args=(generation * THREADS + n,)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        subprocess.run([sys.executable, "-S", "-c", "print(sum(range(1000)))"], check=True, stdout=subprocess.DEVNULL)


main()
