// SPDX-FileCopyrightText: 2026 libmirror contributors
// SPDX-License-Identifier: MIT

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/** Threads that fill and empty a small heap, so that the collector keeps growing, shrinking and moving it. */
public class Garbage {
	static final int THREADS = 4, GENERATIONS = 8, ROUNDS = 150;

	static void churn(int seed) {
		Random random = new Random(seed);
		List<ByteBuffer> outside = new ArrayList<>();
		Map<Integer, List<String>> kept = new HashMap<>();

		for (int round = 0; round < ROUNDS; round++) {
			List<String> words = new ArrayList<>();

			for (int n = 0; n < 5000; n++)
				words.add(Integer.toString(random.nextInt(), 36).repeat(4));
			kept.put(round % 6, words);
			outside.add(ByteBuffer.allocateDirect(1 << (16 + random.nextInt(5))));
			if (outside.size() > 8)
				outside.clear();
		}
	}

	public static void main(String[] args) throws InterruptedException {
		for (int generation = 0; generation < GENERATIONS; generation++) {
			List<Thread> threads = new ArrayList<>();

			for (int n = 0; n < THREADS; n++) {
				int seed = generation * THREADS + n;

				threads.add(new Thread(() -> churn(seed)));
			}
			for (Thread thread : threads)
				thread.start();
			for (Thread thread : threads)
				thread.join();
			System.gc();
		}
	}
}
