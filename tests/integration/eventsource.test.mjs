// Streams as npm's `eventsource` sees them: a client that was written against the specification, not against mayfly.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createServer, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { EventSource } from 'eventsource';

const BUILD = resolve(process.env.MAYFLY_BUILD ?? join(import.meta.dirname, '../../build'));
const UID_BASE = 50_000_000 + (process.pid % 10_000) * 2048;
const DEADLINE_MS = 60_000;

let mayfly, url;

async function freePort() {
  const probe = createServer();
  await new Promise((done) => probe.listen(0, '127.0.0.1', done));
  const { port } = probe.address();
  await new Promise((done) => probe.close(done));
  return port;
}

async function isReady() {
  try {
    return (await fetch(`${url}/readyz`)).ok;
  } catch {
    return false;
  }
}

before(async () => {
  const directory = await mkdtemp(join(tmpdir(), 'mayfly-eventsource-'));
  await chmod(directory, 0o755);
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  const settings = { HTTP_PORT: port, UID_BASE, DATA_DIR: join(directory, 'data'), RUNTIMES: 'python' };
  const daemon = spawn(join(BUILD, 'src/setup/mayflyd'), {
    cwd: directory,
    env: { PATH: process.env.PATH, ...settings },
    stdio: 'ignore',
  });
  const exited = new Promise((done) => daemon.once('exit', (code) => done(code)));
  mayfly = { directory, daemon, exited };
  for (const deadline = Date.now() + DEADLINE_MS; !(await isReady());) {
    assert.equal(daemon.exitCode, null, 'mayfly did not start');
    assert.ok(Date.now() < deadline, 'mayfly is not ready');
    await sleep(50);
  }
});

after(async () => {
  mayfly.daemon.kill('SIGTERM');
  assert.equal(await mayfly.exited, 0);
  await rm(mayfly.directory, { recursive: true });
});

/** A fetch for EventSource that posts, as one does who has a body to send. */
const posting = (body) => (input, init) =>
  fetch(input, {
    ...init,
    method: 'POST',
    headers: { ...init.headers, 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });

/** Begins a call that is watched at /calls/{id}. */
async function begin(code) {
  const answer = await fetch(`${url}/run-now`, {
    method: 'POST',
    headers: { Prefer: 'respond-async' },
    body: JSON.stringify({ language: 'python', code }),
  });
  assert.equal(answer.status, 202);
  return answer.headers.get('location');
}

/** All messages until `enough` of them; `onMessage` may look at each. The source stays open. */
function collect(source, enough, onMessage = () => {}) {
  const messages = [];
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`only ${messages.length} messages`)), DEADLINE_MS);
    source.onmessage = (message) => {
      messages.push({ id: message.lastEventId, ...JSON.parse(message.data) });
      onMessage(messages);
      if (enough(messages)) {
        clearTimeout(late);
        resolve(messages);
      }
    };
  });
}

const ended = (messages) => messages.at(-1).event !== 'log';
const datas = (messages) => messages.map(({ data }) => data);
const ids = (messages) => messages.map(({ id }) => Number(id));
const upTo = (number) => Array.from({ length: number }, (_, n) => n);

/** Passes connections on to mayfly; cut() breaks all that are open. */
async function proxy() {
  const sockets = new Set();
  const server = createServer((client) => {
    const upstream = connect(new URL(url).port, '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {}).on('close', () => [client, upstream].map((other) => other.destroy()));
    }
    client.pipe(upstream).pipe(client);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const cut = () => {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  };
  return { url: `http://127.0.0.1:${server.address().port}`, cut, close: () => (cut(), server.close()) };
}

describe('an EventSource', { concurrency: true }, () => {
  test('posts a script and hears its lines and its result', async () => {
    const code = `import sys
print('text')
print('{"a": [1]}')
print('')
print('carriage\\rreturn', file=sys.stderr)
sys.stderr.flush()
return {'sum': event['a'] + event['b']}`;
    const body = { language: 'python', code, input: { a: 1, b: 2 }, stream: true };
    const source = new EventSource(`${url}/run-now`, { fetch: posting(body) });
    try {
      const messages = await collect(source, ended);
      const stderr = messages.findIndex(({ stream }) => stream === 'stderr');
      const [marked] = messages.splice(stderr, 1);
      assert.equal(marked.data, 'carriage\rreturn');
      assert.deepEqual(datas(messages), ['text', { a: [1] }, '', { sum: 3 }]);
      assert.equal(messages.at(-1).event, 'result');
    } finally {
      source.close();
    }
  });

  test('hears a failure as a message, not as a lost connection', async () => {
    const body = { language: 'python', code: 'print(1)\n1 / 0', stream: true };
    const source = new EventSource(`${url}/run-now`, { fetch: posting(body) });
    try {
      const messages = await collect(source, ended);
      assert.deepEqual(datas(messages).slice(0, -1), [1]);
      assert.equal(messages.at(-1).event, 'error');
      assert.equal(messages.at(-1).problem.code, 'script_error');
      assert.equal(messages.at(-1).problem.error.name, 'ZeroDivisionError');
    } finally {
      source.close();
    }
  });

  test('hears of a plain problem by its status', async () => {
    const body = { language: 'php', code: '', stream: true };
    const source = new EventSource(`${url}/run-now`, { fetch: posting(body) });
    const error = await new Promise((done) => (source.onerror = done));
    assert.equal(error.code, 400);
    assert.equal(source.readyState, EventSource.CLOSED);
  });

  test('that loses its connection goes on where it was, without a gap or a repeat, and stops at the end', async () => {
    const location = await begin('import time\nfor n in range(40): print(n); time.sleep(0.1)\nreturn "end"');
    const way = await proxy();
    const source = new EventSource(way.url + location);
    const errors = [];
    source.onerror = (error) => errors.push(error);
    try {
      const cuts = [];
      const messages = await collect(source, ended, (soFar) => {
        if (soFar.length === 5) cuts.push(way.cut());
      });
      assert.equal(cuts.length, 1);
      assert.deepEqual(datas(messages), [...upTo(40), 'end']);
      assert.deepEqual(ids(messages), upTo(41).map((n) => n + 1));
      assert.ok(errors.length >= 1, 'it noticed');
      // It comes back once more, since the stream has ended; 204 tells it to stop.
      for (const deadline = Date.now() + DEADLINE_MS; source.readyState !== EventSource.CLOSED;) {
        assert.ok(Date.now() < deadline, 'it comes back for ever');
        await sleep(50);
      }
      assert.equal(errors.at(-1).code, 204);
      assert.equal(messages.length, 41);
    } finally {
      source.close();
      way.close();
    }
  });

  test('that loses its connection while nothing happens hears the rest', async () => {
    const location = await begin('import time\nprint(0)\ntime.sleep(2)\nprint(1)\nreturn "end"');
    const way = await proxy();
    const source = new EventSource(way.url + location);
    try {
      const messages = await collect(source, ended, (soFar) => {
        if (soFar.length === 1) way.cut();
      });
      assert.deepEqual(datas(messages), [0, 1, 'end']);
      assert.deepEqual(ids(messages), [1, 2, 3]);
    } finally {
      source.close();
      way.close();
    }
  });
});
