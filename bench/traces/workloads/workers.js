// SPDX-FileCopyrightText: 2026 libmirror contributors
// SPDX-License-Identifier: MIT

// Worker threads that make garbage: short-lived objects, strings, and buffers outside the heap.
'use strict';
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');

const WORKERS = 3;
const GENERATIONS = 2;
const ROUNDS = 120;

function churn(seed) {
	let state = seed;
	const next = (bound) => (state = (state * 1103515245 + 12345) % 2147483648) % bound;
	const kept = new Map();
	let sum = 0;

	for (let round = 0; round < ROUNDS; round++) {
		const records = Array.from({ length: 2000 + next(6000) }, (_, i) => ({ id: i, name: `n${next(1000)}`, tags: [i, round] }));
		const text = JSON.stringify(records);

		kept.set(round % 7, JSON.parse(text));
		kept.set(7 + (round % 5), new Uint8Array((64 + next(2048)) * 1024).fill(round));
		sum += new Function('a', `return a.length + ${round};`)(records);
	}
	return sum;
}

async function main() {
	for (let generation = 0; generation < GENERATIONS; generation++) {
		const sums = Array.from({ length: WORKERS }, (_, n) => new Promise((resolve, reject) => {
			const worker = new Worker(__filename, { workerData: generation * WORKERS + n + 1 });

			worker.once('message', resolve);
			worker.once('error', reject);
		}));

		await Promise.all(sums);
	}
}

if (isMainThread)
	main();
else
	parentPort.postMessage(churn(workerData));
