// SPDX-License-Identifier: GPL-2.0-or-later
// node_driver.js DIRECTORY PORT: an HTTP server and its clients, timers, files, child processes and
// worker threads in one node. Answers questions like inside.py.
'use strict';
const { Worker, isMainThread, parentPort } = require('worker_threads');
const assert = require('assert');
const { execFile } = require('child_process');
const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const util = require('util');
const zlib = require('zlib');

const PATIENCE_MS = 30000;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function fibonacci(n) {
	return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

// The worker thread: computes what it is asked for.
if (!isMainThread)
	parentPort.on('message', (n) => parentPort.postMessage({ n, value: fibonacci(n) }));

// Steps one after the other for ever; moves() waits for some more of them.
class Load {
	constructor(name, step) {
		this.name = name;
		this.count = 0;
		this.run(step).catch((trouble) => { this.trouble = trouble; });
	}

	async run(step) {
		for (;;) {
			await step(this.count + 1);
			this.count++;
		}
	}

	async moves() {
		const goal = this.count + 3, deadline = Date.now() + PATIENCE_MS;

		while (!this.trouble && this.count < goal) {
			assert(Date.now() < deadline, `${this.name} stays at step ${this.count}`);
			await sleep(5);
		}
		if (this.trouble)
			throw this.trouble;
	}
}

function get(options) {
	return new Promise((resolve, reject) => {
		http.get(options, (answer) => {
			const parts = [];
			answer.on('data', (part) => parts.push(part));
			answer.on('end', () => resolve(Buffer.concat(parts).toString()));
		}).on('error', reject);
	});
}

function serve_http(where) {
	const server = http.createServer((question, answer) => {
		setTimeout(() => answer.end(`you asked for ${question.url}`), 1);
	});
	server.keepAliveTimeout = 0;
	return new Promise((resolve) => server.listen(where, () => resolve(server)));
}

function compute(worker) {
	return async (n) => {
		const wanted = 15 + n % 8;
		const answer = new Promise((resolve) => worker.once('message', resolve));
		worker.postMessage(wanted);
		assert.deepStrictEqual(await answer, { n: wanted, value: fibonacci(wanted) });
	};
}

async function main(directory, port) {
	const tcp = { host: '127.0.0.1', port };
	const unix = { socketPath: directory + '/node.socket' };
	const client = (where) => {
		const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
		return async (n) => assert.strictEqual(
			await get({ ...where, agent, path: `/${n}` }), `you asked for /${n}`);
	};
	const data = crypto.randomBytes(100000);
	let ticks = 0;

	await serve_http(tcp);
	await serve_http({ path: unix.socketPath });
	setInterval(() => { ticks++; }, 10);
	const loads = [
		new Load('tcp', client(tcp)),
		new Load('unix', client(unix)),
		new Load('worker 1', compute(new Worker(__filename))),
		new Load('worker 2', compute(new Worker(__filename))),
		new Load('timer', () => sleep(20)),
		new Load('thread pool', async () => assert(
			(await util.promisify(zlib.gunzip)(await util.promisify(zlib.gzip)(data))).equals(data))),
		new Load('file', async (n) => {
			await fs.promises.writeFile(directory + '/file', `${n}`);
			assert.strictEqual(await fs.promises.readFile(directory + '/file', 'utf8'), `${n}`);
		}),
		new Load('child', async (n) => assert.strictEqual(
			(await util.promisify(execFile)('echo', [`${n}`])).stdout, `${n}\n`)),
	];

	async function check() {
		const before = ticks;

		for (const load of loads)
			await load.moves();
		await sleep(50);
		assert(ticks > before, 'the interval timer stands');
		for (const where of [tcp, unix])
			assert.strictEqual(await get({ ...where, path: '/new', agent: false }),
				'you asked for /new');
	}

	await check();
	fs.writeFileSync(directory + '/ready', 'ready\n');
	for (let number = 1; ; number++) {
		while (!fs.existsSync(`${directory}/ask.${number}`))
			await sleep(10);
		const answer = await check().then(() => 'right\n', (error) => `wrong\n${error.stack}\n`);
		fs.writeFileSync(directory + '/answer.part', answer);
		fs.renameSync(directory + '/answer.part', `${directory}/answer.${number}`);
	}
}

if (isMainThread)
	main(process.argv[2], Number(process.argv[3]));
